"""What all logs hold, in the order in which it was committed.

It comes from the backend's feed, which promises that no record ever appears behind an offset that was handed out. So
the order is that of commits and not of clocks, and a writer that is slow to commit cannot put a record behind a reader.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from perdure.abc import FeedRecord
from perdure.errors import SubjectForgotten
from perdure.journal import EVENTS
from perdure.query._filter import Sieve, Tags
from perdure.query._offset import Name, Place, Position, position_of
from perdure.query._stored import FeedEvent, Types, opened
from perdure.query._stream import Source, Stream

T = TypeVar("T")


class Feed(Stream[T]):
    """What is made of the records of a collection behind an offset."""

    _PAGE: ClassVar[int] = 512

    def __init__(self, source: Source, collection: str, after: str | None, *, live: bool) -> None:
        super().__init__(source, live=live)
        self._collection = collection
        self._page_begin = self._page_end = position_of(after)
        self._to_meet = self._page_end.named()
        self._records: Sequence[FeedRecord] = ()
        self._next = 0
        self._given: list[Name] = []
        self._ready: deque[T] = deque()

    async def _read(self) -> bool:
        begin = self._page_end
        records, after = await self._source.backend.feed(self._collection, begin.after, self._PAGE)
        await self._source.vault.look_up(record.value for record in records)
        if self._to_meet:
            self._to_meet = self._still_to_meet(begin, records)
            fresh = [record for record in records if not begin.has_given(record[:2])]
        else:
            fresh = records
        self._page_begin = begin
        self._page_end = Position(after, begin.given, begin.parts) if self._to_meet else Position(after)
        self._records, self._next, self._given = fresh, 0, []
        return bool(records)

    def _still_to_meet(self, begin: Position, records: Sequence[FeedRecord]) -> int:
        """Return how many of the records that are named at the beginning of a page may come behind it."""
        if not records:  # it is the end of the feed: what was not met was removed
            return 0
        names = [record[:2] for record in records]
        return self._to_meet - sum(begin.has_given(name) or begin.events_given(name) > 0 for name in names)

    def _take(self) -> T | None:
        while not self._ready:
            if self._next == len(self._records):
                return None
            self._open(self._records[self._next])
            self._next += 1
        return self._ready.popleft()

    @abstractmethod
    def _open(self, record: FeedRecord) -> None:
        """Have what is made of the next record ready. What it raises, it raises again at the next attempt."""

    def _place(self, name: Name, number: int = 1, items: int = 1) -> Place:
        """Return the place behind so many of the items that the next record is."""
        if number < items:
            return Place(self._page_begin, self._given, len(self._given), (*name, number))
        self._given.append(name)
        is_last = self._next == len(self._records) - 1
        return Place(self._page_begin, self._given, len(self._given), None, self._page_end if is_last else None)


class FeedStream(Feed[FeedEvent]):
    """The events with some tags."""

    def __init__(self, source: Source, types: Types, tags: Tags, after: str | None, *, live: bool) -> None:
        super().__init__(source, EVENTS, after, live=live)
        self._types = types
        self._tags = tags
        self._sieve = Sieve(tags)

    def _open(self, record: FeedRecord) -> None:
        if not self._sieve.may_match(record.value):
            return
        try:
            stored = opened(self._source.vault, *record)
        except SubjectForgotten:
            return
        if not self._tags.match(stored.tags):
            return
        name = record[:2]
        events = self._types.events(stored)
        for number in range(self._page_begin.events_given(name), len(events)):
            place = self._place(name, number + 1, len(events))
            self._ready.append(FeedEvent(*stored.facts(), events[number], place))
