"""How many of the waiting groups a commit takes."""

from __future__ import annotations

from perdure.journal._pace import Pace


def _after_a_commit(*, commit: float, gap: float) -> tuple[Pace, float]:
    """Return a pace that has seen one commit, and the time at which the gap behind it ends."""
    pace = Pace(512)
    pace.take(100, 10.0, after_gap=True)
    pace.ended(10.0 + commit)
    return pace, 10.0 + commit + gap


def test_half_of_the_groups_go_first_where_the_gap_is_longer_than_the_commit() -> None:
    pace, now = _after_a_commit(commit=0.001, gap=0.002)

    assert pace.take(100, now, after_gap=True) == 50


def test_all_share_a_sync_that_is_longer_than_the_gap() -> None:
    pace, now = _after_a_commit(commit=0.010, gap=0.002)

    assert pace.take(100, now, after_gap=True) == 100


def test_what_waited_for_a_commit_goes_together() -> None:
    pace, now = _after_a_commit(commit=0.001, gap=0.002)

    assert pace.take(50, now, after_gap=False) == 50


def test_a_few_groups_are_never_split() -> None:
    pace, now = _after_a_commit(commit=0.001, gap=0.002)

    assert pace.take(32, now, after_gap=True) == 32


def test_a_commit_is_bounded() -> None:
    pace, now = _after_a_commit(commit=0.001, gap=0.002)

    assert pace.take(10_000, now, after_gap=False) == 512
