"""Strategies: what they say, and what two say together."""

from __future__ import annotations

import pytest

from perdure_replication import SyncStrategy

active, fed, pulled = SyncStrategy.active_push(), SyncStrategy.feed_lazy_pull(), SyncStrategy.pull_only()


def test_the_constructors_are_points_of_one_space() -> None:
    """One push mode, and layers (SYNC-18, FLOW-03)."""
    assert active == SyncStrategy("active", None, True)
    assert fed == SyncStrategy("feed", None, True)
    assert SyncStrategy.feed_with_periodic_sync(3) == SyncStrategy("feed", 3, True)
    assert SyncStrategy.periodic_only(3) == SyncStrategy("none", 3, True)


def test_two_are_joined_to_what_does_what_either_does() -> None:
    """The stronger push, the shorter period (SYNC-19, SYNC-20)."""
    assert fed | SyncStrategy.periodic_only(3) == SyncStrategy.feed_with_periodic_sync(3)
    assert active | fed | SyncStrategy.periodic_only(9) | SyncStrategy.periodic_only(3) == SyncStrategy("active", 3)
    assert pulled | SyncStrategy("none", pull_on_query=False) == pulled


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_period_is_more_than_nothing(seconds: float) -> None:
    """The error says what to use instead."""
    with pytest.raises(ValueError, match="use None for none"):
        SyncStrategy.periodic_only(seconds)
