"""Subscriptions to durable events: the log, then what is added, without a gap and without a duplicate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure import ActorSystem, Full, Numbered
from perdure.abc import Put, WriteGroup
from perdure.actors import Actor, Context, Message, Subscription
from perdure.errors import ActorStopped, CorruptionError, EventsRemoved, OutcomeUnknown
from perdure.journal import EVENTS
from perdure.snapshots import every_n_events
from perdure_testkit import FaultyBackend

from .tapes import PureTape, Write, Written, background


class CompactTape(PureTape):
    strategy = Full(snapshot=every_n_events(4), keep_snapshots=1, compact=True)


async def read(events: Subscription[Any], count: int) -> list[tuple[int, int]]:
    """Return the numbers and values of the next events."""
    taken = [await asyncio.wait_for(anext(events), 5) for _ in range(count)]
    return [(numbered.sequence_number, numbered.event.value) for numbered in taken]


async def test_the_log_is_replayed_and_then_followed(store: FaultyBackend) -> None:
    """What was persisted before and what is persisted after come in one sequence (W-31)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write((10, 20)))
        events = ref.subscribe(after=0)

        before = await read(events, 2)
        await ref.ask(Write((30, 40)))
        after = await read(events, 2)

    assert before + after == [(1, 10), (2, 20), (3, 30), (4, 40)]


async def test_it_begins_after_a_sequence_number(store: FaultyBackend) -> None:
    """Who has seen some goes on where it was."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write((10, 20, 30)))

        assert await read(ref.subscribe(after=2), 1) == [(3, 30)]


async def test_it_may_begin_beyond_the_end(store: FaultyBackend) -> None:
    """Events at or below the number are skipped also when they come later."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        events = ref.subscribe(after=2)

        await ref.ask(Write((10, 20)))
        await ref.ask(Write((30,)))

        assert await read(events, 1) == [(3, 30)]


async def test_what_is_persisted_while_the_log_is_read_comes_once(store: FaultyBackend) -> None:
    """Events that are both in the page and in the buffer are no duplicates."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write(tuple(range(1500))))
        events = ref.subscribe(after=0)
        first = await read(events, 1)
        await ref.ask(Write((-1,)))
        await ref.ask(Write((-2,)))

        rest = await read(events, 1501)

    assert first + rest == [(n + 1, n) for n in range(1500)] + [(1501, -1), (1502, -2)]


async def test_a_slow_follower_misses_nothing(store: FaultyBackend) -> None:
    """What its buffer had to drop is read from the log again."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write((0,)))
        events = ref.subscribe(after=0, capacity=3)
        first = await read(events, 1)
        for value in range(1, 50):
            await ref.ask(Write((value,)))

        rest = await read(events, 49)

    assert (first + rest, events.dropped > 0) == ([(n + 1, n) for n in range(50)], True)


async def test_only_durable_events_come(store: FaultyBackend) -> None:
    """An event that could not be stored is never seen."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        events = ref.subscribe(after=0)
        store.reject("commit", OSError("down"))
        with pytest.raises(Exception, match="down"):
            await ref.ask(Write((10,)))
        store.heal()
        await ref.ask(Write((20,)))

        assert await read(events, 1) == [(1, 20)]


async def test_it_goes_on_over_a_stop_of_the_actor(store: FaultyBackend) -> None:
    """The log outlives the instance, and so does whoever follows it."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        events = ref.subscribe(after=0)
        await ref.ask(Write((10,)))
        await ref.stop()
        await ref.ask(Write((20,)))

        assert await read(events, 2) == [(1, 10), (2, 20)]


async def test_it_ends_with_the_system_when_all_was_read(store: FaultyBackend) -> None:
    """A sink of the system gets the last event, too (W-33, AVE-49)."""
    taken: list[Numbered] = []

    async def take(numbered: Any) -> None:
        await asyncio.sleep(0)
        taken.append(numbered)

    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        system.sink("list", ref.subscribe(after=0, capacity=2), take)
        for value in range(20):
            await ref.ask(Write((value,)))

    assert taken == [Numbered(value + 1, Written(value)) for value in range(20)]


async def test_a_spawned_actor_has_its_own_log_followed(store: FaultyBackend) -> None:
    """The log is that of the actor's persistence id."""
    async with ActorSystem(store=store) as system:
        ref = await system.spawn(PureTape, "a", persistence_id="mine")
        await ref.ask(Write((10,)))

        assert await read(ref.subscribe(after=0), 1) == [(1, 10)]


async def test_events_that_were_compacted_away_are_not_passed_over(store: FaultyBackend) -> None:
    """The follower learns what is missing and where to begin."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(CompactTape, "a")
        for value in range(8):
            await ref.ask(Write((value,)))
            await background(system)

        with pytest.raises(EventsRemoved, match=r"event 1 is not in the log, which begins at 8: .* begin after 7"):
            await read(ref.subscribe(after=0), 1)


async def test_a_damaged_event_is_named(store: FaultyBackend) -> None:
    """Nothing is skipped silently."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write((10,)))
        await store.commit([WriteGroup((Put(EVENTS, "Tape/a", 1, b"rubbish"),))])

        with pytest.raises(CorruptionError, match="Tape/a"):
            await read(ref.subscribe(after=0), 1)


async def test_an_actor_without_a_log_cannot_be_followed(store: FaultyBackend) -> None:
    """The error says that there are no durable events."""

    class Plain(Actor):
        async def handle(self, message: Message[Any], context: Context) -> Any: ...

    async with ActorSystem(store=store) as system:
        with pytest.raises(TypeError, match="/Plain/a is no persistent actor"):
            system.ref(Plain, "a").subscribe(after=0)


async def test_a_negative_number_is_refused(store: FaultyBackend) -> None:
    """Sequence numbers begin at 1, and 0 is before all."""
    async with ActorSystem(store=store) as system:
        with pytest.raises(ValueError, match="0 for all events, not -1"):
            system.ref(PureTape, "a").subscribe(after=-1)


async def test_without_a_number_it_is_what_the_actor_publishes(store: FaultyBackend) -> None:
    """Durable events are not published by themselves."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        events = ref.subscribe()

        await ref.ask(Write((10,)))

        assert events.take_all() == []


async def test_nobody_is_kept_when_followers_are_gone(store: FaultyBackend) -> None:
    """A follower that has left costs the next persist a look, and then nothing."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        async with ref.subscribe(after=0):
            await ref.ask(Write((10,)))

        await ref.ask(Write((20,)))

        assert not system._stores.followers  # type: ignore[union-attr]


async def test_an_event_whose_writer_gave_up_comes_too(store: FaultyBackend) -> None:
    """What became durable though its persist was cancelled or failed needs no further event to be seen."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write((10,)))
        events = ref.subscribe(after=1)
        waiting = asyncio.ensure_future(anext(events))
        store.lose("commit", when=1)
        with pytest.raises(OutcomeUnknown):
            await ref.ask(Write((20,)))

        numbered = await asyncio.wait_for(waiting, 5)

    assert (numbered.sequence_number, numbered.event.value) == (2, 20)


async def test_an_event_whose_actor_was_cancelled_comes_too(store: FaultyBackend) -> None:
    """The commit goes on without its actor, and whoever follows the log sees it."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write((10,)))
        events = ref.subscribe(after=1)
        waiting = asyncio.ensure_future(anext(events))
        released = store.hold("commit")
        ask = asyncio.ensure_future(ref.ask(Write((20,))))
        while not store.injected:  # noqa: ASYNC110  # that it is held has no event
            await asyncio.sleep(0)
        for runner in list(system.dispatcher._runners):
            runner.task.cancel()
        with pytest.raises(ActorStopped):
            await ask
        released.set()

        numbered = await asyncio.wait_for(waiting, 5)

    assert (numbered.sequence_number, numbered.event.value) == (2, 20)


async def test_a_follower_that_failed_is_kept_no_more(store: FaultyBackend) -> None:
    """Its topic has nobody left."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await store.commit([WriteGroup((Put(EVENTS, "Tape/a", 1, b"rubbish"),))])
        with pytest.raises(CorruptionError):
            await read(ref.subscribe(after=0), 1)

        assert not system._stores.followers  # type: ignore[union-attr]
