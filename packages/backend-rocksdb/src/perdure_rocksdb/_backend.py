"""The backend: one thread that writes to a folder and one that reads from it."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from perdure.abc import MAX_KEY, Backend, Conflict, FeedPage, Page, Worker, WriteGroup, check_name
from perdure.errors import StoreClosed, StoreError
from perdure_rocksdb import _reader
from perdure_rocksdb._database import View
from perdure_rocksdb._settings import Settings
from perdure_rocksdb._store import Store
from perdure_rocksdb._writer import Writer

T = TypeVar("T")


class RocksdbBackend(Backend):
    """A store in a folder of RocksDB's files. One process writes; others may read beside it, with `mode=ro`.

    Open it with `await RocksdbBackend.open(...)` or `perdure.open_backend("rocksdb:///bank")`.
    """

    max_value_bytes = 512 * 1024 * 1024

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.durability = settings.durability
        self._closed = False
        self._writer: Worker[Writer] | None = None
        self._reader: Worker[Store] | None = None

    @classmethod
    async def open(cls, settings: Settings) -> RocksdbBackend:
        """Open the folder, or make a store in it. Raises `CreateStoreError` naming the folder and the reason."""
        backend = cls(settings)
        try:
            await backend._open()
        except BaseException:
            await backend.close()
            raise
        return backend

    def commit(self, groups: Sequence[WriteGroup]) -> Awaitable[list[Conflict | None]]:
        return self._write("commit", lambda writer: writer.commit(groups))

    async def checkpoint(self, folder: Path | str) -> None:
        """Copy all that is committed into a new folder, which is a store of its own. Commits wait meanwhile.

        Files that never change again are shared by hard links where the file system allows. Raises `StoreError`
        naming the folder when it exists or cannot be made.
        """
        await self._write("checkpoint", lambda writer: writer.checkpoint(Path(folder)))

    def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> Awaitable[Page]:
        check_name(collection)
        return self._read(
            "page", lambda view: _reader.page(view, collection, prefix, start, stop, limit, max_bytes, reverse)
        )

    def pages(self, collection: str, prefixes: Sequence[str], *, limit: int, max_bytes: int) -> Awaitable[list[Page]]:
        check_name(collection)
        return self._read("pages", lambda view: _reader.pages(view, collection, prefixes, limit, max_bytes))

    def last(self, collection: str, prefix: str) -> Awaitable[int]:
        check_name(collection)
        return self._read("last", lambda view: _reader.last(view, collection, prefix))

    def read_state(self, state: str, prefix: str) -> Awaitable[tuple[int, bytes | None]]:
        check_name(state)
        return self._read("read_state", lambda view: _reader.read_state(view, state, prefix))

    def read_states(
        self, state: str, prefixes: Sequence[str], *, max_bytes: int
    ) -> Awaitable[list[tuple[int, bytes | None]]]:
        check_name(state)
        return self._read("read_states", lambda view: _reader.read_states(view, state, prefixes, max_bytes))

    def prefixes(self, collection: str, after: str = "", limit: int = 1000) -> Awaitable[list[str]]:
        check_name(collection)
        return self._read("prefixes", lambda view: _reader.prefixes(view, collection, after, limit))

    def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> Awaitable[FeedPage]:
        check_name(collection)
        position = int(after or 0)
        if not 0 <= position < MAX_KEY:
            raise ValueError(f"{after!r} is no offset of this feed")
        return self._read("feed", lambda view: _reader.feed(view, collection, position, limit))

    async def close(self) -> None:
        """Finish what was begun, bring the write-ahead log into sorted files, and release the folder."""
        self._closed = True
        if self._reader is not None:
            await self._reader.close()
        if self._writer is not None:
            await self._writer.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<RocksdbBackend {self.settings.path}>"

    async def _open(self) -> None:
        name = f"perdure-rocksdb {self.settings.path.name}"
        if self.settings.mode == "ro":
            self._reader = Worker(f"{name} reader", self._open_store, Store.close)
            await self._reader.submit(lambda _: None)
        else:
            self._writer = Worker(f"{name} writer", self._open_writer, Writer.close)
            store = await self._writer.submit(lambda writer: writer.store)
            self._reader = Worker(f"{name} reader", lambda: store, lambda _: None)

    def _open_store(self) -> Store:
        return Store(self.settings)

    def _open_writer(self) -> Writer:
        return Writer(self._open_store(), self.max_value_bytes)

    def _write(self, operation: str, job: Callable[[Writer], T]) -> Awaitable[T]:
        if self._closed:
            raise StoreClosed(operation)
        if self._writer is None:
            raise StoreError(operation, f"{self.settings.path} was opened with mode=ro, to be read")
        return self._writer.submit(job)

    def _read(self, operation: str, job: Callable[[View], T]) -> Awaitable[T]:
        if self._closed or self._reader is None:
            raise StoreClosed(operation)
        return self._reader.submit(lambda store: store.read(operation, job))
