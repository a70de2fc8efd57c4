"""States as they were: by number and by time, with and without snapshots, without a system."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import ActorSystem, Full, Light, Recovery, every_n_events, never, replay
from perdure.abc import Backend
from perdure.errors import CorruptionError, InvalidIdentifier
from perdure.memory import MemoryBackend
from perdure.snapshots import SNAPSHOTS
from perdure_testkit import FaultyBackend, VirtualClock

from .tapes import PureTape, Read, Write, Written, append, background, keys, stored_as

PLAIN = stored_as(PureTape, Full(snapshot=never))
EVERY_TWO = stored_as(PureTape, Full(snapshot=every_n_events(2), keep_snapshots=9))
COMPACTED = stored_as(PureTape, Full(snapshot=every_n_events(2), keep_snapshots=1, compact=True))
ARCHIVED = stored_as(PureTape, Full(snapshot=every_n_events(2), keep_snapshots=1, compact="archive"))
LIGHT = stored_as(PureTape, Light())


async def written(store: Backend, tape: Any, *values: int, clock: VirtualClock | None = None) -> None:
    """Write values, one a minute."""
    async with ActorSystem(store=store, clock=clock, passivate_after=1e9) as system:
        for value in values:
            await system.ref(tape, "a").ask(Write((value,)))
            await background(system)
            if clock is not None:
                await clock.advance(60)


@pytest.mark.parametrize("tape", [PLAIN, EVERY_TWO, COMPACTED, ARCHIVED, LIGHT])
async def test_the_end_of_the_log_is_what_an_actor_would_have(store: FaultyBackend, tape: Any) -> None:
    """No actor is started, and nothing is written."""
    await written(store, tape, 10, 20, 30, 40, 50)
    before = (await keys(store), await keys(store, SNAPSHOTS))

    replayed = await replay(store, tape, "a")

    assert (replayed.state, replayed.sequence_number) == ((10, 20, 30, 40, 50), 5)
    assert (await keys(store), await keys(store, SNAPSHOTS)) == before


@pytest.mark.parametrize("tape", [PLAIN, EVERY_TWO, ARCHIVED, LIGHT])
@pytest.mark.parametrize("to", range(7))
async def test_a_state_can_be_read_as_it_was_at_a_number(store: FaultyBackend, tape: Any, to: int) -> None:
    """0 is the initial state, and beyond the end is the end (ATS-135)."""
    await written(store, tape, 10, 20, 30, 40, 50)

    replayed = await replay(store, tape, "a", to=to)

    assert (replayed.state, replayed.sequence_number) == ((10, 20, 30, 40, 50)[:to], min(to, 5))


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 12), st.integers(1, 4))
def test_a_state_is_the_fold_of_its_events_however_they_are_parted(values: list[int], to: int, every: int) -> None:
    """From nothing, from any snapshot, up to any number and on from there: the same values, each time (ATS-70)."""

    async def states() -> list[tuple[int, ...]]:
        store = MemoryBackend()
        tape = stored_as(PureTape, Full(snapshot=every_n_events(every), keep_snapshots=9))
        await written(store, tape, *values)
        whole, again, first = [(await replay(store, tape, "a", to=number)).state for number in (99, 99, to)]
        return [whole, again, first + tuple(values[to:])]

    assert asyncio.run(states()) == [tuple(values)] * 3


@pytest.mark.parametrize("tape", [PLAIN, EVERY_TWO, ARCHIVED])
async def test_a_state_can_be_read_as_it_was_at_a_time(store: FaultyBackend, clock: VirtualClock, tape: Any) -> None:
    """An event belongs to it if it was stored no later (ATS-135)."""
    begin = datetime.fromtimestamp(clock.time(), UTC)
    await written(store, tape, 10, 20, 30, 40, 50, clock=clock)

    states = [
        (await replay(store, tape, "a", to=begin + timedelta(seconds=seconds))).state
        for seconds in (-1, 0, 59, 60, 200, 1000)
    ]

    assert states == [(), (10,), (10,), (10, 20), (10, 20, 30, 40), (10, 20, 30, 40, 50)]


async def test_the_time_of_the_last_event_is_told(store: FaultyBackend, clock: VirtualClock) -> None:
    """None before the first."""
    begin = datetime.fromtimestamp(clock.time(), UTC)
    await written(store, PLAIN, 10, 20, clock=clock)

    times = [(await replay(store, PLAIN, "a", to=number)).timestamp for number in (0, 1, 2)]

    assert times == [None, begin, begin + timedelta(seconds=60)]


async def test_the_time_of_the_last_event_is_told_where_a_snapshot_covers_it(
    store: FaultyBackend, clock: VirtualClock
) -> None:
    """It is that of the event, not of the snapshot."""
    begin = datetime.fromtimestamp(clock.time(), UTC)
    await written(store, EVERY_TWO, 10, 20, clock=clock)

    assert (await replay(store, EVERY_TWO, "a")).timestamp == begin + timedelta(seconds=60)


@pytest.mark.parametrize("to", [1, datetime(1970, 1, 1, tzinfo=UTC)])
async def test_what_compaction_has_removed_is_not_made_up(store: FaultyBackend, to: int | datetime) -> None:
    """The error says from where on there are events (ATS-60)."""
    await written(store, COMPACTED, 10, 20, 30, 40, 50)

    with pytest.raises(CorruptionError, match=r"the next one is 4|begins at 4"):
        await replay(store, COMPACTED, "a", to=to)


async def test_only_events_are_read_where_that_is_asked(store: FaultyBackend) -> None:
    """Snapshots of an earlier `apply` are left aside."""
    await written(store, EVERY_TWO, 10, 20, 30)

    class Sum(EVERY_TWO):  # type: ignore[misc]
        initial_state = (0,)

        def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
            return (state[0] + event.value,)

    states = [(await replay(store, Sum, "a", recovery=Recovery(snapshots=on))).state for on in (True, False)]

    assert states == [(10 + 30,), (60,)]


async def test_an_earlier_snapshot_may_be_the_base(store: FaultyBackend) -> None:
    """Those with later numbers are not read, damaged or not."""
    await written(store, EVERY_TWO, 10, 20, 30, 40, 50)
    await store.collection(SNAPSHOTS, "Tape/a").put(4, b"rubbish")

    replayed = await replay(store, EVERY_TWO, "a", recovery=Recovery(snapshots_to=3))

    assert replayed.state == (10, 20, 30, 40, 50)


@pytest.mark.parametrize(("on", "begun"), [(True, [30]), (False, [10, 20, 30])])
async def test_an_actor_type_may_be_recovered_without_snapshots(
    store: FaultyBackend, on: bool, begun: list[int]
) -> None:
    """As after a change of `apply`: with its first persist it goes on as ever."""
    await written(store, EVERY_TWO, 10, 20, 30)
    applied = []

    class Noting(EVERY_TWO):  # type: ignore[misc]
        recovery = Recovery(snapshots=on)

        def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
            applied.append(event.value)
            return (*state, event.value)

    async with ActorSystem(store=store) as system:
        state = await system.ref(Noting, "a").ask(Read())

    assert (state, applied) == ([10, 20, 30], begun)


async def test_the_log_of_a_spawned_actor_is_named_by_its_id(store: FaultyBackend) -> None:
    """That is its path, or what it was given."""
    await append(store, 10, 20, persistence_id="/tapes/one")

    assert (await replay(store, PLAIN, "", persistence_id="/tapes/one")).state == (10, 20)


async def test_a_store_may_be_named_by_its_url() -> None:
    """It is opened and closed."""
    assert (await replay("memory://", PLAIN, "a")).sequence_number == 0


@pytest.mark.parametrize("to", [-1, 1.5, True, "now", datetime(2026, 1, 1)])
async def test_a_wrong_end_is_refused(to: Any) -> None:
    """A number is 0 or more, and a time says its zone."""
    with pytest.raises(ValueError, match=r"to is a sequence number|has no time zone"):
        await replay(MemoryBackend(), PLAIN, "a", to=to)


async def test_a_wrong_key_is_refused() -> None:
    """As an actor's would be."""
    with pytest.raises(InvalidIdentifier):
        await replay(MemoryBackend(), PLAIN, "a" * 2000)


def test_a_wrong_number_of_snapshots_is_refused() -> None:
    """It is that of an event."""
    with pytest.raises(ValueError, match="snapshots_to is a sequence number, 1 or more, not 0"):
        Recovery(snapshots_to=0)
