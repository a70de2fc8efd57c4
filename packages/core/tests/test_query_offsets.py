"""Offsets: from each of them the next event follows, whatever has happened to the store meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.abc import DeleteRange, FeedPage, FeedRecord, Put, WriteGroup
from perdure.actors import SystemClock
from perdure.journal import EVENTS, Commits, EventCodec, metadata_of
from perdure.memory import MemoryBackend
from perdure.query import FeedEvent, Query, Stream, Tags
from perdure.query._feed import FeedStream
from perdure.query._stored import Stored, Types
from perdure.query._stream import Source
from perdure.security import Vault

from .tapes import PureTape, Written, append


class Item(NamedTuple):
    """One event of a record."""

    persistence_id: str
    sequence_number: int
    part: int


class Splitting(Types):
    """Makes as many events of a record as its value says, as upcasters may."""

    def __init__(self) -> None:
        super().__init__([], Vault(MemoryBackend(), None))
        self._codec_of_all = EventCodec("Tape", [Written])

    def events(self, stored: Stored) -> Sequence[Any]:
        event: Any = self._codec_of_all.decode(stored.data)
        return range(event.value)


class World:
    """A store, what was ever committed to it in order, and what was removed or written again."""

    def __init__(self) -> None:
        self.store = MemoryBackend()
        self.committed: list[tuple[Item, bool]] = []
        self.removed: set[tuple[str, int]] = set()
        self.rewritten: set[tuple[str, int]] = set()
        self._heads = dict.fromkeys("abc", 0)
        self._firsts = dict.fromkeys("abc", 1)
        self._codec = EventCodec("Tape", [Written])
        self._source = Source(self.store, SystemClock(), Commits(), 1.0, Vault(self.store, None))

    async def append(self, name: str, sizes: Sequence[int], tagged: bool) -> None:
        puts = []
        for size in sizes:
            self._heads[name] += 1
            puts.append(self._put(name, self._heads[name], size, tagged))
            self.committed += [(Item(name, self._heads[name], part), tagged) for part in range(size)]
        await self.store.commit([WriteGroup(tuple(puts))])

    async def compact(self, name: str, count: int) -> None:
        """Remove the first events, but never the last."""
        first = self._firsts[name]
        stop = min(first + count, self._heads[name])
        if first < stop:
            self._firsts[name] = stop
            self.removed |= {(name, number) for number in range(first, stop)}
            await self.store.commit([WriteGroup((DeleteRange(EVENTS, name, 1, stop),))])

    async def rewrite(self, name: str, back: int) -> None:
        """Write a record again, as with another key: it moves to the end of the feed."""
        number = self._heads[name] - back
        if number >= self._firsts[name]:
            self.rewritten.add((name, number))
            page = await self.store.page(EVENTS, name, number, number + 1, limit=1, max_bytes=1)
            await self.store.commit([WriteGroup((Put(EVENTS, name, number, page.entries[0].value),))])

    def expected(self, tags: Tags, after: Item | None = None) -> list[Item]:
        """Return what is to come behind an item, without what moved."""
        items = [item for item, tagged in self.committed if tags.match(("tag",) if tagged else ())]
        behind = items[items.index(after) + 1 :] if after is not None else items
        return [item for item in behind if item[:2] not in self.removed | self.rewritten]

    def moved(self, tags: Tags) -> set[Item]:
        """Return what is left of what was written again."""
        items = [item for item, tagged in self.committed if tags.match(("tag",) if tagged else ())]
        return {item for item in items if item[:2] in self.rewritten - self.removed}

    def without_moved(self, items: Sequence[Item]) -> list[Item]:
        return [item for item in items if item[:2] not in self.rewritten]

    def stream(self, tags: Tags, after: str | None = None) -> Stream[FeedEvent]:
        return FeedStream(self._source, Splitting(), tags, after, live=False)

    def _put(self, name: str, number: int, size: int, tagged: bool) -> Put:
        return Put(EVENTS, name, number, self._codec.encode(Written(size), 0, metadata_of(["tag"] if tagged else [])))


def item_of(stored: FeedEvent) -> Item:
    return Item(stored.persistence_id, stored.sequence_number, stored.event)


NAMES = st.sampled_from("abc")
SIZES = st.lists(st.sampled_from([1, 1, 1, 0, 2, 3]), min_size=1, max_size=4)
STEP = st.one_of(
    st.tuples(st.just("append"), NAMES, SIZES, st.booleans()),
    st.tuples(st.just("append"), NAMES, SIZES, st.booleans()),
    st.tuples(st.just("compact"), NAMES, st.integers(1, 8)),
    st.tuples(st.just("rewrite"), NAMES, st.integers(0, 5)),
    st.tuples(st.just("read"), st.integers(1, 12)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("resume"), st.integers(0, 60)),
)


async def live_through(steps: Sequence[tuple[Any, ...]], tags: Tags) -> None:
    world = World()
    given: list[FeedEvent] = []
    stream = world.stream(tags)

    async def read(count: int) -> None:
        nonlocal stream
        for _ in range(count):
            stored = await anext(stream, None)
            if stored is None:
                stream = world.stream(tags, given[-1].offset if given else None)
                return
            given.append(stored)

    for kind, *arguments in [*steps, ("read", 10_000)]:
        match kind:
            case "append":
                await world.append(*arguments)
            case "compact":
                await world.compact(*arguments)
            case "rewrite":
                await world.rewrite(*arguments)
            case "read":
                await read(*arguments)
            case "restart":
                stream = world.stream(tags, given[-1].offset if given else None)
            case "resume" if given:
                stored = given[arguments[0] % len(given)]
                found = [item_of(event) async for event in world.stream(tags, stored.offset)]
                if item_of(stored)[:2] not in world.rewritten:
                    assert world.without_moved(found) == world.expected(tags, item_of(stored))
                assert len(set(found)) == len(found)
                seen = [item_of(event) for event in given[: given.index(stored) + 1]]
                assert world.moved(tags) - set(seen) <= set(found)

    items = world.without_moved([item_of(stored) for stored in given])
    everything = [item for item, _ in world.committed]
    assert items == sorted(set(items), key=everything.index)
    assert set(world.expected(tags)) <= set(items)
    assert world.moved(tags) <= {item_of(stored) for stored in given}


@pytest.mark.parametrize("tags", [Tags(), Tags(all_of=("tag",)), Tags(none_of=("tag",))], ids=["all", "some", "others"])
@given(steps=st.lists(STEP, max_size=30), page=st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_every_event_that_is_left_comes_exactly_once_in_the_order_of_commits(
    tags: Tags, steps: list[tuple[Any, ...]], page: int
) -> None:
    """Whatever is appended, compacted, rewritten, read and resumed in between, and of whatever event the offset is."""
    size, FeedStream._PAGE = FeedStream._PAGE, page
    try:
        asyncio.run(live_through(steps, tags))
    finally:
        FeedStream._PAGE = size


async def values(stream: Stream[FeedEvent]) -> list[int]:
    return [stored.event.value async for stored in stream]


async def test_the_stream_goes_on_behind_each_offset() -> None:
    """Also in another process, for an offset is text (ATS-130)."""
    store = MemoryBackend()
    await append(store, *range(20))
    stored = [stored async for stored in Query(store, [PureTape]).all_events()]

    rests = [await values(Query(store, [PureTape]).all_events(after=one.offset)) for one in stored]

    assert rests == [list(range(number, 20)) for number in range(1, 21)]


async def test_the_offset_of_a_page_s_last_event_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names no events: who keeps offsets now and then keeps these."""
    monkeypatch.setattr(FeedStream, "_PAGE", 4)
    store = MemoryBackend()
    for name in "abcdefgh":
        await append(store, 1, persistence_id=name)

    offsets = [stored.offset async for stored in Query(store).all_events()]

    assert [len(offset) < 20 for offset in offsets] == [False, False, False, True] * 2


async def test_an_event_that_moved_is_not_taken_for_one_that_was_given() -> None:
    """A record that was written again, as with another key, comes behind greater numbers of its log."""
    world = World()
    await world.append("a", [1, 1, 1, 1], tagged=False)
    await world.rewrite("a", 2)
    stream = world.stream(Tags())
    stored = [await anext(stream) for _ in range(3)][-1]

    found = [item_of(event) async for event in world.stream(Tags(), stored.offset)]

    assert (item_of(stored), found) == (Item("a", 4, 0), [Item("a", 2, 0)])


async def test_events_that_were_removed_are_named_no_longer_than_they_could_come() -> None:
    """At the end of the feed, what was not met will never be."""
    store = MemoryBackend()
    for name in "abcd":
        await append(store, 1, 2, persistence_id=name)
    stream = Query(store).all_events()
    offset = [await anext(stream) for _ in range(6)][-1].offset
    await store.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 2), DeleteRange(EVENTS, "b", 1, 2)))])
    resumed = Query(store, poll=0.001).all_events(after=offset, live=True)

    behind = [await anext(resumed) for _ in range(2)]
    next_one = asyncio.ensure_future(anext(resumed))
    await asyncio.sleep(0)
    await append(store, 1, persistence_id="e")

    assert [(stored.persistence_id, stored.sequence_number) for stored in behind] == [("d", 1), ("d", 2)]
    assert "given" in behind[-1].offset
    assert "given" not in (await next_one).offset


async def test_an_offset_of_other_tags_misses_nothing() -> None:
    """It may begin earlier."""
    store = MemoryBackend()
    codec = EventCodec("Tape", [Written])
    for number in range(1, 21):
        record = codec.encode(Written(number), 0, metadata_of(["even"] if number % 2 == 0 else ["odd"]))
        await store.commit([WriteGroup((Put(EVENTS, "Tape/a", number, record),))])
    query = Query(store, [PureTape])

    for stored in [stored async for stored in query.tagged("even")]:
        others = await values(query.tagged("odd", after=stored.offset))

        assert {number for number in range(1, 21, 2) if number > stored.event.value} <= set(others)


async def test_an_offset_is_made_when_it_is_asked_for() -> None:
    """Events that are kept keep no page, and their offsets are of the moment of their giving."""
    store = MemoryBackend()
    await append(store, *range(5))
    stream = Query(store, [PureTape]).all_events()
    first = await anext(stream)
    rest = await values(stream)

    assert await values(Query(store, [PureTape]).all_events(after=first.offset)) == rest


class _TwoSlices(MemoryBackend):
    """A feed of two slices that are merged by time: what is late in one comes before what the other has given."""

    LATE: ClassVar[int] = 3

    def __init__(self, records: list[FeedRecord]) -> None:
        super().__init__()
        self.records = records
        self.is_late = True

    async def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> FeedPage:
        slices = [[record for record in self.records if record.prefix == name] for name in "ab"]
        if self.is_late:
            slices[1] = slices[1][: self.LATE]
        begin = [int(part) for part in (after or "0,0").split(",")]
        ahead = [(record.key, number) for number in (0, 1) for record in slices[number][begin[number] :]]
        taken = [number for _, number in sorted(ahead)[:limit]]
        page = []
        for number in taken:
            page.append(slices[number][begin[number]])
            begin[number] += 1
        return FeedPage(page, f"{begin[0]},{begin[1]}")


@pytest.mark.parametrize("page", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("count", range(1, 13))
async def test_clocks_that_differ_move_nothing_out_of_sight(
    monkeypatch: pytest.MonkeyPatch, page: int, count: int
) -> None:
    """In a cluster an event may come, between reading and resuming, before some that were given."""
    monkeypatch.setattr(FeedStream, "_PAGE", page)
    codec = EventCodec("Tape", [Written])
    numbers = {"a": range(1, 20, 2), "b": range(2, 21, 2)}
    store = _TwoSlices(
        [FeedRecord(name, number, codec.encode(Written(number), 0)) for name in "ab" for number in numbers[name]]
    )
    stream = Query(store, [PureTape]).all_events()
    before = [await anext(stream) for _ in range(count)]
    store.is_late = False

    rest = await values(Query(store, [PureTape]).all_events(after=before[-1].offset))

    assert sorted([stored.event.value for stored in before] + rest) == list(range(1, 21))
