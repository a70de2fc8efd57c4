"""A store that remembers the newest snapshot of those who asked for it lately.

What is remembered is what the store returned, byte for byte: what is sealed in the store stays sealed in memory.

It is never older than a save that has finished. Reading takes time, and a snapshot that is saved, or deleted, meanwhile
must not be hidden for minutes by what a slow read brings from before. So a read says when it begins, each write of the
same id that begins or is under way spoils it, and a spoilt read is answered but not remembered. A finished save takes
the place of a remembered snapshot at once if no other write of the id ran beside it, for then it is known which of the
two the store holds; it keeps the age of what it replaces. Where nothing is remembered nothing is put in: what was saved
need not be the newest. (Putting every read in, as the obvious cache does, serves the older snapshot for as long as
entries live.)

Other processes' writes are seen when the entry is too old, or after `forget`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from perdure.abc import MAX_KEY, check_key, check_prefix
from perdure.errors import StoreClosed
from perdure.snapshots._begun import Begun
from perdure.snapshots._store import Snapshot, SnapshotStore

_MIB = 1024 * 1024
_ENTRY_BYTES = 512
"""About what an entry takes beside its record and its id."""


class _Entry(NamedTuple):
    snapshot: Snapshot
    read_at: float
    size: int


class _Reading:
    """A read under way, spoilt once it may bring what is out of date."""

    __slots__ = ("spoilt",)

    def __init__(self, spoilt: bool) -> None:
        self.spoilt = spoilt


class _Writing:
    """The writes of one id that are under way together."""

    __slots__ = ("alone", "count")

    def __init__(self) -> None:
        self.count = 0
        self.alone = True


class CachedSnapshots(SnapshotStore):
    """Answers `newest` from memory where it can, and asks `store`, which it closes, for everything else.

    Remembers at most `max_bytes`, those who asked last, each for at most `seconds` of `now` since it was read. That
    there is no snapshot is not remembered.
    """

    def __init__(
        self,
        store: SnapshotStore,
        *,
        max_bytes: int = 64 * _MIB,
        seconds: float = 300.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes is 1 or more, not {max_bytes}")
        if not seconds > 0:
            raise ValueError(f"seconds is more than 0, not {seconds}")
        self._store = store
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._now = now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._reading: dict[str, list[_Reading]] = {}
        self._writing: dict[str, _Writing] = {}
        self._begun = Begun()
        self._closed = False

    async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
        self._check("newest")
        snapshot = self._remembered(persistence_id)
        if snapshot is not None and snapshot.sequence_number <= at_most:
            self._entries.move_to_end(persistence_id)
            return snapshot
        if at_most < MAX_KEY:
            return await self._store.newest(persistence_id, at_most)
        return await self._read(persistence_id)

    async def oldest(self, persistence_id: str) -> Snapshot | None:
        self._check("oldest")
        return await self._store.oldest(persistence_id)

    async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
        self._check("save")
        snapshot = Snapshot(check_key(sequence_number), record)
        await self._begun.finish(self._save(check_prefix(persistence_id), snapshot))

    async def delete(self, persistence_id: str, below: int) -> None:
        self._check("delete")
        await self._begun.finish(self._delete(check_prefix(persistence_id), below))

    def forget(self, persistence_id: str) -> None:
        self._drop(persistence_id)
        self._spoil(persistence_id)
        self._store.forget(persistence_id)

    async def close(self) -> None:
        self._closed = True
        await self._begun.all_over()
        self._entries.clear()
        self._bytes = 0
        await self._store.close()

    def _remembered(self, persistence_id: str) -> Snapshot | None:
        entry = self._entries.get(persistence_id)
        if entry is None:
            return None
        if self._now() - entry.read_at >= self._seconds:
            self._drop(persistence_id)
            return None
        return entry.snapshot

    async def _read(self, persistence_id: str) -> Snapshot | None:
        reading = _Reading(persistence_id in self._writing)
        self._reading.setdefault(persistence_id, []).append(reading)
        read_at = self._now()
        try:
            snapshot = await self._store.newest(persistence_id)
        finally:
            others = self._reading[persistence_id]
            others.remove(reading)
            if not others:
                del self._reading[persistence_id]
        if snapshot is not None and not reading.spoilt and not self._closed:
            self._remember(persistence_id, snapshot, read_at)
        return snapshot

    def _remember(self, persistence_id: str, snapshot: Snapshot, read_at: float) -> None:
        """Remember what was read, unless a read that began later was faster."""
        entry = self._entries.get(persistence_id)
        if entry is None or entry.read_at <= read_at:
            self._put(persistence_id, snapshot, read_at)

    async def _save(self, persistence_id: str, snapshot: Snapshot) -> None:
        saved, alone = False, False
        self._begin_write(persistence_id)
        try:
            await self._store.save(persistence_id, *snapshot)
            saved = True
        finally:
            alone = self._end_write(persistence_id)
            self._replace(persistence_id, snapshot if saved and alone else None)

    async def _delete(self, persistence_id: str, below: int) -> None:
        self._begin_write(persistence_id)
        entry = self._entries.get(persistence_id)
        if entry is not None and entry.snapshot.sequence_number < below:
            self._drop(persistence_id)
        try:
            await self._store.delete(persistence_id, below)
        finally:
            self._end_write(persistence_id)

    def _begin_write(self, persistence_id: str) -> None:
        writing = self._writing.setdefault(persistence_id, _Writing())
        writing.count += 1
        writing.alone = writing.count == 1
        self._spoil(persistence_id)

    def _end_write(self, persistence_id: str) -> bool:
        """Return whether no other write of the id ran at any moment of this one."""
        writing = self._writing[persistence_id]
        writing.count -= 1
        if not writing.count:
            del self._writing[persistence_id]
        return writing.alone

    def _spoil(self, persistence_id: str) -> None:
        for reading in self._reading.get(persistence_id, ()):
            reading.spoilt = True

    def _replace(self, persistence_id: str, saved: Snapshot | None) -> None:
        """Remember a snapshot that was saved in the place of an older one; forget the older one in any case."""
        entry = self._entries.get(persistence_id)
        if entry is None:
            return
        if saved is None:
            self._drop(persistence_id)
        elif saved.sequence_number >= entry.snapshot.sequence_number:
            self._put(persistence_id, saved, entry.read_at)

    def _put(self, persistence_id: str, snapshot: Snapshot, read_at: float) -> None:
        self._drop(persistence_id)
        size = len(snapshot.record) + len(persistence_id) + _ENTRY_BYTES
        if size > self._max_bytes:
            return
        self._entries[persistence_id] = _Entry(snapshot, read_at, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, persistence_id: str) -> None:
        entry = self._entries.pop(persistence_id, None)
        if entry is not None:
            self._bytes -= entry.size

    def _check(self, operation: str) -> None:
        if self._closed:
            raise StoreClosed(operation)
