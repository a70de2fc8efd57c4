"""The backend: one thread that owns the file, and calls that wait for it without holding up the event loop."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from perdure.abc import Backend, Conflict, Durability, Entry, FeedPage, FeedRecord, Page, Worker, WriteGroup
from perdure.errors import CreateStoreError, StoreClosed, StoreError
from perdure_jsonl._index import Place
from perdure_jsonl._journal import Journal
from perdure_jsonl._lines import MAX_VALUE_BYTES

F = TypeVar("F", tuple[int, Place], tuple[str, int, Place])
T = TypeVar("T")

_FEED_BYTES = 4 * 1024 * 1024


class JsonlBackend(Backend):
    """A store in one file of JSON lines, for one process. Open it with `perdure.open_backend("jsonl:///bank.jsonl")`."""

    max_value_bytes = MAX_VALUE_BYTES

    def __init__(self, path: Path, durability: Durability) -> None:
        self.durability = durability
        self._path = path
        self._closed = False
        self._worker = Worker(f"perdure-jsonl {path.name}", lambda: Journal(path, durability), Journal.close)

    @classmethod
    async def open(cls, path: Path, durability: Durability = "full") -> JsonlBackend:
        """Open the file, or make it. Raises `CreateStoreError` naming the file and the reason."""
        backend = cls(path, durability)
        try:
            await backend._worker.submit(lambda _: None)
        except BaseException as error:
            await backend.close()
            if isinstance(error, OSError):
                raise CreateStoreError("open", f"{path}: {error.strerror}") from error
            raise
        return backend

    def commit(self, groups: Sequence[WriteGroup]) -> Awaitable[list[Conflict | None]]:
        def job(journal: Journal) -> list[Conflict | None]:
            return journal.commit(groups)

        return self._submit("commit", job)

    def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> Awaitable[Page]:
        def job(journal: Journal) -> Page:
            found = journal.index.between(collection, prefix, start, stop, reverse)
            places, more = _first(found, limit, max_bytes)
            return Page([Entry(key, journal.value(place)) for key, place in places], more)

        return self._submit("page", job)

    def last(self, collection: str, prefix: str) -> Awaitable[int]:
        return self._submit("last", lambda journal: journal.index.last(collection, prefix))

    def read_state(self, state: str, prefix: str) -> Awaitable[tuple[int, bytes | None]]:
        def job(journal: Journal) -> tuple[int, bytes | None]:
            version, place = journal.index.state(state, prefix)
            return version, None if place is None else journal.value(place)

        return self._submit("read_state", job)

    def prefixes(self, collection: str, after: str = "", limit: int = 1000) -> Awaitable[list[str]]:
        return self._submit("prefixes", lambda journal: journal.index.prefixes(collection, after, limit))

    def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> Awaitable[FeedPage]:
        if after is not None and not (after.isascii() and after.isdecimal()):
            raise ValueError(f"{after!r} is no offset of this feed")
        begin = int(after or 0)

        def job(journal: Journal) -> FeedPage:
            places, _ = _first(journal.index.feed(collection, begin), limit, _FEED_BYTES)
            records = [FeedRecord(prefix, key, journal.value(place)) for prefix, key, place in places]
            return FeedPage(records, str(places[-1][-1].offset if places else begin))

        return self._submit("feed", job)

    async def close(self) -> None:
        """Finish what was begun, and release the file."""
        self._closed = True
        await self._worker.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<JsonlBackend {self._path}>"

    def _submit(self, operation: str, job: Callable[[Journal], T]) -> Awaitable[T]:
        if self._closed:
            raise StoreClosed(operation)

        def translated(journal: Journal) -> T:
            try:
                return job(journal)
            except OSError as error:
                raise StoreError(operation, f"{self._path}: {error.strerror}") from error

        return self._worker.submit(translated)


def _first(found: Iterable[F], limit: int, max_bytes: int) -> tuple[list[F], bool]:
    """Return the first of `found` within the limits, one at least, and whether there are more behind them."""
    taken: list[F] = []
    for each in found:
        max_bytes -= each[-1].size
        if len(taken) == limit or (max_bytes < 0 and taken):
            return taken, True
        taken.append(each)
    return taken, False
