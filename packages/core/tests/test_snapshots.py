from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from perdure import ActorSystem, Full, PersistentActor, every_n_events, never
from perdure.abc import Backend, DeleteRange, WriteGroup
from perdure.errors import StoreUnavailable
from perdure.journal import EVENTS, StateCodec
from perdure.snapshots import SNAPSHOTS, Compact
from perdure_testkit import FaultyBackend

from .tapes import MutatingTape, Number, PureTape, Read, Write, Written, background, keys, stored_as

DOWN = StoreUnavailable("commit", "down")


class Counted(PureTape):
    applied = 0

    def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
        Counted.applied += 1
        return (*state, event.value)


def full(n: int, keep: int = 2, *, compact: Compact = False, kind: Any = PureTape) -> Any:
    return stored_as(kind, Full(snapshot=every_n_events(n), keep_snapshots=keep, compact=compact))


async def live(store: Backend, tape: Any, *writes: tuple[int, ...]) -> list[int]:
    async with ActorSystem(store=store) as system:
        ref = system.ref(tape, "a")
        for written in writes:
            await ref.ask(Write(written))
        return await ref.ask(Read())


async def replayed(store: Backend, tape: Any) -> tuple[list[int], int]:
    """Return the state of a new life and how many events were applied for it."""
    Counted.applied = 0
    return await live(store, tape), Counted.applied


def is_snapshot(groups: list[WriteGroup]) -> bool:
    return any(write.collection == SNAPSHOTS for group in groups for write in group.writes)  # type: ignore[union-attr]


def is_removal(groups: list[WriteGroup]) -> bool:
    return any(isinstance(write, DeleteRange) for group in groups for write in group.writes)


def noted(store: FaultyBackend) -> list[WriteGroup]:
    """Return a list into which every group goes that is committed from now on."""
    groups: list[WriteGroup] = []

    def note(batch: list[WriteGroup]) -> bool:
        groups.extend(batch)
        return False

    store.hold("commit", when=note)
    return groups


async def test_a_snapshot_is_taken_at_each_nth_event(store: FaultyBackend) -> None:
    """With every_n_events(2) the second, fourth, … event is followed by one (AVE-30)."""
    taken = []
    for value in range(4):
        await live(store, full(2, keep=9), (value,))
        taken.append(await keys(store, SNAPSHOTS))

    assert taken == [[], [2], [2], [2, 4]]


async def test_a_snapshot_covers_the_events_that_it_says(store: FaultyBackend) -> None:
    """It holds the state at its key, and says the key itself (AVE-07)."""
    await live(store, full(2), (10,), (20,), (30,))

    record = await store.collection(SNAPSHOTS, "Tape/a").get(2)

    assert StateCodec("Tape", tuple[int, ...]).decode(record) == ((10, 20), 2)


@pytest.mark.parametrize(
    ("n", "events", "applied"),
    [
        (3, [10, 20, 30], 0),  # a snapshot at the end
        (2, [10, 20, 30, 40, 50], 1),
        (100, [10, 20, 30], 3),  # none
        (5, [1, 2, 3, 4, 5, 6, 7], 2),  # from the later one
    ],
)
async def test_recovery_applies_what_follows_the_newest_snapshot(
    store: FaultyBackend, n: int, events: list[int], applied: int
) -> None:
    """The state is right with any number of events on either side.

    (AVE-07, AVE-111, AVE-112, AVE-113, AVE-116, ATS-53, ATS-54)
    """
    tape = full(n, kind=Counted)
    await live(store, tape, *[(event,) for event in events])

    assert await replayed(store, tape) == (events, applied)


async def test_a_snapshot_does_not_move_the_head(store: FaultyBackend) -> None:
    """The number is the number of events, snapshot or not, now and after a restart (AVE-15, AVE-114)."""
    numbers = []
    for _ in range(3):
        async with ActorSystem(store=store) as system:
            ref = system.ref(full(1), "a")
            numbers += [await ref.ask(Number()), await ref.ask(Write((1,)))]

    assert numbers == [0, 1, 1, 2, 2, 3]


async def test_an_actor_without_events_has_no_snapshot(store: FaultyBackend) -> None:
    """There is nothing to cover, and the initial state needs no store (AVE-114)."""
    await live(store, full(1))

    assert await keys(store, SNAPSHOTS) == []


async def test_a_persist_over_the_nth_event_takes_one_snapshot(store: FaultyBackend) -> None:
    """Several events at once are followed by one snapshot, at the last of them (AVE-30)."""
    await live(store, full(2, keep=9), (1, 2, 3, 4, 5))

    assert await keys(store, SNAPSHOTS) == [5]


async def test_never_takes_none(store: FaultyBackend) -> None:
    """An actor may live on its log alone."""
    await live(store, stored_as(PureTape, Full(snapshot=never)), *[(n,) for n in range(5)])

    assert await keys(store, SNAPSHOTS) == []


@pytest.mark.parametrize(("keep", "kept"), [(1, [6]), (2, [5, 6]), (3, [4, 5, 6])])
async def test_so_many_snapshots_are_kept(store: FaultyBackend, keep: int, kept: list[int]) -> None:
    """Older ones are removed as new ones come, in one life or in many (W-23)."""
    for value in range(3):
        await live(store, full(1, keep), (value,), (value,))

    assert await keys(store, SNAPSHOTS) == kept


async def test_a_failed_snapshot_does_not_fail_the_persist(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is durable, so the asker hears of success; the failure is reported (W-19, W-25, ATS-46)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(full(1), "a")
        store.reject("commit", DOWN, when=is_snapshot)

        number = await ref.ask(Write((1,)))

        assert (number, await ref.ask(Read())) == (1, [1])
    assert "Tape/a: the snapshot at 1 was not saved: commit: down" in caplog.text


async def test_a_failed_removal_of_older_snapshots_does_not_fail_the_new_one(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """It is durable, and the next one removes what was left (ATS-76)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(full(1, keep=1), "a")
        await ref.ask(Write((1,)))
        await background(system)
        store.reject("commit", DOWN, when=is_removal)
        await ref.ask(Write((2,)))
        await background(system)
        store.heal()
        between = await keys(store, SNAPSHOTS)

        await ref.ask(Write((3,)))

    assert (between, await keys(store, SNAPSHOTS)) == ([1, 2], [3])
    assert "Tape/a: what the snapshot at 2 replaces was not removed: commit: down" in caplog.text


async def test_a_policy_that_raises_does_not_fail_the_persist(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is durable, whatever happens afterwards (W-19)."""

    def broken(sequence_number: int, state: object, event: object) -> bool:
        raise ZeroDivisionError("policy")

    async with ActorSystem(store=store) as system:
        ref = system.ref(stored_as(PureTape, Full(snapshot=broken)), "a")

        number = await ref.ask(Write((1,)))

        assert (number, await ref.ask(Read())) == (1, [1])
    assert "Tape/a: no snapshot at 1: policy" in caplog.text


async def test_a_state_that_cannot_be_encoded_does_not_fail_the_persist(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """Such an actor lives on its log, and is told that it does (W-19)."""

    class Heap(PersistentActor[object, Written]):
        initial_state: object = object()
        strategy = Full(snapshot=every_n_events(1))

        async def handle(self, message: Any, context: Any) -> int:
            await self.persist(Written(1))
            return self.sequence_number

        def apply(self, state: object, event: Written) -> object:
            return object()

    async with ActorSystem(store=store) as system:
        number = await system.ref(Heap, "a").ask(Number())

    assert (number, "Heap/a: no snapshot at 1: Heap: its state cannot be encoded" in caplog.text) == (1, True)


async def test_a_persist_does_not_wait_for_its_snapshot(store: FaultyBackend) -> None:
    """Snapshots are written in the background (W-19, ATS-46)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(full(1), "a")
        snapshot = store.hold("commit", when=is_snapshot)

        number = await ref.ask(Write((1,)))

        assert (number, await keys(store, SNAPSHOTS)) == (1, [])
        snapshot.set()


async def test_a_system_that_closes_finishes_its_snapshots(store: FaultyBackend) -> None:
    """What was begun is stored before the store is closed (W-25)."""
    async with ActorSystem(store=store) as system:
        snapshot = store.hold("commit", when=is_snapshot)
        await system.ref(full(1), "a").ask(Write((1,)))
        asyncio.get_running_loop().call_later(0, snapshot.set)

    assert await keys(store, SNAPSHOTS) == [1]


async def test_a_snapshot_is_of_the_state_at_its_number(store: FaultyBackend) -> None:
    """A state that is changed in place while its snapshot waits is not what is stored."""
    tape = full(1, keep=9, kind=MutatingTape)
    async with ActorSystem(store=store) as system:
        ref = system.ref(tape, "a")
        store.hold("commit", when=2).set()
        for value in range(5):
            await ref.ask(Write((value,)))
    codec = StateCodec("Tape", list[int])

    snapshots = [codec.decode(entry.value) async for entry in store.collection(SNAPSHOTS, "Tape/a").iterate()]

    assert snapshots == [(list(range(n)), n) for n in range(1, 6)]


async def test_compaction_keeps_the_last_event(store: FaultyBackend) -> None:
    """With a snapshot a event and compaction the log is its head, and the state is whole (AVE-20, AVE-23)."""
    tape = full(1, keep=1, compact=True)
    heads = []
    for value in (1, 2, 3):
        await live(store, tape, (value,))
        heads.append(await keys(store))

    assert (heads, await live(store, tape)) == ([[1], [2], [3]], [1, 2, 3])


async def test_after_compaction_the_numbers_go_on(store: FaultyBackend) -> None:
    """A new life on a compacted log reuses no number (AVE-21)."""
    tape = full(1, keep=1, compact=True)
    await live(store, tape, (5,))

    states = [await live(store, tape, (4,)), await live(store, tape)]

    assert (states, await keys(store)) == ([[5, 4], [5, 4]], [2])


async def test_compaction_removes_only_what_the_oldest_kept_snapshot_covers(store: FaultyBackend) -> None:
    """From each snapshot that is kept, the log can be read on; the event at its own number stays (AVE-23, AVE-27)."""
    await live(store, full(2, keep=2, compact=True), *[(n,) for n in range(7)])

    assert (await keys(store, SNAPSHOTS), await keys(store)) == ([4, 6], [4, 5, 6, 7])


async def test_compaction_waits_until_so_many_snapshots_are_there(store: FaultyBackend) -> None:
    """The first snapshot alone is no reason to forget the events."""
    await live(store, full(2, keep=2, compact=True), (1,), (2,), (3,))

    assert (await keys(store, SNAPSHOTS), await keys(store)) == ([2], [1, 2, 3])


async def test_events_are_removed_when_their_snapshot_is_durable(store: FaultyBackend) -> None:
    """No moment exists at which the events are gone and the snapshot is not there (W-20, W-25, AVE-22)."""
    groups = noted(store)

    await live(store, full(1, keep=1, compact=True), (1, 2))

    writes = [(type(write).__name__, write.collection) for group in groups for write in group.writes]  # type: ignore[union-attr]
    assert writes[1:] == [("Put", EVENTS), ("Put", SNAPSHOTS), ("DeleteRange", SNAPSHOTS), ("DeleteRange", EVENTS)]


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("compact", [True, "archive"])
async def test_a_crash_at_any_step_leaves_an_actor_that_recovers(
    store: FaultyBackend, steps: int, compact: Any
) -> None:
    """After so many commits nothing is written any more, as after a kill: what was acknowledged is there (AVE-22)."""
    tape = full(2, keep=1, compact=compact)
    acknowledged = []
    commits = 0

    def is_after_the_crash(groups: list[WriteGroup]) -> bool:
        nonlocal commits
        commits += 1
        return commits > steps

    async with ActorSystem(store=store) as system:
        store.reject("commit", DOWN, when=is_after_the_crash)
        for value in range(5):
            with suppress(StoreUnavailable):
                await system.ref(tape, "a").ask(Write((value,)))
                acknowledged.append(value)
            await background(system)
    store.heal()

    assert await live(store, tape) == acknowledged


async def test_a_failed_compaction_is_made_up_by_the_next(store: FaultyBackend) -> None:
    """What was not removed then is removed later, and no event is missed (AVE-22)."""
    tape = full(1, keep=1, compact=True)
    async with ActorSystem(store=store) as system:
        ref = system.ref(tape, "a")
        store.reject("commit", DOWN, when=is_snapshot)
        for number in (1, 2):
            await ref.ask(Write((number,)))
            await background(system)
        store.heal()

        await ref.ask(Write((3,)))

    assert (await keys(store), await live(store, tape)) == ([3], [1, 2, 3])


@pytest.mark.parametrize("n", [0, -1])
def test_a_snapshot_every_zero_events_is_refused(n: int) -> None:
    """A policy that would never or always fire is a mistake, said at once."""
    with pytest.raises(ValueError, match=f"every_n_events takes 1 or more, not {n}"):
        every_n_events(n)


def test_keeping_no_snapshot_is_refused() -> None:
    """`never` is how to have none."""
    with pytest.raises(ValueError, match="keep_snapshots is 1 or more, not 0"):
        Full(keep_snapshots=0)
