"""When snapshots are taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure import (
    ActorSystem,
    Full,
    SnapshotFailed,
    SnapshotSaved,
    every,
    every_n_bytes,
    every_n_events,
    never,
    on_stop,
)
from perdure.abc import MAX_KEY, WriteGroup
from perdure.errors import StoreUnavailable
from perdure.snapshots import SNAPSHOTS, Predicate, Snapshot, SnapshotPolicy, SnapshotStore
from perdure_testkit import FaultyBackend, VirtualClock

from .tapes import MutatingTape, PureTape, Read, Write, background, keys, stored_as


def taking(policy: SnapshotPolicy | Predicate, kind: Any = PureTape) -> Any:
    return stored_as(kind, Full(snapshot=policy, keep_snapshots=99))


async def taken(store: FaultyBackend, policy: SnapshotPolicy | Predicate, *writes: tuple[int, ...]) -> list[int]:
    """Return the numbers of the snapshots of an actor that persists so, and whose system stays."""
    tape = taking(policy)
    async with ActorSystem(store=store) as system:
        for written in writes:
            await system.ref(tape, "a").ask(Write(written))
            await background(system)
        return await keys(store, SNAPSHOTS)


async def test_a_function_decides_by_number_state_and_event(store: FaultyBackend) -> None:
    """It is asked once for each event, with the state after all events of the persist (ATS-72)."""
    asked = []

    def is_seven(sequence_number: int, state: tuple[int, ...], event: Any) -> bool:
        asked.append((sequence_number, state, event.value))
        return bool(event.value == 7)

    numbers = await taken(store, is_seven, (1,), (7, 2), (3,))

    assert numbers == [3]
    assert asked == [(1, (1,), 1), (2, (1, 7, 2), 7), (3, (1, 7, 2), 2), (4, (1, 7, 2, 3), 3)]


async def test_seven_events_with_one_every_three_have_two(store: FaultyBackend) -> None:
    """The latest covers the sixth (ATS-72)."""
    assert await taken(store, every_n_events(3), *[(n,) for n in range(7)]) == [3, 6]


async def test_the_bytes_since_the_last_are_counted(store: FaultyBackend) -> None:
    """Each record here has some thirty bytes; the count begins again with each snapshot."""
    assert await taken(store, every_n_bytes(70), *[(n,) for n in range(7)]) == [3, 6]


async def test_the_first_event_after_a_while_is_followed_by_one(store: FaultyBackend, clock: VirtualClock) -> None:
    """The time counts from the last snapshot, and at first from the start of the actor."""
    numbers = []
    async with ActorSystem(store=store, clock=clock, passivate_after=1e9) as system:
        ref = system.ref(taking(every(60)), "a")
        for seconds in (0, 59, 1, 59, 1):
            await clock.advance(seconds)
            await ref.ask(Write((1,)))
            numbers.append(await keys(store, SNAPSHOTS))
            await background(system)

    assert numbers[-1] == [3]
    assert await keys(store, SNAPSHOTS) == [3, 5]


async def test_one_is_taken_on_stop(store: FaultyBackend) -> None:
    """Also when an idle actor is put away; none where nothing has happened since the last."""
    for written in ((1, 2), (), (3,)):
        async with ActorSystem(store=store) as system:
            ref = system.ref(taking(on_stop), "a")
            await ref.ask(Write(written))
            await ref.stop()

    assert await keys(store, SNAPSHOTS) == [2, 3]


async def test_one_is_taken_when_an_idle_actor_is_put_away(store: FaultyBackend, clock: VirtualClock) -> None:
    """Its next life begins with it."""
    async with ActorSystem(store=store, clock=clock, passivate_after=10) as system:
        await system.ref(taking(on_stop), "a").ask(Write((1,)))
        await clock.advance(11)
        await background(system)

        assert await keys(store, SNAPSHOTS) == [1]


async def test_none_is_taken_on_stop_of_a_state_in_doubt(store: FaultyBackend) -> None:
    """Memory may differ from the log after a failed persist, and is not stored."""
    tape = taking(on_stop, MutatingTape)
    async with ActorSystem(store=store) as system:
        store.reject("commit", StoreUnavailable("commit", "down"), when=1)
        with pytest.raises(StoreUnavailable):
            await system.ref(tape, "a").ask(Write((1,)))

    assert await keys(store, SNAPSHOTS) == []


@pytest.mark.parametrize("order", [1, -1])
async def test_policies_are_combined(store: FaultyBackend, order: int) -> None:
    """Each is asked for each event, and one that says yes is enough."""
    asked: list[int] = []

    def note(sequence_number: int, state: object, event: object) -> bool:
        asked.append(sequence_number)
        return sequence_number == 3

    one, other = (every_n_events(2), note)[::order]
    numbers = await taken(store, one | other | never, *[(n,) for n in range(5)])  # type: ignore[operator]

    assert (numbers, asked) == ([2, 3, 4], [1, 2, 3, 4, 5])


async def test_a_policy_is_not_asked_before_the_number_that_it_names(store: FaultyBackend) -> None:
    """But for the first persist of a life; then of each event of the persist that reaches it."""
    asked: list[int] = []

    class EveryFourth(SnapshotPolicy):
        def due(self, sequence_number: int, state: object, event: object, since: object) -> bool:
            asked.append(sequence_number)
            return sequence_number % 4 == 0

        def next_due(self, after: int) -> int:
            return after - after % 4 + 4

    numbers = await taken(store, EveryFourth(), (1,), (2,), (3, 4, 5), (6,), (7,), (8,))

    assert (numbers, asked) == ([5, 8], [1, 3, 4, 5, 8])


async def test_a_combination_with_on_stop_takes_one_on_stop(store: FaultyBackend) -> None:
    """Where the other has taken one of the last event already, one is enough."""
    tape = taking(every_n_events(2) | on_stop)
    async with ActorSystem(store=store) as system:
        for key, count in (("a", 4), ("b", 5)):
            for value in range(count):
                await system.ref(tape, key).ask(Write((value,)))
                await background(system)

    assert await keys(store, SNAPSHOTS) == [2, 4]
    assert await keys(store, SNAPSHOTS, "Tape/b") == [2, 4, 5]


class SlowSnapshots(SnapshotStore):
    """Saves what it is told to when it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.saved: list[int] = []

    async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
        await self.released.wait()
        self.saved.append(sequence_number)

    async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
        return None

    async def oldest(self, persistence_id: str) -> Snapshot | None:
        return None

    async def delete(self, persistence_id: str, below: int) -> None:
        return

    async def close(self) -> None:
        raise AssertionError("who has opened a store closes it")


async def test_a_slow_store_is_asked_for_one_snapshot_at_a_time(store: FaultyBackend) -> None:
    """No reply waits for it. Of those that come due meanwhile the newest is written next, and the others never."""
    slow = SlowSnapshots()
    async with ActorSystem(store=store, snapshots=slow) as system:
        ref = system.ref(taking(every_n_events(1)), "a")
        for value in range(5):
            await ref.ask(Write((value,)))
        slow.released.set()

    assert slow.saved == [1, 5]


def is_snapshot(groups: list[WriteGroup]) -> bool:
    return any(getattr(write, "collection", "") == SNAPSHOTS for group in groups for write in group.writes)


async def test_what_becomes_of_snapshots_is_a_system_event(store: FaultyBackend) -> None:
    """Those that are durable say their size, and those that are not the reason."""
    async with ActorSystem(store=store) as system:
        events = system.events()
        ref = system.ref(taking(every_n_events(1)), "a")
        await ref.ask(Write((1,)))
        await background(system)
        store.reject("commit", StoreUnavailable("commit", "down"), when=is_snapshot)
        await ref.ask(Write((2,)))
        await background(system)
        store.heal()
    seen = [event async for event in events]

    [saved] = [event for event in seen if isinstance(event, SnapshotSaved)]
    [failed] = [event for event in seen if isinstance(event, SnapshotFailed)]
    size = len(await store.collection(SNAPSHOTS, "Tape/a").get(1))
    assert (saved.persistence_id, saved.sequence_number, saved.size) == ("Tape/a", 1, size)
    assert (failed.persistence_id, failed.sequence_number, str(failed.error)) == ("Tape/a", 2, "commit: down")


async def test_a_snapshot_on_stop_is_a_system_event_too(store: FaultyBackend) -> None:
    """Subscribers hear of what is written while the system closes."""
    slow = SlowSnapshots()
    async with ActorSystem(store=store, snapshots=slow) as system:
        events = system.events()
        await system.ref(taking(on_stop), "a").ask(Write((1,)))
        asyncio.get_running_loop().call_later(0.01, slow.released.set)

    assert [event.sequence_number async for event in events if isinstance(event, SnapshotSaved)] == [1]


async def test_a_snapshot_that_failed_counts_for_nothing(store: FaultyBackend) -> None:
    """One is taken on stop, though one was begun of that event before."""
    async with ActorSystem(store=store) as system:
        store.reject("commit", StoreUnavailable("commit", "down"), when=is_snapshot)
        await system.ref(taking(every_n_events(1) | on_stop), "a").ask(Write((1,)))
        await background(system)
        store.heal()

    assert await keys(store, SNAPSHOTS) == [1]


async def test_a_snapshot_can_be_saved_by_hand(store: FaultyBackend) -> None:
    """It is durable when the call returns, and its failure is the caller's."""

    class Saving(PureTape):
        strategy = Full(snapshot=never)

        async def handle(self, message: Any, context: Any) -> Any:
            result = await super().handle(message, context)
            await self.save_snapshot()
            return result

    async with ActorSystem(store=store) as system:
        ref = system.ref(Saving, "a")
        await ref.ask(Read())
        nothing = await keys(store, SNAPSHOTS)
        await ref.ask(Write((1, 2)))
        one = await keys(store, SNAPSHOTS)
        store.reject("commit", StoreUnavailable("commit", "down"), when=is_snapshot)
        with pytest.raises(StoreUnavailable):
            await ref.ask(Write((3,)))
        store.heal()

    assert (nothing, one) == ([], [2])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: every_n_bytes(0), "every_n_bytes takes 1 or more, not 0"),
        (lambda: every(0), "every takes more than 0 seconds, not 0"),
        (lambda: every(float("nan")), "every takes more than 0 seconds, not nan"),
        (lambda: Full(keep_snapshots_for=0), "keep_snapshots_for is more than 0 seconds"),
        (lambda: Full(compact="atrium"), "compact is True, False or 'archive', not 'atrium'"),
        (lambda: Full(snapshot=100), "a snapshot policy is one, or a function"),
        (lambda: every_n_events(2) | 3, "a snapshot policy is one, or a function"),
        (lambda: Full(snapshot=SnapshotPolicy), "a snapshot policy is one, or a function"),
    ],
)
def test_a_wrong_policy_is_refused_where_it_is_written(make: Any, reason: str) -> None:
    """A mistake is said at once, not at the first event."""
    with pytest.raises((ValueError, TypeError), match=reason):
        make()
