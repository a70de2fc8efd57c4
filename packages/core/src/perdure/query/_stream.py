"""Streams of what is stored, read in pages: up to the end, or live.

A stream is no generator. Nothing of it runs while nobody waits for its next item, so whoever leaves the loop leaves
nothing behind; and a wait that is cancelled, by a timeout say, loses nothing: the next one goes on from there.

A live stream at its end waits for the next commit of its own system, or for some seconds, for there may be writers in
other processes; then it reads on.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import ClassVar, Generic, TypeVar

import msgspec

from perdure._fields import fields
from perdure.abc import Backend
from perdure.actors import Backoff, Clock
from perdure.actors._clock import Pause
from perdure.errors import StoreClosed, StoreUnavailable
from perdure.journal import Commits
from perdure.security import Vault

T = TypeVar("T")

_log = logging.getLogger("perdure.query")


class Source(msgspec.Struct, frozen=True):
    """Where streams read, and how they learn of more."""

    backend: Backend
    clock: Clock
    commits: Commits
    poll: float
    """Seconds after which a live stream looks for what other processes wrote."""
    vault: Vault


class Stream(AsyncIterator[T], Generic[T]):
    """An async iterator over what is stored.

    A live stream waits at the end for more; it ends with its system, when all was read. While the store is unavailable
    it waits, with growing pauses, and logs a warning for each. All else that goes wrong is raised, and raised
    again by the next attempt, so that nothing is passed over.

    A stream has one reader at a time.
    """

    _BACKOFF: ClassVar[Backoff] = Backoff(first=0.1, initial=0.2, longest=10.0)

    def __init__(self, source: Source, *, live: bool) -> None:
        self._source = source
        self._live = live
        self._is_over = False
        self._is_reading = False
        self._failures = 0

    async def __anext__(self) -> T:
        if self._is_reading:
            raise RuntimeError("a stream has one reader at a time: make another stream")
        self._is_reading = True
        try:
            while (item := self._take()) is None:
                await self._read_on()
            return item
        finally:
            self._is_reading = False

    @abstractmethod
    def _take(self) -> T | None:
        """Return the next item of what was read, or None when all of it was taken."""

    @abstractmethod
    async def _read(self) -> bool:
        """Read the next page. Return whether there was anything."""

    async def _read_on(self) -> None:
        """Read the next page, or wait until there may be one. Raises `StopAsyncIteration` at the end."""
        commits = self._source.commits
        count, is_last = commits.count, commits.closed
        if self._is_over:
            raise StopAsyncIteration
        try:
            await self._source.vault.open()
            found = await self._read()
        except (StoreUnavailable, StoreClosed) as error:
            if not self._live or (isinstance(error, StoreClosed) and not commits.closed):
                raise
            return await self._wait_out(error)
        self._failures = 0
        if found:
            await asyncio.sleep(0)  # let others run between pages
        elif self._live and not is_last:
            await self._wait(self._source.poll, count)
        else:
            self._end()

    async def _wait_out(self, error: Exception) -> None:
        """Wait for the store to come back, unless the system is closed."""
        if self._source.commits.closed:
            self._end()
        self._failures += 1
        clock = self._source.clock
        pause = self._BACKOFF.delay(self._failures) or 0.0
        text = "a live stream cannot read: %s; it tries again in %g s"
        _log.warning(text, error, pause, extra=fields(error=error))
        until = clock.monotonic() + pause
        while not self._source.commits.closed and (left := until - clock.monotonic()) > 0:
            await self._wait(left, self._source.commits.count)

    async def _wait(self, seconds: float, count: int) -> None:
        """Return after so many seconds, at the next commit, or at once if there were more than `count`."""
        commits = self._source.commits
        if commits.closed or commits.count != count:
            return
        pause = Pause(self._source.clock, seconds)
        commits.waiting.add(pause.end)
        try:
            await pause
        finally:
            commits.waiting.discard(pause.end)

    def _end(self) -> None:
        self._is_over = True
        raise StopAsyncIteration
