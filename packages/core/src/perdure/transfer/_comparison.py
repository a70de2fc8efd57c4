"""Comparing all of a copy with its source, byte by byte, while others may write the source.

What differs only because the source went on is no difference: a log that is longer now, what has been compacted since,
a durable state or an owner that came later.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import ClassVar, TypeAlias

from perdure.abc import MAX_KEY, Backend, Entry
from perdure.errors import CorruptionError, TargetDiffers
from perdure.journal import EVENTS, pages
from perdure.persistence._changes import DURABLE
from perdure.persistence._claims import OWNERS
from perdure.persistence._entity import STATES
from perdure.security._names import PREFIX, STATE
from perdure.security._subjects import SUBJECT_KEYS
from perdure.snapshots import ARCHIVE, SNAPSHOTS
from perdure.transfer._damage import Inspection
from perdure.transfer._feed import Feed
from perdure.transfer._landing import Landed
from perdure.transfer._together import together, windows
from perdure.transfer._walk import LATEST
from perdure.upkeep._names import stored_names

_Stored: TypeAlias = tuple[int, bytes | None]

_STATES_OF = {EVENTS: (STATES, OWNERS), DURABLE: (OWNERS,)}
"""The states that stand beside a collection, under its names."""


class Comparison:
    """One look at two stores."""

    _WINDOW: ClassVar[int] = 32
    _READING: ClassVar[int] = 8  # of these, for their pages are in memory
    _BYTES: ClassVar[int] = 4 * 1024 * 1024

    def __init__(
        self,
        source: Backend,
        target: Backend,
        inspection: Inspection,
        result: Landed,
        progress: Callable[[], object],
    ) -> None:
        self._source = source
        self._target = target
        self._inspection = inspection
        self._result = result
        self._progress = progress
        self._missing: defaultdict[str, set[str]] = defaultdict(set)
        self._reading = asyncio.Semaphore(self._READING)

    async def run(self, feeds: Iterable[Feed]) -> None:
        """Raise `TargetDiffers` for the first difference; `CorruptionError` for a log with a gap, unless it skips.

        The feeds give what was committed since the target was written.
        """
        await self._states(STATE, [PREFIX])
        for collection in (EVENTS, SNAPSHOTS, DURABLE, ARCHIVE, SUBJECT_KEYS):
            async with (
                aclosing(stored_names(self._source, collection)) as names,
                aclosing(windows(names, self._WINDOW)) as some,
            ):
                async for window in some:
                    for state in _STATES_OF.get(collection, ()):
                        await self._states(state, window)
                    await together(self._log(collection, name) for name in window)
                    self._progress()
        for feed in feeds:
            await self._check_missing(feed)

    async def _check_missing(self, feed: Feed) -> None:
        """Raise `TargetDiffers` for a name that the target has not, and that is not new."""
        missing = self._missing.pop(feed.collection, set())
        if missing:
            async with aclosing(feed.drain()) as drained:
                async for records in drained:
                    missing.difference_update(record.prefix for record in records)
        for name in missing:
            raise TargetDiffers(feed.collection, name, 0, "the log is missing")

    async def _log(self, collection: str, name: str) -> None:
        end = await self._target.last(collection, name) + 1
        if end == 1:
            return await self._note_missing(collection, name)
        async with self._reading:
            await self._entries(collection, name, end)

    async def _entries(self, collection: str, name: str, end: int) -> None:
        start = last = 0
        async with aclosing(pages(self._source, collection, name, 1, end)) as read:
            async for entries in read:
                if collection == EVENTS and entries:
                    last = self._check_gaps(name, last, entries)
                stop = entries[-1].key + 1 if entries else end
                found = await self._found(collection, name, start, stop)
                if entries != found:
                    await self._judge(collection, name, dict(entries), dict(found))
                self._result.compared += len(entries)
                start = stop
        if start < end:
            await self._judge(collection, name, {}, dict(await self._found(collection, name, start, end)))

    async def _note_missing(self, collection: str, name: str) -> None:
        """Note that the target has nothing of a log, unless all of it that could be copied is damaged."""
        page = await self._source.page(collection, name, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
        if not (page.entries and self._inspection.leaves_out(page.entries[0].value)):
            self._missing[collection].add(name)

    async def _found(self, collection: str, name: str, start: int, stop: int) -> list[Entry]:
        """Return what the target has from a number on, below another."""
        found, more = await self._target.page(collection, name, start, stop, limit=1024, max_bytes=self._BYTES)
        while more:
            some, more = await self._target.page(
                collection, name, found[-1].key + 1, stop, limit=1024, max_bytes=self._BYTES
            )
            found = [*found, *some]
        return found

    def _check_gaps(self, name: str, last: int, entries: list[Entry]) -> int:
        """Look for events that are missing behind the last one. Return the number of the last of these."""
        if (last and entries[0].key != last + 1) or entries[-1].key - entries[0].key != len(entries) - 1:
            for number, _ in entries:
                if last and number != last + 1:
                    reason = f"the event is missing; the next one is {number}"
                    self._inspection.report(CorruptionError(name, last + 1, reason))
                last = number
        return entries[-1].key

    async def _judge(self, collection: str, name: str, theirs: dict[int, bytes], ours: dict[int, bytes]) -> None:
        """Raise `TargetDiffers` unless what differs was changed in the source since."""
        for number in sorted({*theirs, *ours}):
            if theirs.get(number) == ours.get(number):
                continue
            if number in theirs and self._inspection.leaves_out(theirs[number]):
                continue  # what the target has in its place is of an earlier copy, or of a backup
            if number not in ours:
                raise TargetDiffers(collection, name, number, "the record is missing")
            if number in theirs or not await self._is_gone(collection, name, number):
                raise TargetDiffers(collection, name, number, "it holds another record here")

    async def _is_gone(self, collection: str, name: str, number: int) -> bool:
        """Tell whether the source has removed an entry that is in the target."""
        if collection in LATEST or collection == SNAPSHOTS:
            return await self._source.last(collection, name) > number
        page = await self._source.page(collection, name, 1, MAX_KEY + 1, limit=1, max_bytes=1)
        return bool(page.entries) and page.entries[0].key > number

    async def _states(self, state: str, names: Sequence[str]) -> None:
        while names:
            ours = await self._target.read_states(state, names, max_bytes=self._BYTES)
            theirs = await self._source.read_states(state, names[: len(ours)], max_bytes=self._BYTES)
            for name, found, stored in zip(names, ours, theirs, strict=False):
                await self._state(state, name, found, stored)
            names = names[len(theirs) :]

    async def _state(self, state: str, name: str, ours: _Stored, in_source: _Stored) -> None:
        version, value = ours
        theirs, stored = in_source
        if value == stored and (state != OWNERS or version == theirs):
            self._result.compared += stored is not None
        elif state == STATES and stored is not None and self._inspection.leaves_out(stored):
            return
        elif not await self._went_on(state, name, version, theirs):
            raise TargetDiffers(state, name, version, "it has another value than the source")

    async def _went_on(self, state: str, name: str, version: int, theirs: int) -> bool:
        """Tell whether a state of the source has changed since it was copied."""
        if state == OWNERS:
            return version < theirs
        if state == STATES:
            return await self._source.last(EVENTS, name) > await self._target.last(EVENTS, name)
        return False
