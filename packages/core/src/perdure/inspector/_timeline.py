"""The life of one actor: where its log begins and ends, its events, and samples of them from end to end.

A log of any length is looked at by its keys: what a picture of all of it takes is some samples, each one look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from perdure.abc import MAX_KEY, Page
from perdure.inspector._records import Event, Records
from perdure.journal import EVENTS

BLOCK = 100
"""So many events stand side by side."""

SAMPLES = 64
_BESIDE = 4
_BLOCK_BYTES = 4 * 1024 * 1024


class Bounds(NamedTuple):
    """The sequence numbers of the first event that is left, and of the last; 0 of an empty log."""

    first: int
    last: int

    def nearest(self, number: int) -> int:
        return min(max(number, self.first), self.last)


class Timeline:
    """Reads the log of one actor by its stored name."""

    def __init__(self, records: Records, name: str) -> None:
        self.name = name
        self._records = records

    async def bounds(self) -> Bounds:
        first = await self._page(1, MAX_KEY + 1, 1)
        if not first.entries:
            return Bounds(0, 0)
        return Bounds(first.entries[0].key, await self._records.backend.last(EVENTS, self.name))

    async def event(self, number: int) -> Event | None:
        """Return an event with what is in it, None where it is missing."""
        page = await self._page(number, number + 1, 1)
        return next(iter(await self._records.events(self.name, page.entries)), None)

    async def block(self, number: int) -> list[Event]:
        """Return the facts of the events in whose company one is shown; fewer where they are very large."""
        start = (number - 1) // BLOCK * BLOCK + 1
        page = await self._page(start, start + BLOCK, BLOCK)
        return await self._records.events(self.name, page.entries, whole=False)

    async def beside(self, number: int) -> list[Event]:
        """Return the facts of an event and of those next to it."""
        return await self._each(range(max(1, number - _BESIDE), number + _BESIDE + 1))

    async def samples(self, bounds: Bounds) -> list[Event]:
        """Return the facts of some events, evenly spread from the first to the last."""
        steps = min(SAMPLES, bounds.last - bounds.first + 1)
        span = bounds.last - bounds.first
        return await self._each(sorted({bounds.first + span * step // max(1, steps - 1) for step in range(steps)}))

    async def _each(self, numbers: Iterable[int]) -> list[Event]:
        """Return the facts of some events, however large each is."""
        pages = await asyncio.gather(*(self._page(number, number + 1, 1) for number in numbers))
        entries = [entry for page in pages for entry in page.entries]
        return await self._records.events(self.name, entries, whole=False)

    async def _page(self, start: int, stop: int, limit: int) -> Page:
        return await self._records.backend.page(
            EVENTS, self.name, start, stop, limit=limit, max_bytes=_BLOCK_BYTES if limit > 1 else 1
        )
