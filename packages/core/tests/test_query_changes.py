"""The changes of all durable states of a type: each at its newest revision, from an offset, once or live."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import ActorSystem, DurableStateActor, Evolution
from perdure.errors import CorruptionError, StoreUnavailable
from perdure.memory import MemoryBackend
from perdure.query import FeedChange, Query, Stream
from perdure.query._changes import ChangeStream
from perdure_testkit import FaultyBackend, VirtualClock

from .boards import Erase, PureBoard, Save, put, put_record
from .tapes import PureTape
from .turning import rest, soon, turns


class Plank(DurableStateActor[str]):
    """A durable state of another type."""

    initial_state = ""

    async def handle(self, message: Any, context: Any) -> Any:
        await self.save("plank")
        return self.revision


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChangeStream, "_PAGE", 3)


def seen(changes: list[FeedChange[Any]]) -> list[tuple[str, int, Any]]:
    return [(change.persistence_id, change.revision, change.state) for change in changes]


async def test_each_state_comes_once_where_it_changed_last(store: FaultyBackend) -> None:
    """In the order of the commits, whichever actor made them."""
    async with ActorSystem(store=store) as system:
        for key, number in (("a", 1), ("b", 2), ("c", 3), ("d", 4), ("a", 5)):
            await system.ref(PureBoard, key).ask(Save((number,)))

        changes = await rest(system.query().changes(PureBoard))

    assert seen(changes) == [("Board/b", 1, (2,)), ("Board/c", 1, (3,)), ("Board/d", 1, (4,)), ("Board/a", 2, (5,))]


async def test_a_delete_is_a_change(store: FaultyBackend) -> None:
    """It says what was deleted, at which revision, and when."""
    clock = VirtualClock()
    async with ActorSystem(store=store, clock=clock) as system:
        await system.ref(PureBoard, "a").ask(Save((1,)))
        await system.ref(PureBoard, "a").ask(Erase())

        [change] = await rest(system.query().changes(PureBoard))

    assert (change.revision, change.state, change.deleted) == (2, None, True)
    assert change.timestamp == datetime.fromtimestamp(clock.time(), UTC)


async def test_other_types_are_passed_over(store: FaultyBackend) -> None:
    """Also where an id does not tell the type."""
    async with ActorSystem(store=store) as system:
        await (await system.spawn(Plank, "x", persistence_id="x")).ask(Save(()))
        await (await system.spawn(PureBoard, "y", persistence_id="y")).ask(Save((1,)))
        await system.ref(Plank, "z").ask(Save(()))

        assert seen(await rest(system.query().changes(PureBoard))) == [("y", 1, (1,))]
        assert seen(await rest(system.query().changes(Plank))) == [("x", 1, "plank"), ("Plank/z", 1, "plank")]


async def test_older_names_and_versions_are_read(store: FaultyBackend) -> None:
    """As the type's `evolution` says."""
    history = Evolution(state_version=2)
    history.rename_state("Board")
    history.upcast_state(1)(lambda numbers: [*numbers, 0])
    renamed: Any = type("Renamed", (PureBoard,), {"evolution": history})
    renamed.type_name = "Renamed"
    await put(store, 3, 1)

    assert seen(await rest(Query(store).changes(renamed))) == [("Board/a", 3, (1, 0))]


async def test_who_resumes_sees_what_changed_meanwhile(store: FaultyBackend) -> None:
    """From every offset: nothing of what was not seen is missed, and nothing comes again."""
    async with ActorSystem(store=store) as system:
        for key in "abcdefg":
            await system.ref(PureBoard, key).ask(Save((1,)))
        before = await rest(system.query().changes(PureBoard))
        await system.ref(PureBoard, "c").ask(Save((2,)))
        await system.ref(PureBoard, "f").ask(Erase())

        for count, change in enumerate(before, 1):
            after = seen(await rest(system.query().changes(PureBoard, after=change.offset)))

            left = [old for old in seen(before)[count:] if old[0] not in ("Board/c", "Board/f")]
            assert after == [*left, ("Board/c", 2, (2,)), ("Board/f", 2, None)]


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.one_of(st.sampled_from("abcde"), st.integers(1, 4)), max_size=40),
    resume=st.booleans(),
)
def test_a_reader_ends_with_what_the_store_has(steps: list[Any], resume: bool) -> None:
    """Whatever is saved between its steps, and wherever it resumes: revisions ascend, and the newest is the last."""

    async def play() -> None:
        store = MemoryBackend()
        revisions: dict[str, int] = {}
        known: dict[str, int] = {}
        stream = Query(store).changes(PureBoard)
        offset: str | None = None
        for step in [*steps, 1000]:
            if isinstance(step, str):
                revisions[step] = revisions.get(step, 0) + 1
                await put(store, revisions[step], revisions[step], persistence_id=step)
                continue
            if resume:
                stream = Query(store).changes(PureBoard, after=offset)
            for _ in range(step):
                change = await anext(stream, None)
                if change is None:
                    stream = Query(store).changes(PureBoard, after=offset)
                    break
                assert change.revision > known.get(change.persistence_id, 0)
                assert change.state == (change.revision,)
                known[change.persistence_id] = change.revision
                offset = change.offset
        assert known == revisions

    asyncio.run(play())


async def test_a_live_stream_goes_on_with_what_is_committed(store: FaultyBackend, clock: VirtualClock) -> None:
    """At once in its own system, and it ends with it."""
    async with ActorSystem(store=store, clock=clock) as system:
        await system.ref(PureBoard, "a").ask(Save((1,)))
        stream = system.query().changes(PureBoard, live=True)
        first = await anext(stream)
        waiting = soon(anext(stream))
        await turns()
        done = waiting.done()
        await system.ref(PureBoard, "b").ask(Save((2,)))
        second = await asyncio.wait_for(waiting, 5)
        reading = soon(rest(stream))
        await system.ref(PureBoard, "a").ask(Erase())

    assert (done, seen([first, second])) == (False, [("Board/a", 1, (1,)), ("Board/b", 1, (2,))])
    assert seen(await reading) == [("Board/a", 2, None)]


async def test_what_other_processes_save_is_looked_for(store: FaultyBackend, clock: VirtualClock) -> None:
    """Every `poll` seconds."""
    stream = Query(store, poll=3, clock=clock).changes(PureBoard, live=True)
    waiting = soon(anext(stream))
    await turns()
    await put(store, 1, 11)
    await clock.advance(2.9)
    early = waiting.done()
    await clock.advance(0.2)

    change = await asyncio.wait_for(waiting, 5)

    assert (early, seen([change])) == (False, [("Board/a", 1, (11,))])


@pytest.mark.parametrize("record", [b"", b"rubbish", b"\x09rubbish"])
async def test_a_damaged_record_is_named_again_and_again(store: FaultyBackend, record: bytes) -> None:
    """Nothing is passed over; once it is mended, the stream goes on."""
    await put(store, 1, 1, persistence_id="first")
    await put_record(store, 3, record, "second")
    stream = Query(store).changes(PureBoard)
    await anext(stream)
    for _ in range(3):
        with pytest.raises(CorruptionError, match="second, revision 3"):
            await anext(stream)

    await put(store, 4, 4, persistence_id="second")

    assert seen(await rest(Query(store).changes(PureBoard))) == [("first", 1, (1,)), ("second", 4, (4,))]


async def test_a_record_of_another_revision_is_damaged(store: FaultyBackend) -> None:
    """A record that was moved is refused here, too."""
    await put(store, 2, 1)
    entries = [entry async for entry in store.collection("durable", "Board/a").iterate()]  # type: ignore[attr-defined]
    await put_record(store, 3, entries[0].value)

    with pytest.raises(CorruptionError, match=r"Board/a, revision 3: .*it says that it is revision 2"):
        await rest(Query(store).changes(PureBoard))


async def test_a_store_that_is_down_is_an_error(store: FaultyBackend) -> None:
    """It is not the end of the stream; the next attempt goes on."""
    await put(store, 1, 1)
    stream: Stream[Any] = Query(store).changes(PureBoard)
    store.reject("feed", StoreUnavailable("feed", "down"))
    with pytest.raises(StoreUnavailable):
        await anext(stream)

    assert seen(await rest(stream)) == [("Board/a", 1, (1,))]


@pytest.mark.parametrize("kind", [PureTape, int, "Board"])
async def test_only_durable_states_have_changes(store: FaultyBackend, kind: Any) -> None:
    """The error says what is wanted."""
    with pytest.raises(TypeError, match="changes are of a DurableStateActor class, not of"):
        Query(store).changes(kind)


async def test_what_is_no_offset_is_refused(store: FaultyBackend) -> None:
    """Revisions are none."""
    with pytest.raises(ValueError, match="'7' is no offset"):
        Query(store).changes(PureBoard, after="7")
