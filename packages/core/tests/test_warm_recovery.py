"""Recovery from a state that somebody has in memory."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from perdure import ActorSystem, Full, Keyring, Recovery, Sealing, every_n_events, never
from perdure.abc import Delete, Put, WriteGroup
from perdure.errors import CorruptionError
from perdure.journal import EVENTS
from perdure.snapshots import SNAPSHOTS
from perdure.upkeep import verify
from perdure_testkit import FaultyBackend

from .tapes import MutatingTape, Number, PureTape, Read, Write, append, background, light, stored_as

COMPACTING = stored_as(PureTape, Full(snapshot=every_n_events(2), keep_snapshots=1, compact=True))
ALL = [PureTape, MutatingTape, COMPACTING, light(PureTape), light(MutatingTape, compact=True)]


class Warm:
    """Gives all who ask the same answer, and notes who asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[type[Any], str]] = []

    def state(self, actor_type: type[Any], persistence_id: str, /) -> Any:
        self.asked.append((actor_type, persistence_id))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def read(store: FaultyBackend, tape: Any, answer: Any, **options: Any) -> list[int]:
    """Return the state of an actor that is recovered beside a warm one."""
    async with ActorSystem(store=store, warm=Warm(answer), **options) as system:
        return await system.ref(tape, "a").ask(Read())


async def test_of_a_long_log_one_page_is_read(store: FaultyBackend) -> None:
    """However many events there are, and not even the snapshots are looked for."""
    count = 100_000
    await append(store, *range(count))

    state = await read(store, PureTape, (tuple(range(count)), count))

    assert (len(state), state[-1], store.calls["page"]) == (count, count - 1, 1)


@pytest.mark.parametrize("tape", ALL)
async def test_what_is_behind_a_warm_state_is_folded(store: FaultyBackend, tape: Any) -> None:
    """Whatever the strategy stored, and whatever it removed."""
    async with ActorSystem(store=store) as system:
        for value in range(5):
            await system.ref(tape, "a").ask(Write((value,)))
            await background(system)

    states = [await read(store, tape, ([*range(number)], number)) for number in range(1, 6)]

    assert states == [[0, 1, 2, 3, 4]] * 5


@pytest.mark.parametrize(
    "answer",
    [
        None,
        ([0, 1, 2, 3], 4),  # newer than the log
        ([7, 8, 9], 2**63 - 1),
        ([9], 0),
        ([9], -1),
        ([9], "2"),
        ({"of": "another type"}, 2),
        ("text", 2),
        (object(), 2),  # which no snapshot could hold
        (["text"], 2),
    ],
)
@pytest.mark.parametrize("tape", ALL)
async def test_a_state_that_does_not_fit_is_left_aside(store: FaultyBackend, tape: Any, answer: Any) -> None:
    """It costs a read at most, and the log alone says what the state is."""
    async with ActorSystem(store=store) as system:
        await system.ref(tape, "a").ask(Write((0,)))
        await system.ref(tape, "a").ask(Write((1, 2)))

    assert await read(store, tape, answer) == [0, 1, 2]


async def test_a_state_on_which_an_event_cannot_be_applied_is_left_aside(store: FaultyBackend) -> None:
    """It must have been that of another log."""

    class Ordered(PureTape):
        def apply(self, state: tuple[int, ...], event: Any) -> tuple[int, ...]:
            if state and state[-1] > event.value:
                raise ValueError("out of order")
            return super().apply(state, event)

    await append(store, 1, 2, 3)

    assert await read(store, Ordered, ([9], 1)) == [1, 2, 3]


async def test_a_log_whose_beginning_was_removed_goes_on_from_its_snapshot(store: FaultyBackend) -> None:
    """An older state than the log has events for is none to go on from."""
    async with ActorSystem(store=store) as system:
        for value in range(5):
            await system.ref(COMPACTING, "a").ask(Write((value,)))
            await background(system)

    assert await read(store, COMPACTING, ([0], 1)) == [0, 1, 2, 3, 4]


async def test_real_damage_is_still_found(store: FaultyBackend) -> None:
    """A warm state hides no event that is damaged behind it, and no gap."""
    await append(store, 1, 2, 3)
    await store.commit([WriteGroup((Delete(EVENTS, "Tape/a", 2),))])

    with pytest.raises(CorruptionError, match="sequence number 2: the event is missing"):
        await read(store, PureTape, ((1,), 1))


async def test_a_damaged_snapshot_is_not_even_looked_at(store: FaultyBackend) -> None:
    """Who has the state at hand needs none."""
    await append(store, 1, 2)
    await store.commit([WriteGroup((Put(SNAPSHOTS, "Tape/a", 2, b"damaged"),))])

    assert await read(store, PureTape, ((1, 2), 2)) == [1, 2]


async def test_the_actor_begins_with_a_copy(store: FaultyBackend) -> None:
    """Neither sees what the other does to its state afterwards."""
    await append(store, 1)
    warm = Warm(([1], 1))
    async with ActorSystem(store=store, warm=warm) as system:
        ref = system.ref(MutatingTape, "a")
        await ref.ask(Write((2,)))
        warm.answer[0].append(99)

        assert (await ref.ask(Read()), warm.answer[0]) == ([1, 2], [1, 99])


@pytest.mark.parametrize("answer", [RuntimeError("broken"), [1, 2, 3], 7])
async def test_who_fails_when_it_is_asked_harms_no_recovery(
    store: FaultyBackend, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged; the actor comes back from its own log."""
    await append(store, 1)

    with caplog.at_level(logging.ERROR):
        state = await read(store, PureTape, answer)

    assert (state, "Tape/a: no warm state" in caplog.text) == ([1], True)


@pytest.mark.parametrize("recovery", [Recovery(snapshots=False), Recovery(snapshots_to=1)])
async def test_what_no_snapshot_may_do_no_warm_state_may(store: FaultyBackend, recovery: Recovery) -> None:
    """`Recovery` bounds both: old folds are not to be trusted."""
    await append(store, 1, 2)
    tape = type("Tape", (PureTape,), {"recovery": recovery})

    assert await read(store, tape, ((8, 9), 2)) == [1, 2]


async def test_numbers_go_on_and_snapshots_are_taken(store: FaultyBackend) -> None:
    """A warm actor is like any other."""
    tape = stored_as(PureTape, Full(snapshot=every_n_events(2)))
    await append(store, 1)
    async with ActorSystem(store=store, warm=Warm(((1,), 1))) as system:
        number = await system.ref(tape, "a").ask(Write((2,)))
        await background(system)

        assert (number, await store.last(SNAPSHOTS, "Tape/a")) == (2, 2)


@pytest.mark.parametrize("behind", [0, 1])
async def test_a_chain_goes_on_unbroken(store: FaultyBackend, behind: int) -> None:
    """The next event carries the link of the last, which was read with the page."""
    sealing = Sealing(Keyring({1: bytes(range(32))}), chain=True)
    tape = stored_as(PureTape, Full(snapshot=never))
    async with ActorSystem(store=store, sealing=sealing) as system:
        await system.ref(tape, "a").ask(Write((1, 2, 3)))
    warm = Warm(((1, 2, 3)[: 3 - behind], 3 - behind))
    async with ActorSystem(store=store, sealing=sealing, warm=warm) as system:
        await system.ref(tape, "a").ask(Write((4,)))

    verification = await verify(store, sealing)

    assert (verification.ok, verification.chained) == (True, 4)


async def test_the_actor_is_named_as_its_system_knows_it(store: FaultyBackend) -> None:
    """By its type and its persistence id, also where the store hides that."""
    warm = Warm(None)
    sealing = Sealing(Keyring({1: bytes(range(32))}), hide_names=True)
    async with ActorSystem(store=store, sealing=sealing, warm=warm) as system:
        await system.ref(PureTape, "a").ask(Number())

    assert warm.asked == [(PureTape, "Tape/a")]
