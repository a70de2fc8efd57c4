from __future__ import annotations

import asyncio
import gc
import math
import sys
from typing import Any, NamedTuple

import pytest

from perdure import ActorSystem, Event, Full, Message, PersistentActor, Restart, every_n_events, never
from perdure.abc import MAX_KEY, Backend, Delete, Page, Put, WriteGroup
from perdure.errors import CorruptionError, StoreError, StoreUnavailable
from perdure.journal import EVENTS, EventCodec, Journal, StateCodec
from perdure.journal._record import encode_msgpack
from perdure.snapshots import SNAPSHOTS
from perdure_testkit import FaultyBackend

from .tapes import MutatingTape, Number, PureTape, Read, Write, Written, append, light, stored_as

UNREADABLE = StoreUnavailable("page", "the disk is gone")

FULL = [
    stored_as(tape, strategy)
    for tape in (PureTape, MutatingTape)
    for strategy in (
        Full(),
        Full(snapshot=never),
        Full(snapshot=every_n_events(1), keep_snapshots=1, compact=True),
        Full(snapshot=every_n_events(2), keep_snapshots=1),
        Full(snapshot=every_n_events(2), keep_snapshots=2, compact=True),
    )
]
ALL = [*FULL, *(light(tape, compact=compact) for tape in (PureTape, MutatingTape) for compact in (False, True))]


async def live(store: Backend, tape: Any, *writes: tuple[int, ...]) -> list[int]:
    """Live one life of a system and an actor, to a graceful end; return the state in it."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(tape, "a")
        for written in writes:
            await ref.ask(Write(written))
        return await ref.ask(Read())


@pytest.mark.parametrize("tape", ALL)
class TestASecondLife:
    @pytest.mark.parametrize(
        "writes",
        [
            [(5,)],  # exactly one event
            [(10,), (20,)],
            [(1,), (1,), (1,)],
            [(1, 2, 3), (4,), (5, 6)],
        ],
    )
    async def test_has_the_state_of_the_first(self, tape: Any, store: FaultyBackend, writes: Any) -> None:
        """A stop and a start change nothing: no event is lost, none is applied twice.

        (AVE-01, AVE-05, AVE-06, AVE-08, AVE-13, AVE-43, AVE-106, ATS-52)
        """
        before = await live(store, tape, *writes)

        after = await live(store, tape)

        assert after == before == [value for write in writes for value in write]

    async def test_has_the_state_of_one_that_never_ended(self, tape: Any, store: FaultyBackend) -> None:
        """Without a graceful stop, too, the log says everything (AVE-09, AVE-10, AVE-41)."""
        async with ActorSystem(store=store) as killed:
            ref = killed.ref(tape, "a")
            await ref.ask(Write((5,)))
            await ref.ask(Write((7,)))

            state = await live(store, tape)

        assert state == [5, 7]

    async def test_goes_on_with_the_next_number(self, tape: Any, store: FaultyBackend) -> None:
        """Numbers are never used again, whatever was compacted.

        (AVE-04, AVE-14, AVE-15, AVE-21, AVE-41, AVE-42, ATS-02)
        """
        numbers = []
        for value in range(4):
            async with ActorSystem(store=store) as system:
                ref = system.ref(tape, "a")
                numbers.append((await ref.ask(Number()), await ref.ask(Write((value,)))))

        assert (numbers, await store.last(EVENTS, "Tape/a")) == ([(0, 1), (1, 2), (2, 3), (3, 4)], 4)

    async def test_of_nothing_writes_nothing(self, tape: Any, store: FaultyBackend) -> None:
        """To open an actor, look at it and stop it leaves every byte as it was (W-17)."""
        await live(store, tape, (10,), (20,))
        commits = store.calls["commit"]

        states = [await live(store, tape), await live(store, tape)]

        assert (states, store.calls["commit"]) == ([[10, 20], [10, 20]], commits)

    async def test_leaves_no_generator_open(self, tape: Any, store: FaultyBackend) -> None:
        """The loop would finish it in a task of its own, for each of ten thousand actors that come back at once."""
        await live(store, tape, (10,), (20,))
        hooks, left = sys.get_asyncgen_hooks(), []

        sys.set_asyncgen_hooks(finalizer=lambda generator: left.append(generator.__name__))
        await live(store, tape)
        gc.collect()
        sys.set_asyncgen_hooks(*hooks)

        assert left == []

    async def test_after_a_stop_of_the_actor_is_the_same(self, tape: Any, store: FaultyBackend) -> None:
        """The same name and the default id bring the same state (AVE-11)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            await ref.ask(Write((42,)))
            await ref.stop()

            state = await ref.ask(Read())

        assert state == [42]

    async def test_of_a_live_actor_counts_nothing_twice(self, tape: Any, store: FaultyBackend) -> None:
        """An actor that reads its log again while it runs has the same state (AVE-124, AVE-03)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            await ref.ask(Write((20,)))
            store.lose("commit", when=lambda groups: any(group.expectations for group in groups))
            with pytest.raises(StoreError):
                await ref.ask(Write((1,)))

            state = await ref.ask(Read())

        assert state == [20, 1]


async def test_a_new_actor_begins_with_its_initial_state(store: FaultyBackend) -> None:
    """Nothing is stored, nothing is there, and the number is 0 (AVE-14, AVE-106, AVE-43, ATS-63)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")

        assert (await ref.ask(Read()), await ref.ask(Number()), store.calls["commit"]) == ([], 0, 0)


async def test_actors_are_isolated(store: FaultyBackend) -> None:
    """An actor under another key begins anew (AVE-100)."""
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, "a").ask(Write((10,)))

        assert await system.ref(PureTape, "b").ask(Read()) == []


@pytest.mark.parametrize("other", ["a.b", "a/b", "a ", "A", "aa", "a\u0301", "\u00e1"])
async def test_keys_that_begin_alike_are_isolated(store: FaultyBackend, other: str) -> None:
    """No key is a part of another, and nothing is normalised (AVE-47, W-28)."""
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, other).ask(Write((1, 2)))

        assert await system.ref(PureTape, "a").ask(Read()) == []


@pytest.mark.parametrize("events", [511, 512, 513, 2047, 2048, 2049, 4096, 4097])
async def test_a_log_is_read_in_pages(store: FaultyBackend, events: int) -> None:
    """At every size around a page nothing is skipped and nothing read twice (AVE-103, AVE-113)."""
    await append(store, *range(events))

    state = await live(store, stored_as(PureTape, Full(snapshot=never)))

    assert state == list(range(events))


async def test_a_page_ends_where_the_store_ends_it(store: FaultyBackend) -> None:
    """Pages are of any size that the store likes, of one event too."""

    class Terse(FaultyBackend):
        async def page(self, *place: Any, limit: int, max_bytes: int, reverse: bool = False) -> Page:
            return await super().page(*place, limit=1, max_bytes=1, reverse=reverse)

    await append(store, 1, 2, 3, 4, 5)

    state = await live(Terse(store.inner), PureTape)

    assert state == [1, 2, 3, 4, 5]


async def test_the_loop_runs_while_a_page_is_folded(store: FaultyBackend) -> None:
    """A long recovery lets others run (W-35)."""
    await append(store, *range(40 * 512))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count())
    await live(store, PureTape)
    others.cancel()

    assert turns >= 40


async def test_a_gap_is_corruption(store: FaultyBackend) -> None:
    """A missing event is never skipped: the error names the actor and the number (AVE-18, ATS-58)."""
    await append(store, 1, 2, 3)
    await store.commit([WriteGroup((Delete(EVENTS, "Tape/a", 2),))])

    with pytest.raises(CorruptionError, match="Tape/a, sequence number 2: the event is missing; the next one is 3"):
        await live(store, PureTape)


async def test_a_log_without_its_beginning_is_corruption(store: FaultyBackend) -> None:
    """Without a snapshot the first event must be there (AVE-18, ATS-60)."""
    await append(store, 1, 2)
    await store.commit([WriteGroup((Delete(EVENTS, "Tape/a", 1),))])

    with pytest.raises(CorruptionError, match="Tape/a, sequence number 1: the log begins at 2"):
        await live(store, PureTape)


async def test_a_gap_at_the_edge_of_a_page_is_corruption(store: FaultyBackend) -> None:
    """The number that is due is known from page to page (AVE-18, ATS-58)."""
    await append(store, *range(2200))
    await store.commit([WriteGroup((Delete(EVENTS, "Tape/a", 2049),))])

    with pytest.raises(CorruptionError, match="sequence number 2049"):
        await live(store, PureTape)


def damage(record: bytes) -> list[bytes]:
    """Return what a record can become: cut short, changed in its last bit, replaced."""
    return [b"", record[:5], record[:-1], record[:-1] + bytes([record[-1] ^ 1]), b"\0" * len(record), b"hello world"]


@pytest.mark.parametrize("kind", range(6))
@pytest.mark.parametrize("write", ["msgpack", "json"])
async def test_a_damaged_event_is_corruption(store: FaultyBackend, kind: int, write: Any) -> None:
    """A damaged event fails the recovery by its number; it is never skipped (AVE-28, AVE-31, ATS-70)."""
    await append(store, 1, 2, 3)
    record = EventCodec("Tape", [Written], write).encode(Written(2), 0)
    await store.commit([WriteGroup((Put(EVENTS, "Tape/a", 2, damage(record)[kind]),))])

    with pytest.raises(CorruptionError) as corruption:
        await live(store, PureTape)

    assert (corruption.value.persistence_id, corruption.value.sequence_number) == ("Tape/a", 2)


async def test_an_unknown_event_type_is_corruption_that_names_it(store: FaultyBackend) -> None:
    """The error says which type is stored and which are declared."""

    class Scratched(Event):
        pass

    record = EventCodec("Tape", [Scratched]).encode(Scratched(), 0)
    await store.commit([WriteGroup((Put(EVENTS, "Tape/a", 1, record),))])

    with pytest.raises(CorruptionError, match="unknown type 'Scratched', version 1; Tape declares Written"):
        await live(store, PureTape)


async def test_an_event_that_apply_refuses_at_recovery_is_corruption(store: FaultyBackend) -> None:
    """The error carries the number and the cause."""

    class Stricter(PureTape):
        def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
            if event.value == 2:
                raise ValueError("no twos any more")
            return super().apply(state, event)

    await append(store, 1, 2)

    with pytest.raises(CorruptionError, match="sequence number 2: apply failed: ValueError: no twos any more") as error:
        await live(store, Stricter)

    assert isinstance(error.value.__cause__, ValueError)


async def test_an_event_that_apply_forgets_at_recovery_is_corruption(store: FaultyBackend) -> None:
    """An `apply` without a case for it is not taken to have changed a state that cannot be changed."""

    class Forgetful(PureTape):
        def apply(self, state: tuple[int, ...], event: Written) -> Any:
            return None if event.value == 2 else super().apply(state, event)

    await append(store, 1, 2)

    reason = "sequence number 2: Tape/a: apply returned None for Written, and its state, an immutable tuple"
    with pytest.raises(CorruptionError, match=reason):
        await live(store, Forgetful)


@pytest.mark.parametrize("tape", [PureTape, light(PureTape)])
@pytest.mark.parametrize("operation", ["page", "read_state"])
async def test_a_read_that_fails_is_not_an_empty_log(store: FaultyBackend, tape: Any, operation: Any) -> None:
    """An actor whose store cannot be read does not begin anew (AVE-26, AVE-48, AVE-101, AVE-102)."""
    await append(store, 1, 2)
    if operation == "read_state" and tape is PureTape:
        pytest.skip("only `Light` reads a state")
    store.reject(operation, UNREADABLE)

    with pytest.raises(StoreUnavailable, match="the disk is gone"):
        await live(store, tape)


async def test_a_failed_second_page_is_not_the_end_of_the_log(store: FaultyBackend) -> None:
    """Half a log is no log (AVE-48)."""
    await append(store, *range(2200))
    store.reject("page", UNREADABLE, when=lambda name, *_: name == EVENTS and _[1] > 2000)

    with pytest.raises(StoreUnavailable):
        await live(store, PureTape)


async def test_all_who_wait_for_a_damaged_log_are_told(store: FaultyBackend) -> None:
    """The log is read twice, once more in case it was being compacted, and nobody is left waiting (ATS-66, ATS-67)."""
    await append(store, 1, 2)
    await store.commit([WriteGroup((Put(EVENTS, "Tape/a", 2, b"damaged"),))])
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")

        answers = await asyncio.gather(*(ref.ask(Read()) for _ in range(3)), return_exceptions=True)

        assert ([type(answer) for answer in answers], system.live) == ([CorruptionError] * 3, 0)
    assert store.calls["page"] == 4  # of snapshots and of events, each time


async def test_a_failed_recovery_leaves_nothing_behind(store: FaultyBackend) -> None:
    """After a transient error the next message finds the actor; nothing has to be restarted by hand (W-24, ATS-66)."""
    await append(store, 1)
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        store.reject("page", UNREADABLE)
        with pytest.raises(StoreUnavailable):
            await ref.ask(Read())
        live_after = system.live

        state = await ref.ask(Read())

    assert (live_after, state) == (0, [1])


async def test_spawn_gives_a_ref_when_the_actor_is_recovered(store: FaultyBackend) -> None:
    """The state is there, and the start hook has run, before anybody has the ref (AVE-45, ATS-52)."""
    seen = []

    class Noting(PureTape):
        async def started(self, context: Any) -> None:
            seen.append(self.state)

    await append(store, 1, persistence_id="/user/a")
    async with ActorSystem(store=store) as system:
        await system.spawn(Noting, "a")

        assert seen == [(1,)]


async def test_a_recovery_that_fails_fails_the_spawn(store: FaultyBackend) -> None:
    """The creator gets the reason, and the name is free again (AVE-45, W-24)."""
    async with ActorSystem(store=store) as system:
        store.reject("page", UNREADABLE)
        with pytest.raises(StoreUnavailable):
            await system.spawn(PureTape, "a")

        ref = await system.spawn(PureTape, "a")

        assert await ref.ask(Read()) == []


async def test_a_restart_begins_with_the_log_not_with_the_broken_instance(store: FaultyBackend) -> None:
    """What a handler did to the state behind apply's back is gone after its failure (W-18)."""

    class Cheating(MutatingTape):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            if isinstance(message, Number):
                self.state.append(99)
                raise ValueError("caught")
            return await super().handle(message, context)

    async with ActorSystem(store=store) as system:
        ref = system.ref(Cheating, "a")
        await ref.ask(Write((1,)))
        with pytest.raises(ValueError, match="caught"):
            await ref.ask(Number())

        assert await ref.ask(Read()) == [1]


async def test_a_restart_tries_the_store_again_until_it_answers(store: FaultyBackend, clock: Any) -> None:
    """A store that is away for a while costs a back-off, not the actor (W-24, ATS-67)."""

    class Patient(PureTape):
        supervision = Restart()

    await append(store, 1)
    async with ActorSystem(store=store, clock=clock) as system:
        ref = system.ref(Patient, "a")
        await ref.ask(Read())
        store.reject("page", UNREADABLE, when=lambda *_: True)
        store.reject("commit", UNREADABLE)
        with pytest.raises(StoreUnavailable):
            await ref.ask(Write((2,)))
        read = asyncio.ensure_future(ref.ask(Read()))
        await clock.advance(0.25)
        store.heal()

        await clock.advance(5)

        assert await read == [1]


async def test_recoveries_at_a_time_are_bounded(store: FaultyBackend) -> None:
    """A thousand actors that wake at once do not read the store all at once (W-36)."""
    reading = most = 0

    class Counting(FaultyBackend):
        async def page(self, *place: Any, **bounds: Any) -> Page:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            await asyncio.sleep(0)
            reading -= 1
            return await super().page(*place, **bounds)

    async with ActorSystem(store=Counting(store.inner), max_recoveries=4) as system:
        await asyncio.gather(*(system.ref(PureTape, str(n)).ask(Read()) for n in range(100)))

    assert most == 4


async def test_a_recovery_makes_a_fixed_number_of_reads(store: FaultyBackend) -> None:
    """One page of snapshots and one of events, however long the log behind the snapshot (W-39).

    The one state is read by the system: whether the store is sealed.
    """
    tape = stored_as(PureTape, Full(snapshot=every_n_events(100)))
    await live(store, tape, *[(n,) for n in range(200)])
    store.calls.clear()

    await live(store, tape)

    assert (store.calls["page"], store.calls["last"], store.calls["read_state"]) == (2, 0, 1)


@pytest.mark.parametrize("start", [1, 2, 4])
async def test_a_log_can_be_read_from_any_number(store: FaultyBackend, start: int) -> None:
    """Reading from a number on gives what is there (AVE-103, AVE-109, AVE-110, AVE-115, W-29, ATS-03)."""
    await append(store, 1, 2, 3)

    read = [entry.key async for page in Journal(store).pages("Tape/a", start) for entry in page]

    assert read == list(range(start, 4))


async def test_reading_an_empty_or_compacted_log_is_no_error(store: FaultyBackend) -> None:
    """What is not there any more is not there; nothing fails (AVE-109, W-29)."""
    await append(store, 3, after=2)

    read = [[entry.key async for entry in store.collection(EVENTS, name).iterate()] for name in ("Tape/a", "Tape/b")]

    assert read == [[3], []]


async def test_a_damaged_snapshot_falls_back_to_the_older_one(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """A snapshot that cannot be read costs time, not data, and is reported (W-23, ATS-57)."""
    tape = stored_as(PureTape, Full(snapshot=every_n_events(2), compact=True))
    await live(store, tape, (1,), (2,), (3,), (4,), (5,))
    await store.commit([WriteGroup((Put(SNAPSHOTS, "Tape/a", 4, b"damaged"),))])

    state = await live(store, tape)

    assert (state, "Tape/a, sequence number 4: the snapshot cannot be used" in caplog.text) == ([1, 2, 3, 4, 5], True)


async def test_without_any_readable_snapshot_the_whole_log_is_read(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """A complete log never needs a snapshot (W-23, ATS-57)."""
    tape = stored_as(MutatingTape, Full(snapshot=every_n_events(2)))
    await live(store, tape, (1,), (2,), (3,), (4,))
    for number in (2, 4):
        await store.commit([WriteGroup((Put(SNAPSHOTS, "Tape/a", number, b""),))])

    assert (await live(store, tape), caplog.text.count("cannot be used")) == ([1, 2, 3, 4], 2)


async def test_a_compacted_log_without_a_readable_snapshot_is_corruption(store: FaultyBackend) -> None:
    """When no base is left, the first reason is the error (W-23)."""
    tape = stored_as(PureTape, Full(snapshot=every_n_events(1), keep_snapshots=1, compact=True))
    await live(store, tape, (1,), (2,))
    await store.commit([WriteGroup((Put(SNAPSHOTS, "Tape/a", 2, b"damaged"),))])

    with pytest.raises(CorruptionError, match="sequence number 2: the snapshot cannot be used"):
        await live(store, tape)


async def test_a_log_that_ends_before_its_snapshot_is_corruption(store: FaultyBackend) -> None:
    """A lost tail is noticed, and nothing goes on from an older state in silence (W-26, ATS-55)."""
    tape = stored_as(PureTape, Full(snapshot=every_n_events(2)))
    await live(store, tape, (1,), (2,))
    await store.commit([WriteGroup((Delete(EVENTS, "Tape/a", 2),))])

    with pytest.raises(CorruptionError, match="sequence number 2: the log ends before the state"):
        await live(store, tape)


def shuffled(order: list[int]) -> type[FaultyBackend]:
    """Return a store whose first page of events has its entries at these places, in this order."""

    class Shuffled(FaultyBackend):
        async def page(self, *place: Any, **bounds: Any) -> Page:
            page = await super().page(*place, **bounds)
            if place[0] != EVENTS:
                return page
            return page._replace(entries=[page.entries[place] for place in order])

    return Shuffled


@pytest.mark.parametrize(
    ("order", "at"),
    [([1, 0, 2], 1), ([0, 2, 1], 2), ([2, 1, 0], 1), ([0, 0, 1], 2), ([0, 1, 1], 3), ([0, 1, 0], 3), ([0, 2], 2)],
)
async def test_a_store_that_mixes_up_a_log_is_not_believed(store: FaultyBackend, order: list[int], at: int) -> None:
    """Events out of order, twice or not at all are corruption, with the id and the number that is due (ATS-58)."""
    await append(store, 1, 2, 3)

    with pytest.raises(CorruptionError) as corruption:
        await live(shuffled(order)(store.inner), PureTape)

    assert (corruption.value.persistence_id, corruption.value.sequence_number) == ("Tape/a", at)


async def test_an_event_that_its_snapshot_covers_is_not_applied_again(store: FaultyBackend) -> None:
    """A store that gives it twice is not believed (ATS-59)."""
    tape = stored_as(PureTape, Full(snapshot=every_n_events(2)))
    await live(store, tape, (1,), (2,), (3,))

    with pytest.raises(CorruptionError, match="Tape/a, sequence number 3: the event is missing; the next one is 2"):
        await live(shuffled([0, 0, 1])(store.inner), tape)


@pytest.mark.parametrize("number", [4, 1000, MAX_KEY])
async def test_a_snapshot_of_events_that_never_were_is_corruption(store: FaultyBackend, number: int) -> None:
    """However well it is made, the log has to reach it; no state comes from it (ATS-55)."""
    await append(store, 1, 2, 3)
    forged = StateCodec("Tape", tuple[int, ...]).encode((99,), number, 0)
    await store.commit([WriteGroup((Put(SNAPSHOTS, "Tape/a", number, forged),))])

    with pytest.raises(CorruptionError, match=f"Tape/a, sequence number {number}: the log ends before the state"):
        await live(store, PureTape)


@pytest.mark.parametrize("number", [-1, 0, math.nan, 2.0, "2", None])
async def test_a_snapshot_with_a_number_that_is_none_is_not_used(store: FaultyBackend, number: Any) -> None:
    """It is passed over like any that cannot be read (ATS-55)."""
    await append(store, 1, 2, 3)
    forged = encode_msgpack("Tape", 1, 0, (99,), {"sequence_number": number})
    await store.commit([WriteGroup((Put(SNAPSHOTS, "Tape/a", 2, forged),))])

    assert await live(store, PureTape) == [1, 2, 3]


@pytest.mark.parametrize("tape", [PureTape, light(PureTape)])
async def test_a_state_over_an_empty_log_is_corruption(store: FaultyBackend, tape: Any) -> None:
    """The event at its number is never removed, so its log is lost (ATS-56)."""
    await live(store, stored_as(tape, Full(snapshot=every_n_events(1))) if tape is PureTape else tape, (1,))
    await store.collection(EVENTS, "Tape/a").purge()

    with pytest.raises(CorruptionError, match="Tape/a, sequence number 1: the log ends before the state"):
        await live(store, tape)


async def test_a_snapshot_under_another_number_is_not_used(store: FaultyBackend) -> None:
    """A snapshot says itself which number it covers (W-26, ATS-55)."""
    tape = stored_as(PureTape, Full(snapshot=every_n_events(2)))
    await live(store, tape, (1,), (2,), (3,))
    moved = await store.collection(SNAPSHOTS, "Tape/a").get(2)
    await store.commit([WriteGroup((Put(SNAPSHOTS, "Tape/a", 3, moved),))])

    assert await live(store, tape) == [1, 2, 3]


async def test_a_log_that_is_compacted_while_it_is_read_is_no_corruption(store: FaultyBackend) -> None:
    """Another process may take a snapshot and remove events in the middle of a recovery (W-22, W-24)."""
    tape = stored_as(PureTape, Full(snapshot=every_n_events(2), keep_snapshots=1, compact=True))
    await live(store, tape, (1,), (2,), (3,))
    slow = FaultyBackend(store)
    read = slow.hold("page", when=2)  # the first page is the snapshot
    async with ActorSystem(store=slow) as system:
        state = asyncio.ensure_future(system.ref(tape, "a").ask(Read()))
        while slow.calls["page"] < 2:  # noqa: ASYNC110  # a few turns of the loop
            await asyncio.sleep(0)
        await live(store, tape, (4,), (5,), (6,))
        read.set()

        assert await state == [1, 2, 3, 4, 5, 6]


SHORT = Full(snapshot=every_n_events(2), keep_snapshots=1, compact=True)


class Life(NamedTuple):
    tape: Any
    events: int


FULL_LIFE, LIGHT_LIFE = stored_as(PureTape, SHORT), light(PureTape, compact=True)


@pytest.mark.parametrize(
    "lives",
    [
        [Life(FULL_LIFE, 5), Life(LIGHT_LIFE, 5)],
        [Life(LIGHT_LIFE, 5), Life(FULL_LIFE, 1)],
        [Life(FULL_LIFE, 5), Life(LIGHT_LIFE, 5), Life(FULL_LIFE, 1)],
        [Life(LIGHT_LIFE, 5), Life(FULL_LIFE, 6), Life(LIGHT_LIFE, 3)],
        [Life(LIGHT_LIFE, 5), Life(FULL_LIFE, 6), Life(LIGHT_LIFE, 3), Life(FULL_LIFE, 1), Life(LIGHT_LIFE, 1)],
    ],
)
async def test_the_strategy_may_change_from_life_to_life(store: FaultyBackend, lives: list[Life]) -> None:
    """Each strategy finds what the other left, however much was compacted."""
    written: list[int] = []
    for life in lives:
        for _ in range(life.events):
            written.append(len(written))
            assert await live(store, life.tape, (written[-1],)) == written


async def test_a_snapshot_of_a_type_that_cannot_be_read_back_is_not_needed(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a state cannot come back from its bytes, the log still can (W-23)."""
    tape = stored_as(Odd, Full(snapshot=every_n_events(1)))
    async with ActorSystem(store=store) as system:
        await system.ref(tape, "a").ask(Write((1,)))

    async with ActorSystem(store=store) as system:
        number = await system.ref(tape, "a").ask(Number())

    assert (number, "Odd" in caplog.text) == (1, True)


class _Left(Event):
    pass


class _Right(Event):
    pass


class Odd(PersistentActor[_Left | _Right, Written]):
    """Its state is a union that msgspec can write and cannot read."""

    initial_state = _Left()

    async def handle(self, message: Message[Any], context: Any) -> Any:
        if isinstance(message, Write):
            await self.persist(*map(Written, message.values))
        return self.sequence_number

    def apply(self, state: _Left | _Right, event: Written) -> _Left | _Right:
        return _Right()
