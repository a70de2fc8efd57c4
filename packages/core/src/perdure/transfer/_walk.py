"""Reading all that a system has in a store, while others may write it.

What is promised: whatever was durable when the walk began is yielded, and of each actor what belongs together, so that
it can be recovered from what was yielded. Events come in the order of commits, and what is removed meanwhile is told.

Why that holds. Of an actor, its events cover its snapshots and its state, and one of these covers what compaction has
removed. So the beginning of its log is read first, then its snapshots and its state, and then, from the feed, what was
added to the log until now: events that are read later cover snapshots that were read earlier, and these cover what had
been removed before. Whoever is written after its turn has come is noted, and read once more in the end, until it stood
still for as long as that takes; what it adds then comes log by log. What is archived is read last, when what it is to
hold has been removed from the logs, and so are the keys of subjects, for they are made before what they seal.

Rejected: to read log by log from the beginning. It needs no second look, and the order of commits is lost, in which
projections read. To remember how far each log was read: it takes memory for each actor, not only for those that are
written meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import ClassVar, NamedTuple

from perdure.abc import MAX_KEY, Backend, Entry, FeedRecord
from perdure.journal import EVENTS, pages
from perdure.persistence._changes import DURABLE
from perdure.persistence._claims import OWNERS
from perdure.persistence._entity import STATES
from perdure.security._names import PREFIX, STATE
from perdure.security._subjects import SUBJECT_KEYS
from perdure.snapshots import ARCHIVE, SNAPSHOTS
from perdure.transfer._damage import Inspection
from perdure.transfer._feed import Feed
from perdure.transfer._parts import Part, Records, Removal, Removals, Value, Values
from perdure.transfer._together import together, windows
from perdure.upkeep._names import stored_names

LATEST = (DURABLE, SUBJECT_KEYS)
"""Collections of which the last entry alone is kept."""


class _Beside(NamedTuple):
    """What there is of an actor beside its events."""

    first: int
    snapshots: list[Entry]
    values: list[Value]


class Walk:
    """One reading of a store."""

    _WINDOW: ClassVar[int] = 32

    def __init__(self, source: Backend, inspection: Inspection) -> None:
        self.stage = "events"
        """What is being read: "events", "actors", "durable", "archive", "keys"."""
        self.feeds = (Feed(source, EVENTS), Feed(source, DURABLE))
        """What the walk has read: drained once more, they give what was committed since."""
        self._source = source
        self._inspection = inspection
        self._has_snapshots = False
        self._grown: dict[str, int] = {}
        """The last event that was yielded, of each log that has grown since the feed was first at its end."""

    async def parts(self) -> AsyncGenerator[Part, None]:
        """Yield all of it. Raises `CorruptionError` for a damaged record, unless these are skipped; `StoreError`."""
        if names := await self._value(STATE, PREFIX):
            yield Values(names)
        events, durable = self.feeds
        for stage, walk in (
            ("events", self._drain(events)),
            ("actors", self._actors(events)),
            ("actors", self._grown_actors()),
            ("durable", self._drain(durable)),
            ("durable", self._owners_of_durable()),
            ("archive", self._archive()),
            ("keys", self._drain(Feed(self._source, SUBJECT_KEYS))),
        ):
            self.stage = stage
            async with aclosing(walk):
                async for part in walk:
                    yield part

    async def _drain(self, feed: Feed) -> AsyncGenerator[Part, None]:
        async with aclosing(feed.drain()) as drained:
            async for records in drained:
                if sound := self._inspection.sound(feed.collection, records):
                    yield Records(feed.collection, sound)

    async def _actors(self, feed: Feed) -> AsyncGenerator[Part, None]:
        """Yield what is beside the events, and events that were added meanwhile."""
        async with (
            aclosing(stored_names(self._source, EVENTS)) as names,
            aclosing(windows(names, self._WINDOW)) as some,
        ):
            async for window in some:
                self._has_snapshots = bool(await self._source.prefixes(SNAPSHOTS, limit=1))
                found = await together(self._beside(name) for name in window)
                async with aclosing(feed.drain()) as drained:
                    async for records in drained:
                        self._grown.update((record.prefix, record.key) for record in records)
                        if sound := self._inspection.sound(EVENTS, records):
                            yield Records(EVENTS, sound)
                for part in self._parts_beside(window, found):
                    yield part

    async def _grown_actors(self) -> AsyncGenerator[Part, None]:
        """Yield anew what there is of actors that were written meanwhile."""
        for name, number in self._grown.items():
            async with aclosing(self._grown_actor(name, number)) as parts:
                async for part in parts:
                    yield part

    async def _grown_actor(self, name: str, number: int) -> AsyncGenerator[Part, None]:
        """Yield the events after a number, and what is beside them, until compaction stands still meanwhile."""
        first: int | None = None
        self._has_snapshots = True
        while first != await self._first(name):
            head, beside = await self._at_one_moment(name)
            first = beside.first
            async with aclosing(pages(self._source, EVENTS, name, number + 1, head.key)) as read:
                async for entries in read:
                    if events := self._records(EVENTS, name, entries):
                        yield events
            if head.key > number and (events := self._records(EVENTS, name, [head])):
                yield events
            number = max(number, head.key)
            for part in self._parts_beside([name], [beside]):
                yield part

    async def _at_one_moment(self, name: str) -> tuple[Entry, _Beside]:
        """Return the last event, and with it what was beside it."""
        while True:
            page = await self._source.page(EVENTS, name, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
            beside = await self._beside(name)
            head = page.entries[0] if page.entries else Entry(0, b"")
            if head.key == await self._source.last(EVENTS, name):
                return head, beside

    async def _beside(self, name: str) -> _Beside:
        first = await self._first(name)
        snapshots: list[Entry] = []
        if self._has_snapshots or first > 1:
            async with aclosing(pages(self._source, SNAPSHOTS, name, 1, MAX_KEY + 1)) as read:
                snapshots = [entry async for entries in read for entry in entries]
        return _Beside(first, snapshots, await self._value(STATES, name) + await self._value(OWNERS, name))

    def _parts_beside(self, names: list[str], found: list[_Beside]) -> Iterable[Part]:
        for name, beside in zip(names, found, strict=True):
            if beside.snapshots:
                if part := self._records(SNAPSHOTS, name, beside.snapshots):
                    yield part
                yield Removals([Removal(SNAPSHOTS, name, beside.snapshots[0].key)])
        if values := [value for beside in found for value in beside.values if self._is_sound(value)]:
            yield Values(values)
        firsts = [Removal(EVENTS, name, beside.first) for name, beside in zip(names, found, strict=True)]
        if removals := [removal for removal in firsts if removal.below > 1]:
            yield Removals(removals)

    async def _owners_of_durable(self) -> AsyncGenerator[Part, None]:
        async with (
            aclosing(stored_names(self._source, DURABLE)) as names,
            aclosing(windows(names, self._WINDOW)) as some,
        ):
            async for window in some:
                found = await together(self._value(OWNERS, name) for name in window)
                if values := [value for values in found for value in values]:
                    yield Values(values)

    async def _archive(self) -> AsyncGenerator[Part, None]:
        async with aclosing(stored_names(self._source, ARCHIVE)) as names:
            async for name in names:
                async with aclosing(pages(self._source, ARCHIVE, name, 1, MAX_KEY + 1)) as read:
                    async for entries in read:
                        if part := self._records(ARCHIVE, name, entries):
                            yield part

    def _records(self, collection: str, name: str, entries: list[Entry]) -> Records | None:
        sound = self._inspection.sound(collection, [FeedRecord(name, *entry) for entry in entries])
        return Records(collection, sound) if sound else None

    def _is_sound(self, value: Value) -> bool:
        return value.state != STATES or self._inspection.is_sound(STATES, value.prefix, 0, value.value)

    async def _value(self, state: str, prefix: str) -> list[Value]:
        """Return a state, if it is there."""
        version, value = await self._source.read_state(state, prefix)
        return [] if value is None else [Value(state, prefix, version, value)]

    async def _first(self, name: str) -> int:
        """Return the number of the first event that is left, 0 where there is none."""
        page = await self._source.page(EVENTS, name, 1, MAX_KEY + 1, limit=1, max_bytes=1)
        return page.entries[0].key if page.entries else 0
