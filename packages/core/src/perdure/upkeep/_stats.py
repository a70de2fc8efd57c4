"""Counting what is in a store."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime

import msgspec

from perdure.abc import MAX_KEY, Backend, Entry
from perdure.errors import CorruptionError, SubjectForgotten
from perdure.journal import EVENTS, RecordError, hidden_id_of, pages
from perdure.journal._record import Record, decode
from perdure.persistence._changes import DURABLE
from perdure.persistence._entity import STATES
from perdure.query._stored import instant
from perdure.security import Keyring, Sealing, Vault, is_sealed
from perdure.snapshots import ARCHIVE, SNAPSHOTS
from perdure.upkeep._ahead import SCAN, Begun, begun
from perdure.upkeep._opened import opened_to_read

_BREATH = 512
_TYPES = 1000


class Amount(msgspec.Struct):
    """How many records, and how many bytes they have together as they are stored."""

    count: int = 0
    bytes: int = 0

    def add(self, entries: list[Entry]) -> None:
        self.count += len(entries)
        self.bytes += sum([len(record) for _, record in entries])


class LogSize(msgspec.Struct, frozen=True, order=True):
    """A log by its size."""

    bytes: int
    events: int
    persistence_id: str
    """The stored name, where the store hides the id and there are no keys."""


class Stats(msgspec.Struct, kw_only=True):
    """What is in a store. What is kept elsewhere, such as snapshots in a bucket, is not counted."""

    logs: int = 0
    events: Amount = msgspec.field(default_factory=Amount)
    snapshots: Amount = msgspec.field(default_factory=Amount)
    durable_states: Amount = msgspec.field(default_factory=Amount)
    stored_states: Amount = msgspec.field(default_factory=Amount)
    """States that are stored with each event."""
    archived: Amount = msgspec.field(default_factory=Amount)
    """Events in the store's own archive."""
    sealed: int = 0
    """How many of all records are sealed."""
    oldest: datetime | None = None
    """The earliest time of the first events of logs, by the clock of who persisted them; None if none can be read."""
    newest: datetime | None = None
    """The latest time of the last events of logs, in the same way."""
    unread: int = 0
    """Logs of which neither is known: they are sealed and there is no key, forgotten, or damaged."""
    largest: list[LogSize] = msgspec.field(default_factory=list)
    """The logs with the most bytes, from the greatest on."""
    types: dict[str, Amount] = msgspec.field(default_factory=dict)
    """The events of each actor type, by the beginnings of persistence ids."""
    untyped: Amount = msgspec.field(default_factory=Amount)
    """Events of which the id names no type: those of spawned actors, and hidden ones for want of keys."""


async def stats(
    store: str | Backend,
    sealing: Sealing | Keyring | None = None,
    *,
    largest: int = 10,
    progress: Callable[[Stats], object] | None = None,
) -> Stats:
    """Count what is in a store; nothing is written, and others may write meanwhile.

    A sealed store is counted without a sealing too: then the times of its events are not known, nor, where names are
    hidden, their types. All is read once; memory does not grow with the store. `progress` is told of what was counted
    so far, every few hundred records.

    Raises `StoreError` when the store cannot be read, `SealError` or `SealedStore` when the sealing is not its own.
    """
    if largest < 0:
        raise ValueError(f"largest is 0 or more, not {largest}")
    async with opened_to_read(store, sealing) as (backend, vault):
        counter = _Counter(backend, vault, largest, progress)
        await counter.run()
        return counter.stats


class _Counter:
    def __init__(
        self, backend: Backend, vault: Vault, largest: int, progress: Callable[[Stats], object] | None
    ) -> None:
        self.stats = Stats()
        self._backend = backend
        self._vault = vault
        self._most = largest
        self._largest: list[LogSize] = []
        self._progress = progress
        self._unsaid = 0

    async def run(self) -> None:
        async with aclosing(begun(self._backend, EVENTS, STATES)) as logs:
            async for log in logs:
                await self._log(log)
        for collection, amount in (
            (SNAPSHOTS, self.stats.snapshots),
            (DURABLE, self.stats.durable_states),
            (ARCHIVE, self.stats.archived),
        ):
            async with aclosing(begun(self._backend, collection)) as logs:
                async for log in logs:
                    await self._count(collection, log, amount)
        self.stats.largest = sorted(self._largest, reverse=True)
        if self._progress is not None:
            self._progress(self.stats)

    async def _log(self, log: Begun) -> None:
        size = Amount()
        first, last = await self._count(EVENTS, log, size)
        if log.state is not None:
            self.stats.stored_states.add([Entry(0, log.state)])
            self.stats.sealed += is_sealed(log.state)
        if first is None or last is None:
            return
        self.stats.logs += 1
        records = [await self._read(log.name, entry) for entry in (first, last)]
        name = next((hidden_id_of(record.metadata) or log.name for record in records if record), log.name)
        for amount in (self.stats.events, self._of_type(name)):
            amount.count += size.count
            amount.bytes += size.bytes
        self._note_times(*records)
        heapq.heappush(self._largest, LogSize(size.bytes, size.count, name))
        while len(self._largest) > self._most:
            heapq.heappop(self._largest)

    async def _count(self, collection: str, log: Begun, amount: Amount) -> tuple[Entry | None, Entry | None]:
        """Add all records under a name to an amount; return the first and the last of them."""
        first = last = None
        async with aclosing(pages(self._backend, collection, log.name, 1, MAX_KEY + 1, log.page, SCAN)) as read:
            async for entries in read:
                if entries:
                    first, last = first or entries[0], entries[-1]
                    amount.add(entries)
                    self.stats.sealed += sum([is_sealed(record) for _, record in entries])
                    await self._counted(len(entries))
        return first, last

    async def _counted(self, records: int) -> None:
        """Let others run after so many records, and tell of them."""
        self._unsaid += records
        if self._unsaid >= _BREATH:
            self._unsaid = 0
            if self._progress is not None:
                self._progress(self.stats)
            await asyncio.sleep(0)

    async def _read(self, name: str, entry: Entry) -> Record | None:
        """Return a record, None if it cannot be read."""
        try:
            await self._vault.look_up((entry.value,))
            return decode(self._vault.opened(EVENTS, name, *entry))[0]
        except (CorruptionError, RecordError, SubjectForgotten):
            return None

    def _of_type(self, name: str) -> Amount:
        """Return the amount of the type that begins an id; of a store that has thousands of them, of the first."""
        kind, slash, _ = name.partition("/")
        if not slash or not kind or (kind not in self.stats.types and len(self.stats.types) == _TYPES):
            return self.stats.untyped
        return self.stats.types.setdefault(kind, Amount())

    def _note_times(self, first: Record | None, last: Record | None) -> None:
        if first is None and last is None:
            self.stats.unread += 1
        if first is not None:
            time = instant(first.timestamp)
            self.stats.oldest = time if self.stats.oldest is None else min(self.stats.oldest, time)
        if last is not None:
            time = instant(last.timestamp)
            self.stats.newest = time if self.stats.newest is None else max(self.stats.newest, time)
