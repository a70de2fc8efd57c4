"""The backend: a writer thread and a few reader threads on one file."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from perdure.abc import Backend, Conflict, FeedPage, Page, Worker, WriteGroup, check_name
from perdure.errors import StoreClosed
from perdure_sqlite._errors import translated
from perdure_sqlite._reader import Reader
from perdure_sqlite._schema import connect, connect_reader
from perdure_sqlite._settings import Settings
from perdure_sqlite._writer import Writer

T = TypeVar("T")


class SqliteBackend(Backend):
    """A store in one SQLite file in WAL mode. Other processes may have the same file open.

    Open it with `await SqliteBackend.open(...)` or `perdure.open_backend("sqlite:///bank.db")`.
    """

    max_value_bytes = 512 * 1024 * 1024

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.durability = settings.durability
        self._closed = False
        name = f"perdure-sqlite {settings.path.name}"
        self._writer = Worker(f"{name} writer", self._open_writer, Writer.close)
        self._readers: Worker[Reader] | None = None

    @classmethod
    async def open(cls, settings: Settings) -> SqliteBackend:
        """Open or make the file. Raises `CreateStoreError` naming the file and the reason."""
        backend = cls(settings)
        try:
            await backend._writer.submit(lambda _: None)
        except BaseException:
            await backend.close()
            raise
        name = f"perdure-sqlite {settings.path.name}"
        backend._readers = Worker(f"{name} reader", backend._open_reader, Reader.close, settings.readers)
        return backend

    def commit(self, groups: Sequence[WriteGroup]) -> Awaitable[list[Conflict | None]]:
        if self._closed:
            raise StoreClosed("commit")
        return self._writer.submit(lambda writer: writer.commit(groups))

    def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> Awaitable[Page]:
        check_name(collection)
        return self._read(
            "page", lambda reader: reader.page(collection, prefix, start, stop, limit, max_bytes, reverse)
        )

    def pages(self, collection: str, prefixes: Sequence[str], *, limit: int, max_bytes: int) -> Awaitable[list[Page]]:
        check_name(collection)
        return self._read("pages", lambda reader: reader.pages(collection, prefixes, limit, max_bytes))

    def last(self, collection: str, prefix: str) -> Awaitable[int]:
        check_name(collection)
        return self._read("last", lambda reader: reader.last(collection, prefix))

    def read_state(self, state: str, prefix: str) -> Awaitable[tuple[int, bytes | None]]:
        check_name(state)
        return self._read("read_state", lambda reader: reader.read_state(state, prefix))

    def read_states(
        self, state: str, prefixes: Sequence[str], *, max_bytes: int
    ) -> Awaitable[list[tuple[int, bytes | None]]]:
        check_name(state)
        return self._read("read_states", lambda reader: reader.read_states(state, prefixes, max_bytes))

    def prefixes(self, collection: str, after: str = "", limit: int = 1000) -> Awaitable[list[str]]:
        check_name(collection)
        return self._read("prefixes", lambda reader: reader.prefixes(collection, after, limit))

    def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> Awaitable[FeedPage]:
        check_name(collection)
        position = int(after or 0)
        return self._read("feed", lambda reader: reader.feed(collection, position, limit))

    async def close(self) -> None:
        """Finish what was begun, bring the write-ahead log into the main file, and close it."""
        self._closed = True
        if self._readers is not None:
            await self._readers.close()
        await self._writer.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<SqliteBackend {self.settings.path}>"

    def _read(self, operation: str, job: Callable[[Reader], T]) -> Awaitable[T]:
        if self._closed or self._readers is None:
            raise StoreClosed(operation)
        return self._readers.submit(job)

    def _open_writer(self) -> Writer:
        return Writer(connect(self.settings), self.max_value_bytes)

    def _open_reader(self) -> Reader:
        try:
            return Reader(connect_reader(self.settings))
        except sqlite3.Error as error:
            raise translated("open", error) from error
