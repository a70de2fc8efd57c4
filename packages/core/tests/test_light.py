from __future__ import annotations

from typing import Any

import pytest

from perdure import ActorSystem, Light, PersistentActor
from perdure.abc import Backend, Delete, DeleteRange, Put, PutState, WriteGroup
from perdure.errors import ConflictError, CorruptionError, EventTypeError, OutcomeUnknown, StoreUnavailable
from perdure.journal import EVENTS, StateCodec
from perdure_testkit import FaultyBackend

from .tapes import MutatingTape, Number, PureTape, Read, Write, Written, append, keys, light, values

STATES = "states"
DOWN = StoreUnavailable("commit", "down")


class Counted(light(PureTape)):  # type: ignore[misc]
    """Counts its applications."""

    applied = 0

    def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
        Counted.applied += 1
        return (*state, event.value)


@pytest.fixture(autouse=True)
def _no_applications() -> None:
    Counted.applied = 0


def state_codec() -> StateCodec[tuple[int, ...]]:
    return StateCodec("Tape", tuple[int, ...])


async def stored_state(store: Backend) -> tuple[tuple[int, ...], int]:
    return state_codec().decode((await store.state(STATES, "Tape/a").get()).value)


async def live(store: Backend, tape: Any, *writes: tuple[int, ...]) -> list[int]:
    async with ActorSystem(store=store) as system:
        ref = system.ref(tape, "a")
        for written in writes:
            await ref.ask(Write(written))
        return await ref.ask(Read())


async def test_the_state_is_stored_with_its_event(store: FaultyBackend) -> None:
    """The stored state covers exactly the events that are written (AVE-02)."""
    await live(store, light(PureTape), (3,), (4, 5))

    assert (await stored_state(store), await store.last(EVENTS, "Tape/a")) == (((3, 4, 5), 3), 3)


async def test_the_event_the_state_and_the_compaction_are_one_group(store: FaultyBackend) -> None:
    """There is no moment at which one of them is stored without the others (W-20)."""
    groups: list[WriteGroup] = []

    def note(batch: list[WriteGroup]) -> bool:
        groups.extend(batch)
        return False

    store.hold("commit", when=note)

    await live(store, light(PureTape, compact=True), (3,))

    assert [[type(write) for write in group.writes] for group in groups] == [[Put, PutState, DeleteRange]]


async def test_recovery_applies_no_event(store: FaultyBackend) -> None:
    """The stored state holds its event already: it is read, and nothing is applied (AVE-01, AVE-03, AVE-04)."""
    await live(store, Counted, (3,))
    Counted.applied = 0

    state = await live(store, Counted)

    assert (state, Counted.applied) == ([3], 0)


async def test_recovery_trusts_the_stored_state(store: FaultyBackend) -> None:
    """Whatever state was stored is what comes back, and the number stays (AVE-04)."""
    await live(store, light(PureTape), (3,))
    await store.state(STATES, "Tape/a").put(state_codec().encode((7, 7), 1, 0))

    async with ActorSystem(store=store) as system:
        ref = system.ref(light(PureTape), "a")

        assert (await ref.ask(Read()), await ref.ask(Number())) == ([7, 7], 1)


async def test_recovery_is_one_state_and_one_page(store: FaultyBackend) -> None:
    """However long the history, two reads do, beside one of the system, whether the store is sealed (W-37, W-39)."""
    await live(store, light(PureTape), *[(n,) for n in range(50)])
    store.calls.clear()

    await live(store, light(PureTape))

    assert (store.calls["read_state"], store.calls["page"], store.calls["last"]) == (2, 1, 0)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("tape", [PureTape, MutatingTape])
async def test_a_persist_that_fails_leaves_everything_as_it_was(tape: Any, compact: bool, store: FaultyBackend) -> None:
    """A light persist that fails leaves the state, the number, the log and the stored state (AVE-16, AVE-17, W-20)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(light(tape, compact=compact), "a")
        store.reject("commit", DOWN)

        with pytest.raises(StoreUnavailable):
            await ref.ask(Write((10,)))

        assert (await ref.ask(Read()), await ref.ask(Number())) == ([], 0)
        assert (await keys(store), await store.read_state(STATES, "Tape/a")) == ([], (0, None))


@pytest.mark.parametrize("compact", [False, True])
async def test_after_a_failed_persist_the_next_life_knows_nothing_of_it(compact: bool, store: FaultyBackend) -> None:
    """The rejected change never comes back (AVE-17, W-20)."""
    tape = light(PureTape, compact=compact)
    async with ActorSystem(store=store) as system:
        ref = system.ref(tape, "a")
        await ref.ask(Write((1,)))
        store.reject("commit", DOWN)
        with pytest.raises(StoreUnavailable):
            await ref.ask(Write((5,)))

    assert await live(store, tape, (2,)) == [1, 2]


async def test_a_conflict_changes_no_state(store: FaultyBackend) -> None:
    """A stale writer does not overwrite the state of the one who was first (W-22)."""
    async with ActorSystem(store=store) as stale:
        ref = stale.ref(light(PureTape), "a")
        await ref.ask(Write((1,)))
        await live(store, light(PureTape), (2,))

        with pytest.raises(ConflictError):
            await ref.ask(Write((3,)))

        assert (await stored_state(store), await ref.ask(Read())) == (((1, 2), 2), [1, 2])


async def test_compaction_keeps_the_last_event(store: FaultyBackend) -> None:
    """The log has always a head, so that a stale writer is refused."""
    await live(store, light(PureTape, compact=True), (1,), (2,), (3, 4))

    assert await keys(store) == [4]


async def test_without_compaction_the_history_stays(store: FaultyBackend) -> None:
    """The log is complete unless the author says otherwise."""
    await live(store, light(PureTape), (1,), (2,), (3,))

    assert await values(store) == [1, 2, 3]


async def test_a_damaged_state_falls_back_to_the_log(store: FaultyBackend, caplog: pytest.LogCaptureFixture) -> None:
    """The log is the truth, and the damage is reported (W-23)."""
    await live(store, light(PureTape), (1,), (2,))
    await store.state(STATES, "Tape/a").put(b"damaged")

    state = await live(store, light(PureTape))

    assert (state, "the stored state, version 3, cannot be used" in caplog.text) == ([1, 2], True)


async def test_a_lost_state_falls_back_to_the_log(store: FaultyBackend) -> None:
    """What was kept beside the log is never needed while the log is whole (AVE-27)."""
    await live(store, light(PureTape), (1,), (2,))
    await store.state(STATES, "Tape/a").purge()

    assert await live(store, light(PureTape)) == [1, 2]


async def test_a_damaged_state_over_a_compacted_log_is_corruption(store: FaultyBackend) -> None:
    """Nothing is made up (W-23)."""
    await live(store, light(PureTape, compact=True), (1,), (2,))
    await store.state(STATES, "Tape/a").put(b"damaged")

    with pytest.raises(CorruptionError, match=r"Tape/a.*the stored state, version 3, cannot be used"):
        await live(store, light(PureTape, compact=True))


async def test_a_log_that_ends_before_the_state_is_corruption(store: FaultyBackend) -> None:
    """A lost tail is noticed (W-26)."""
    await live(store, light(PureTape), (1,), (2,))
    await store.commit([WriteGroup((Delete(EVENTS, "Tape/a", 2),))])

    with pytest.raises(CorruptionError, match="sequence number 2: the log ends before the state"):
        await live(store, light(PureTape))


async def test_events_behind_the_state_are_applied(store: FaultyBackend) -> None:
    """An older state is a base, and the rest of the log follows."""
    await live(store, light(PureTape), (1,))
    await append(store, 2, 3, after=1)

    assert await live(store, light(PureTape)) == [1, 2, 3]


async def test_a_persist_with_a_lost_answer_is_read_again(store: FaultyBackend) -> None:
    """Event and state were written together, so both are there (W-21)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(light(MutatingTape, compact=True), "a")
        store.lose("commit")
        with pytest.raises(OutcomeUnknown):
            await ref.ask(Write((1,)))

        assert (await ref.ask(Read()), await ref.ask(Write((2,)))) == ([1], 2)


async def test_a_state_that_cannot_be_encoded_is_refused_and_nothing_is_stored(store: FaultyBackend) -> None:
    """The error names the actor type; the event is not stored without its state."""

    class Heap(PersistentActor[list[object], Written]):
        initial_state: list[object] = []  # noqa: RUF012
        strategy = Light()
        handle = PureTape.handle

        def apply(self, state: list[object], event: Written) -> list[object]:
            return [object()]

    async with ActorSystem(store=store) as system:
        with pytest.raises(EventTypeError, match="Heap: its state cannot be encoded"):
            await system.ref(Heap, "a").ask(Write((1,)))

    assert await keys(store, persistence_id="Heap/a") == []
