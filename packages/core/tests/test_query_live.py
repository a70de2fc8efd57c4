"""Live streams: the past, then what is committed, without a gap and without a duplicate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest

from perdure import ActorSystem, Light
from perdure.abc import DeleteRange, WriteGroup
from perdure.errors import CorruptionError, EventsRemoved
from perdure.journal import EVENTS
from perdure.memory import MemoryBackend
from perdure.query import Query, StoredEvent, Stream
from perdure.query._feed import FeedStream
from perdure.query._ids import IdStream
from perdure.query._log import LogStream
from perdure_testkit import FaultyBackend, VirtualClock
from perdure_testkit._faults import Operation

from .tapes import PureTape, Write, append, light

T = TypeVar("T")
Open = Callable[[Query], Stream[Any]]


class Tagged(PureTape):
    def tags(self, event: Any) -> tuple[str, ...]:
        return ("any",)


STREAMS: dict[str, Open] = {
    "events_of": lambda query: query.events_of("Tape/a", live=True),
    "all_events": lambda query: query.all_events(live=True),
    "tagged": lambda query: query.tagged("any", live=True),
}
OPERATIONS: dict[str, Operation] = {"events_of": "page", "all_events": "feed", "tagged": "feed"}


@pytest.fixture(params=STREAMS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (FeedStream, LogStream, IdStream):
        monkeypatch.setattr(kind, "_PAGE", 3)


@pytest.fixture
async def live(store: FaultyBackend, clock: VirtualClock) -> AsyncIterator[ActorSystem]:
    """Return a system in which time stands still, so that nothing but a commit can wake a stream."""
    async with ActorSystem(store=store, clock=clock) as system:
        yield system


async def read(stream: Stream[Any], count: int) -> list[int]:
    """Return the values of the next events."""
    return [(await asyncio.wait_for(anext(stream), 5)).event.value for _ in range(count)]


def waiting(stream: Stream[T]) -> asyncio.Future[T]:
    """Have somebody wait for the next item."""
    return asyncio.ensure_future(anext(stream))


async def turns(count: int = 32) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def pauses(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Return the seconds in the warnings."""
    return [record.args[1] for record in caplog.records if record.name == "perdure.query" and record.args]  # type: ignore[index]


async def write(system: ActorSystem, *values: int, key: str = "a") -> None:
    await system.ref(Tagged, key).ask(Write(values))


async def test_the_past_comes_first_and_then_what_is_committed(live: ActorSystem, name: str) -> None:
    """The next commit of the system wakes the reader: the clock stands still (ATS-127)."""
    await write(live, 1, 2)
    stream = STREAMS[name](live.query(Tagged))

    past = await read(stream, 2)
    next_one = waiting(stream)
    await turns()
    await write(live, 3)

    assert (past, (await asyncio.wait_for(next_one, 5)).event.value) == ([1, 2], 3)


@pytest.mark.parametrize("position", range(9))
async def test_what_is_appended_during_the_catch_up_comes_in_its_place(
    live: ActorSystem, name: str, position: int
) -> None:
    """Whenever it comes: before, between and inside of the pages."""
    await write(live, *range(8))
    stream = STREAMS[name](live.query(Tagged))

    before = await read(stream, position)
    await write(live, 8)
    await write(live, 9, 10)
    after = await read(stream, 11 - position)

    assert before + after == list(range(11))


@pytest.mark.parametrize("call", range(1, 5))
async def test_what_is_appended_while_a_page_is_read_comes_in_its_place(
    live: ActorSystem, store: FaultyBackend, name: str, call: int
) -> None:
    """The read that was under way at the end of the log is one of them: its answer has nothing, and that is old."""
    await write(live, *range(6))
    stream = STREAMS[name](live.query(Tagged))
    reading = asyncio.ensure_future(read(stream, 8))
    released = store.hold(OPERATIONS[name], when=call)
    await turns()
    await write(live, 6, 7)

    released.set()

    assert await asyncio.wait_for(reading, 5) == list(range(8))


async def test_an_answer_that_became_old_on_its_way_is_not_waited_on(
    live: ActorSystem, store: FaultyBackend, name: str
) -> None:
    """A commit between the end of a read and the wait for commits is seen at once."""
    stream = STREAMS[name](live.query(Tagged))
    inner = getattr(store.inner, OPERATIONS[name])

    async def slow(*arguments: Any, **keywords: Any) -> Any:
        answer = await inner(*arguments, **keywords)
        if not answer[0] and not written:
            written.append(1)
            await write(live, 1)
        return answer

    written: list[int] = []
    setattr(store.inner, OPERATIONS[name], slow)

    assert await read(stream, 1) == [1]


async def test_writers_elsewhere_are_found_by_looking(name: str, clock: VirtualClock) -> None:
    """Another opener of the store tells nobody; so much later than `poll` seconds it is not seen."""
    mine, other = MemoryBackend(f"live {name}"), MemoryBackend(f"live {name}")
    async with ActorSystem(store=mine, clock=clock) as here, ActorSystem(store=other) as there:
        next_one = waiting(STREAMS[name](here.query(Tagged, poll=2.5)))
        await turns()
        await write(there, 1)

        await clock.advance(2.4)
        seen_before = next_one.done()
        await clock.advance(0.1)

        assert (seen_before, next_one.done()) == (False, True)
        assert (await next_one).event.value == 1


async def test_a_query_without_a_system_looks(store: FaultyBackend, clock: VirtualClock, name: str) -> None:
    """A read model needs an open store and nothing else."""
    async with ActorSystem(store=store) as system:
        stream = STREAMS[name](Query(store, [Tagged], clock=clock))
        next_one = waiting(stream)
        await write(system, 1)

        await clock.advance(1)

    assert (await next_one).event.value == 1


async def test_a_store_that_vanishes_is_waited_for(
    live: ActorSystem, store: FaultyBackend, clock: VirtualClock, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With growing pauses, each of them logged, which commits do not shorten; then the stream goes on where it was.

    (ATS-131)
    """
    await write(live, *range(4))
    stream = STREAMS[name](live.query(Tagged))
    before = await read(stream, 2)
    store.reject(OPERATIONS[name], when=lambda *_: True)
    reading = asyncio.ensure_future(read(stream, 4))

    await clock.advance(0.1 + 0.2 + 0.4)
    calls = store.calls[OPERATIONS[name]]
    await write(live, 4, 5)
    await turns()
    calls_after_a_commit = store.calls[OPERATIONS[name]]
    store.heal()
    await clock.advance(0.8)

    assert before + await asyncio.wait_for(reading, 5) == list(range(6))
    assert (pauses(caplog), calls_after_a_commit) == ([0.1, 0.2, 0.4, 0.8], calls)
    assert "a live stream cannot read: " in caplog.text


async def test_pauses_begin_anew_after_a_page(
    live: ActorSystem, store: FaultyBackend, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that was back is a new story."""
    stream = live.query(Tagged).all_events(live=True)
    for value in range(2):
        store.reject("feed")
        reading = asyncio.ensure_future(read(stream, 1))
        await clock.advance(0.1)
        await write(live, value)
        await reading

    assert pauses(caplog) == [0.1, 0.1]


async def test_other_errors_go_to_the_reader(live: ActorSystem, store: FaultyBackend, name: str) -> None:
    """Who may ask again."""
    await write(live, 1)
    store.reject(OPERATIONS[name], ZeroDivisionError())
    stream = STREAMS[name](live.query(Tagged))

    with pytest.raises(ZeroDivisionError):
        await anext(stream)

    assert await read(stream, 1) == [1]


async def test_closing_the_system_ends_streams_that_wait(store: FaultyBackend, name: str) -> None:
    """The loop is left as at the end of any iterator."""
    async with ActorSystem(store=store) as system:
        stream = STREAMS[name](system.query(Tagged))
        next_one = waiting(stream)
        await turns()

    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(next_one, 5)


async def test_a_sink_gets_all_before_the_system_ends(store: FaultyBackend, name: str) -> None:
    """What was committed is delivered, and then the stream ends (W-33)."""
    taken: list[int] = []

    async def take(stored: StoredEvent) -> None:
        await asyncio.sleep(0)
        taken.append(stored.event.value)

    async with ActorSystem(store=store) as system:
        system.sink("list", STREAMS[name](system.query(Tagged)), take)
        for value in range(20):
            await write(system, value)

    assert taken == list(range(20))


async def test_a_stream_ends_when_its_store_was_closed_with_the_system(name: str) -> None:
    """The system that opened the store closes it, perhaps under a reader that is behind."""
    async with ActorSystem(store="memory://") as system:
        await write(system, *range(9))
        stream = STREAMS[name](system.query(Tagged))
        await read(stream, 1)

    rest = [stored.event.value async for stored in stream]

    assert rest == [1, 2]  # the page that was read


async def test_a_stream_ends_when_the_store_is_down_at_the_end(
    store: FaultyBackend, clock: VirtualClock, name: str
) -> None:
    """It does not hold up its system."""
    async with ActorSystem(store=store, clock=clock) as system:
        store.disconnect(OPERATIONS[name])
        next_one = waiting(STREAMS[name](system.query(Tagged)))
        await turns()

    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(next_one, 5)
    store.heal()


async def test_leaving_a_loop_leaves_nothing_behind(live: ActorSystem, name: str) -> None:
    """No task and no waiter."""
    await write(live, 1, 2)
    before = asyncio.all_tasks()

    async for _ in STREAMS[name](live.query(Tagged)):
        break

    assert (asyncio.all_tasks(), live._stores.journal.commits.waiting) == (before, set())  # type: ignore[union-attr]


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(live: ActorSystem, name: str) -> None:
    """And loses nothing: the next one gets the event."""
    stream = STREAMS[name](live.query(Tagged))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.01)

    assert live._stores.journal.commits.waiting == set()  # type: ignore[union-attr]
    await write(live, 1)
    assert await read(stream, 1) == [1]


async def test_a_read_that_is_cancelled_loses_nothing(live: ActorSystem, store: FaultyBackend, name: str) -> None:
    """The page is read again."""
    await write(live, *range(5))
    stream = STREAMS[name](live.query(Tagged))
    before = await read(stream, 3)
    released = store.hold(OPERATIONS[name])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.01)
    released.set()

    assert before + await read(stream, 2) == list(range(5))


async def test_a_stream_has_one_reader(live: ActorSystem, name: str) -> None:
    """Two would each get some of the events."""
    stream = STREAMS[name](live.query(Tagged))
    first = waiting(stream)
    await turns()

    with pytest.raises(RuntimeError, match="one reader at a time"):
        await anext(stream)

    first.cancel()


async def test_any_number_of_streams_see_all(live: ActorSystem, name: str) -> None:
    """They share nothing but the store."""
    query = live.query(Tagged)
    reading = [asyncio.ensure_future(read(STREAMS[name](query), 4)) for _ in range(10)]
    await turns()
    for value in range(4):
        await write(live, value)

    assert await asyncio.gather(*reading) == [[0, 1, 2, 3]] * 10


async def test_an_id_whose_events_were_removed_unread_is_named(live: ActorSystem, store: FaultyBackend) -> None:
    """The reader learns where to begin again; who was in time goes on through a compaction."""
    await write(live, *range(4))
    quick, slow = (live.query(Tagged).events_of("Tape/a", live=True) for _ in range(2))
    await read(quick, 4)
    await store.commit([WriteGroup((DeleteRange(EVENTS, "Tape/a", 1, 4),))])
    await write(live, 4, 5)

    with pytest.raises(EventsRemoved, match="begin after 3, or from the actor's state"):
        await read(slow, 1)

    assert await read(quick, 2) == [4, 5]


async def test_the_survivors_of_compacted_logs_come_once(live: ActorSystem, store: FaultyBackend) -> None:
    """With `Light(compact=True)` each event takes the place of the one before."""
    kind = light(Tagged, compact=True)
    seen: list[tuple[str, int]] = []

    async def see(stored: StoredEvent) -> None:
        seen.append((stored.persistence_id, stored.sequence_number))

    live.sink("seen", live.query(Tagged).all_events(live=True), see)
    for value in range(30):
        await live.ref(kind, "ab"[value % 2]).ask(Write((value, value)))
        if value % 3 == 0:
            await turns(4)
    await turns()

    assert len(set(seen)) == len(seen)
    assert seen[-2:] == [("Tape/a", 30), ("Tape/b", 30)]


async def test_damage_ahead_is_met_when_it_is_reached(live: ActorSystem, store: FaultyBackend, name: str) -> None:
    """What is before it is given first."""
    await write(live, 1)
    stream = STREAMS[name](live.query(Tagged))
    await read(stream, 1)
    await append(store, 2, after=1)
    [entry] = [entry async for entry in store.collection(EVENTS, "Tape/a").iterate(2)]
    await store.collection(EVENTS, "Tape/a").put(2, entry.value[:-1] + b"\xc1")

    with pytest.raises(CorruptionError):
        await read(stream, 1)


class TestIds:
    async def test_come_once_each_and_then_as_they_begin(self, live: ActorSystem) -> None:
        """Also one that sorts before all others (ATS-129)."""
        for key in "mnop":
            await write(live, 1, 2, key=key)
        stream = live.query().ids(live=True)

        listed = [await anext(stream) for _ in range(4)]
        next_one = waiting(stream)
        await turns()
        await write(live, 3, key="n")
        await write(live, 4, key="a")
        first_new = await asyncio.wait_for(next_one, 5)
        await write(live, 5, key="z")

        assert listed == ["Tape/m", "Tape/n", "Tape/o", "Tape/p"]
        assert (first_new, await asyncio.wait_for(anext(stream), 5)) == ("Tape/a", "Tape/z")

    @pytest.mark.parametrize("position", range(6))
    async def test_that_begin_during_the_listing_come_too(self, live: ActorSystem, position: int) -> None:
        """Before and behind the place that the listing has reached."""
        for key in "mnopq":
            await write(live, 1, key=key)
        stream = live.query().ids(live=True)

        before = [await anext(stream) for _ in range(position)]
        await write(live, 1, key="a")
        await write(live, 1, key="z")
        after = [await asyncio.wait_for(anext(stream), 5) for _ in range(7 - position)]

        assert sorted(before + after) == [f"Tape/{key}" for key in "amnopqz"]

    async def test_of_one_type_are_of_no_other(self, live: ActorSystem, store: FaultyBackend) -> None:
        await write(live, 1, key="b")
        stream = live.query().ids(Tagged, live=True)

        first = await anext(stream)
        await append(store, 1, persistence_id="Tapes/x")
        await append(store, 1, persistence_id="Other/x")
        await write(live, 1, key="a")

        assert [first, await asyncio.wait_for(anext(stream), 5)] == ["Tape/b", "Tape/a"]

    async def test_whose_first_events_are_gone_come_too(self, live: ActorSystem) -> None:
        """With a compacting strategy event 1 may never be seen."""
        stream = live.query().ids(live=True)
        next_one = waiting(stream)
        ref = live.ref(light(Tagged, compact=True), "a")
        await asyncio.gather(*(ref.ask(Write((1, 2))) for _ in range(5)))

        assert await asyncio.wait_for(next_one, 5) == "Tape/a"

    async def test_end_with_the_system(self, store: FaultyBackend) -> None:
        async with ActorSystem(store=store) as system:
            next_one = waiting(system.query().ids(live=True))
            await turns()

        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(next_one, 5)

    def test_live_have_no_cursor(self) -> None:
        """A new id may sort before it."""
        with pytest.raises(ValueError, match="leave `after` out"):
            Query(MemoryBackend()).ids(after="x", live=True)


def test_light_is_what_these_tests_mean() -> None:
    """Their compacting tape removes all events but the last in the group of the last."""
    assert light(Tagged, compact=True).strategy == Light(compact=True)
