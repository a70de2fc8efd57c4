"""What a reader does with a value, by its generation."""

from __future__ import annotations

from typing import Any

import pytest

from perdure_replication import Delta, Generation, Pull, Received, Snapshot, Unchanged
from perdure_replication.testing import Shown, TestDeltaState, TestState, Tuned, Value

from .nodes import DELTA, SIMPLE, forged, hand, pair

simple, delta = TestState(), TestDeltaState()


def snapshot(life: int, age: int, counter: int, token: int = 0) -> Snapshot:
    return Snapshot(SIMPLE, Generation(life, age), 1, 10, 20 + age, simple.encode_view(Value(counter), 1), token)


def deltas(life: int, base: int, *by: int) -> Delta:
    payloads = tuple(delta.encode_delta(Tuned(each), 1) for each in by)
    return Delta(DELTA, base, Generation(life, base + len(by)), 1, 30, payloads)


@pytest.mark.parametrize(
    ("lives_later", "age", "accepted"),
    [(0, 6, True), (0, 99, True), (0, 5, False), (0, 4, False), (1, 0, True), (-1, 999, False)],
)
def test_a_snapshot_replaces_what_is_older(lives_later: int, age: int, accepted: bool) -> None:
    """By incarnation first, then by age (VER-05, INC-01, INC-02, INC-03, TEST-05, MUT-05, MUT-06, WIRE-05)."""
    _, a, b = pair()
    life = a.engine.incarnation
    hand(b, a, snapshot(life, 5, 5))

    b.tell(frame_of("a", life + lives_later, snapshot(life + lives_later, age, 100)))

    # level with what is held, another value is the owner's word against an older one of its own
    shown = 100 if accepted or (lives_later, age) == (0, 5) else 5
    assert b.value(SIMPLE, "a") == Value(shown)


def frame_of(source: str, life: int, message: Any) -> Received:
    return Received(source, forged(source, life, message))


def test_a_snapshot_of_what_is_held_renews_its_freshness() -> None:
    """It is a duplicate, and says that it was still so (weak point 1)."""
    simulation, a, b = pair()
    simulation.run(10)
    life = a.engine.incarnation

    hand(b, a, snapshot(life, 0, 0))

    assert b.engine.views(SIMPLE, b.clock())["a"].generation == Generation(life, 0)
    assert b.engine.metrics.stale_snapshots_discarded == 1


def test_a_snapshot_that_contradicts_what_is_held_is_counted_and_taken() -> None:
    """Two values under one generation: the owner is right (weak point 7)."""
    _, a, b = pair()
    life = a.engine.incarnation
    hand(b, a, snapshot(life, 3, 111))

    hand(b, a, snapshot(life, 3, 222))

    assert (b.value(SIMPLE, "a"), b.engine.metrics.divergences) == (Value(222), 1)


def test_times_are_those_of_the_owner() -> None:
    """They travel with the value (1.5, ENV-02)."""
    simulation, a, b = pair(offset=0)
    a.offset = 500
    simulation.run(2)

    a.mutate(SIMPLE, lambda _: Value(1))
    simulation.run(1)

    held, own = b.engine.views(SIMPLE, b.clock())["a"], a.engine.views(SIMPLE, a.clock())["a"]
    assert (held.created, held.modified) == (own.created, own.modified)
    assert held.modified - held.created == 503_000


@pytest.mark.parametrize(
    ("base", "by", "expected", "pulled"),
    [
        (5, [1], 6, False),
        (5, [1, 1, 1], 8, False),
        (3, [9, 9, 1, 1], 7, False),
        (4, [9], 5, False),
        (0, [9], 5, False),
        (6, [1], 5, True),
    ],
    ids=["next", "range", "overlapping", "duplicate", "older", "gap"],
)
def test_a_delta_moves_a_view_on_by_what_is_new(base: int, by: list[int], expected: int, pulled: bool) -> None:
    """In order, and never twice (VER-01, VER-02, VER-03, VER-04, WIRE-06, FAULT-12, FAULT-17)."""
    _, a, b = pair()
    life = a.engine.incarnation
    hand(b, a, deltas(life, 0, 1, 1, 1, 1, 1))

    hand(b, a, deltas(life, base, *by))

    assert (b.value(DELTA, "a"), bool(b.messages(Pull))) == (Shown(expected), pulled)


def test_deltas_that_come_too_early_are_applied_when_the_gap_closes() -> None:
    """In whatever order they come (FAULT-16)."""
    _, a, b = pair()
    life = a.engine.incarnation

    for base in (3, 1, 4, 2):
        hand(b, a, deltas(life, base, 10**base))
    before = b.value(DELTA, "a")
    hand(b, a, deltas(life, 0, 1))

    assert (before, b.value(DELTA, "a"), len(b.messages(Pull))) == (Shown(0), Shown(11111), 1)


def test_a_delta_of_a_later_life_is_a_gap() -> None:
    """Nothing that is held leads there (INC-01)."""
    _, a, b = pair()
    life = a.engine.incarnation

    b.tell(frame_of("a", life + 1, deltas(life + 1, 0, 1)))

    assert b.value(DELTA, "a") == Shown(0)
    assert [pull.state for pull in b.messages(Pull)] == [DELTA]


def test_what_is_of_another_life_than_its_frame_is_refused() -> None:
    """A peer speaks of its present life alone."""
    _, a, b = pair()
    life = a.engine.incarnation

    for other in (life - 1, life + 1):
        hand(b, a, snapshot(other, 99, 99))
        hand(b, a, Unchanged(SIMPLE, Generation(other, 0), 1))

    assert (b.value(SIMPLE, "a"), b.engine.metrics.refused) == (Value(0), {"outdated": 4})


@pytest.mark.parametrize("parts", [2, 4, 200])
def test_a_delta_whose_parts_do_not_fit_its_range_is_refused(parts: int) -> None:
    """It is counted, and the view is pulled anew (WIRE-02)."""
    _, a, b = pair()
    life = a.engine.incarnation
    odd = Delta(DELTA, 0, Generation(life, 3), 1, 0, (b"\x92\x01\xc0",) * parts)

    hand(b, a, odd)

    assert (b.value(DELTA, "a"), b.engine.metrics.sync_failures) == (Shown(0), 1)
    assert b.messages(Pull)[0].known is None


def test_a_delta_that_cannot_be_applied_is_replaced_by_a_snapshot() -> None:
    """The pull knows nothing, so the owner sends all (2.3)."""

    class Brittle(TestDeltaState):
        name = "brittle"

        def apply(self, view: Shown, delta: Tuned) -> Shown:
            raise KeyError("not here")

    simulation, a, b = pair(Brittle)

    a.mutate("brittle", TestDeltaState.adjust(1))
    simulation.run(1)

    assert (b.value("brittle", "a"), b.engine.metrics.sync_failures) == (Shown(1), 1)


def test_a_damaged_value_is_asked_for_again_with_growing_waits() -> None:
    """So many times, and no more until the next digest (ERR-06, FAULT-19)."""
    simulation, a, b = pair()
    life = a.engine.incarnation
    simulation.network.block("a", "b")

    hand(b, a, Snapshot(SIMPLE, Generation(life, 9), 1, 0, 0, b"rubbish"))
    simulation.run(60)

    assert len(b.messages(Pull)) == 4
    assert b.engine.status(SIMPLE)[1].last_error == "4 pulls were not answered"
    assert len(b.engine._pulls) == 0
