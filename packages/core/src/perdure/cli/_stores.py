"""Stores that are open for the time of a command."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from perdure._plugins import open_backend
from perdure.abc import Backend
from perdure.cli._options import Keys
from perdure.persistence import PersistentActor
from perdure.query import Query
from perdure.security import Sealing
from perdure.snapshots import Archive, SnapshotStore, open_archive, open_snapshots

T = TypeVar("T")


class Store(msgspec.Struct, frozen=True):
    """An open store, and with what it is sealed."""

    url: str
    backend: Backend
    sealing: Sealing | None

    def query(self, actor_types: Iterable[type[PersistentActor[Any, Any]]] = (), *, poll: float = 1.0) -> Query:
        return Query(self.backend, actor_types, poll=poll, sealing=self.sealing)


@asynccontextmanager
async def opened(url: str, keys: Keys | None = None, *, create: bool = False) -> AsyncGenerator[Store, None]:
    """Yield the store at a URL, and close it.

    Raises what `open_backend` raises, so `StoreMissing` where there is none, unless one is to be made;
    `WrongUse` where keys are wanting, or given for a store that is not sealed.
    """
    backend = await open_backend(url, create=create)
    try:
        yield Store(url, backend, None if keys is None else await keys.sealing(backend))
    finally:
        await backend.close()


@asynccontextmanager
async def opened_snapshots(url: str | None) -> AsyncGenerator[SnapshotStore | None, None]:
    """Yield the snapshot store at a URL, and close it; None where there is none of its own."""
    store = None if url is None else await open_snapshots(url)
    try:
        yield store
    finally:
        if store is not None:
            await store.close()


@asynccontextmanager
async def opened_archive(url: str | None) -> AsyncGenerator[Archive | None, None]:
    """Yield the archive at a URL, and close it; None where there is none of its own."""
    archive = None if url is None else await open_archive(url)
    try:
        yield archive
    finally:
        if archive is not None:
            await archive.close()


async def first(limit: int | None, stream: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Yield at most so many items of a stream, and read no further."""
    left = -1 if limit is None else limit
    while left:
        try:
            item = await anext(stream)
        except StopAsyncIteration:
            return
        yield item
        left -= 1


async def merged(*streams: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """Yield what ascending streams have, ascending, and once what several have."""
    heads = {stream: await anext(stream, None) for stream in streams}
    while left := [head for head in heads.values() if head is not None]:
        least = min(left)
        yield least
        for stream in [stream for stream, head in heads.items() if head == least]:
            heads[stream] = await anext(stream, None)
