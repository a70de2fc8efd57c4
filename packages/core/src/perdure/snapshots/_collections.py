"""Snapshots in a backend: entries of the collection `snapshots`, under the sequence number that each covers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from perdure.abc import MAX_KEY, Backend, DeleteRange, Put, Write, WriteGroup, check_key, check_prefix
from perdure.errors import StoreClosed
from perdure.snapshots._store import Snapshot, SnapshotStore

SNAPSHOTS = "snapshots"

WriteDurably: TypeAlias = Callable[[Sequence[Write], int], Awaitable[None]]
"""Writes together, durably, what holds so many bytes: `Journal.write`, which shares the commits of a system."""


class CollectionSnapshots(SnapshotStore):
    """Keeps snapshots in a backend.

    Writes go through `write`, or are committed one by one. The backend stays open, unless `owned` closes it with the
    store. Each read is one page.
    """

    def __init__(self, backend: Backend, write: WriteDurably | None = None, *, owned: bool = False) -> None:
        self._backend = backend
        self._write = write or self._commit
        self._owned = owned
        self._closed = False

    async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
        self._check("save")
        put = Put(SNAPSHOTS, check_prefix(persistence_id), check_key(sequence_number), record)
        await self._write((put,), len(record))

    async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
        return await self._first("newest", persistence_id, min(at_most, MAX_KEY) + 1, reverse=True)

    async def oldest(self, persistence_id: str) -> Snapshot | None:
        return await self._first("oldest", persistence_id, MAX_KEY + 1)

    async def delete(self, persistence_id: str, below: int) -> None:
        self._check("delete")
        check_prefix(persistence_id)
        if below > 1:
            await self._write((DeleteRange(SNAPSHOTS, persistence_id, 1, min(below, MAX_KEY + 1)),), 0)

    async def close(self) -> None:
        self._closed = True
        if self._owned:
            await self._backend.close()

    async def _first(self, operation: str, persistence_id: str, stop: int, *, reverse: bool = False) -> Snapshot | None:
        self._check(operation)
        check_prefix(persistence_id)
        if stop <= 1:
            return None
        page = await self._backend.page(SNAPSHOTS, persistence_id, 1, stop, limit=1, max_bytes=1, reverse=reverse)
        return Snapshot(*page.entries[0]) if page.entries else None

    async def _commit(self, writes: Sequence[Write], size: int) -> None:
        await self._backend.commit([WriteGroup(tuple(writes))])

    def _check(self, operation: str) -> None:
        if self._closed:
            raise StoreClosed(operation)
