"""A feed that is read to its end, again and again, each time from where it ended last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from operator import attrgetter
from typing import ClassVar

from perdure.abc import Backend, FeedPage, FeedRecord

_VALUE_OF = attrgetter("value")


class Feed:
    """The feed of a collection. The next page is being read while one is used; pages have some 4 MiB.

    They are long, for a store that is sorted by log then finds several entries of one in a place; what is yielded is
    not, for whoever works on it holds the loop.
    """

    _MOST: ClassVar[int] = 4096
    _AT_ONCE: ClassVar[int] = 1024
    _FIRST: ClassVar[int] = 64
    _BYTES: ClassVar[int] = 4 * 1024 * 1024
    _PATIENCE: ClassVar[int] = 64
    """After so many small pages in a row the end is reached: a writer adds while the next one is read, for ever."""

    def __init__(self, backend: Backend, collection: str) -> None:
        self.collection = collection
        self._backend = backend
        self._offset: str | None = None
        self._limit = self._FIRST

    async def drain(self) -> AsyncGenerator[list[FeedRecord], None]:
        """Yield what was added since the last time, in the order of commits. To be read to its end."""
        small = 0
        reading = asyncio.ensure_future(self._read())
        try:
            while small < self._PATIENCE:
                page = await reading
                self._offset = page.offset
                if not page.records:
                    return
                small = small + 1 if len(page.records) * 4 < self._limit else 0
                self._limit = self._fitting(page.records)
                reading = asyncio.ensure_future(self._read())
                for start in range(0, len(page.records), self._AT_ONCE):
                    yield page.records[start : start + self._AT_ONCE]
        finally:
            if not reading.cancel() and not reading.cancelled():
                reading.exception()  # of a page that nobody wants

    async def _read(self) -> FeedPage:
        return await self._backend.feed(self.collection, self._offset, self._limit)

    def _fitting(self, records: list[FeedRecord]) -> int:
        """Return how many records like these a page may have."""
        average = sum(map(len, map(_VALUE_OF, records))) // len(records) + 1
        return max(1, min(self._BYTES // average, self._MOST))
