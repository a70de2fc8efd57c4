"""Where events go that compaction removes, when they are not to be lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from perdure.abc import MAX_KEY, Backend, Entry, Put, Write
from perdure.errors import CorruptionError
from perdure.journal import Compression, CompressionError, decompress, pages
from perdure.snapshots._open import open_snapshots
from perdure.snapshots._store import SnapshotStore

ARCHIVE = "archive"

CommitWrites: TypeAlias = Callable[[Sequence[Write], int], Awaitable[None]]

_PLAIN, _PACKED = b"\0", b"\1"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode


class Archive(ABC):
    """Keeps the beginnings of event logs. Give one, or its URL, to `ActorSystem(archive=…)`.

    Raises `StoreUnavailable` when it cannot be reached, another `StoreError` when a call fails, `CorruptionError` when
    what it holds is damaged.
    """

    @abstractmethod
    async def add(self, persistence_id: str, entries: Sequence[Entry]) -> None:
        """Keep the records of some events durably: one or more, under sequence numbers that ascend without gaps.

        May be called again with events that are there: a crash came before they were removed from the log.
        """

    @abstractmethod
    def pages(self, persistence_id: str, start: int = 1, stop: int = MAX_KEY + 1) -> AsyncGenerator[list[Entry], None]:
        """Yield the events with `start <= sequence number < stop`, ascending, in pages."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and release everything. May be called again."""


class CollectionArchive(Archive):
    """Keeps them in the collection `archive` of the backend that holds the logs."""

    def __init__(self, backend: Backend, commit: CommitWrites) -> None:
        self._backend = backend
        self._commit = commit

    async def add(self, persistence_id: str, entries: Sequence[Entry]) -> None:
        puts = tuple(Put(ARCHIVE, persistence_id, key, record) for key, record in entries)
        await self._commit(puts, sum(len(record) for _, record in entries))

    def pages(self, persistence_id: str, start: int = 1, stop: int = MAX_KEY + 1) -> AsyncGenerator[list[Entry], None]:
        return pages(self._backend, ARCHIVE, persistence_id, start, stop)

    async def close(self) -> None:
        return


class ChunkArchive(Archive):
    """Keeps them in any snapshot store, such as a bucket: pages of events, each under the number of its last one.

    Reading looks for the beginning from the end, a page a step, so it reads each page twice: it is for the rare day.
    The store is not to be one that holds snapshots of the same actors; it stays open, unless `owned` closes it with
    the archive.
    """

    def __init__(self, store: SnapshotStore, *, owned: bool = False, compression: Compression | None = None) -> None:
        """Compress pages as snapshots are by default, or by `compression`."""
        self._store = store
        self._owned = owned
        self._compression = compression or Compression()

    async def add(self, persistence_id: str, entries: Sequence[Entry]) -> None:
        body = _encode([tuple(entry) for entry in entries])
        packed = self._compression.compress(body)
        chunk = _PLAIN + body if packed is None else _PACKED + packed
        await self._store.save(persistence_id, entries[-1].key, chunk)

    async def pages(
        self, persistence_id: str, start: int = 1, stop: int = MAX_KEY + 1
    ) -> AsyncGenerator[list[Entry], None]:
        for number in reversed(await self._numbers(persistence_id, start, stop)):
            entries = [entry for entry in await self._chunk(persistence_id, number) if start <= entry.key < stop]
            if entries:
                yield entries
                start = entries[-1].key + 1  # a page that was added again may begin before the last one's end

    async def close(self) -> None:
        if self._owned:
            await self._store.close()

    async def _numbers(self, persistence_id: str, start: int, stop: int) -> list[int]:
        """Return under which numbers the events are, descending."""
        found = await self._store.newest(persistence_id)
        numbers: list[int] = []
        while found is not None:
            numbers.append(found.sequence_number)
            first = _entries(persistence_id, found.sequence_number, found.record)[0].key
            if first >= stop:
                numbers.pop()
            if first <= start:
                break
            found = await self._store.newest(persistence_id, first - 1)
        return numbers

    async def _chunk(self, persistence_id: str, number: int) -> list[Entry]:
        found = await self._store.newest(persistence_id, number)
        if found is None or found.sequence_number != number:
            raise CorruptionError(
                persistence_id, number, "the archive has lost the events up to here while it was read"
            )
        return _entries(persistence_id, number, found.record)


async def open_archive(url: str) -> Archive:
    """Open the archive that keeps pages in the snapshot store of a URL. Raises what `open_snapshots` raises."""
    return ChunkArchive(await open_snapshots(url), owned=True)


def _entries(persistence_id: str, number: int, chunk: bytes) -> list[Entry]:
    """Return the events of a page. Raises `CorruptionError`."""
    try:
        body = decompress(chunk[1:]) if chunk[:1] == _PACKED else chunk[1:]
        entries = [Entry(key, record) for key, record in _decode(body)]
    except (CompressionError, msgspec.MsgspecError) as error:
        raise CorruptionError(persistence_id, number, f"the archived events up to here are damaged: {error}") from error
    first = number - len(entries) + 1
    if not entries or first < 1 or [entry.key for entry in entries] != [*range(first, number + 1)]:
        raise CorruptionError(persistence_id, number, "the archived events up to here are damaged")
    return entries
