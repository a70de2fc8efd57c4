"""Where events go that compaction removes, when they are not to be lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeAlias

from perdure.abc import MAX_KEY, Backend, Entry, Put, Write
from perdure.journal._pages import pages

ARCHIVE = "archive"

CommitWrites: TypeAlias = Callable[[Sequence[Write], int], Awaitable[None]]


class Archive(ABC):
    """Keeps the beginnings of event logs. Give one, or its URL, to `ActorSystem(archive=…)`.

    Raises `StoreUnavailable` when it cannot be reached, another `StoreError` when a call fails.
    """

    @abstractmethod
    async def add(self, persistence_id: str, entries: Sequence[Entry]) -> None:
        """Keep the records of some events under their sequence numbers, which ascend without gaps, durably.

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
