"""The event logs of a backend.

A log is the collection `events` under a persistence id, its keys the sequence numbers 1, 2, 3, … without gaps. An
append names the sequence number after which it belongs; of two writers who name the same one, the store refuses the
second, so a log never forks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import ClassVar

from perdure.abc import MAX_KEY, Backend, Conflict, Entry, LastKey, Page, Put, Write, WriteGroup
from perdure.journal._commit import CommitQueue

EVENTS = "events"


class Journal:
    """Appends to and reads event logs; shares one commit queue among all writers."""

    _PAGE: ClassVar[int] = 512
    _PAGE_BYTES: ClassVar[int] = 4 * 1024 * 1024

    def __init__(self, backend: Backend, *, max_record_bytes: int = 16 * 1024 * 1024) -> None:
        self.backend = backend
        self.max_record_bytes = min(max_record_bytes, backend.max_value_bytes)
        self._queue = CommitQueue(backend)
        self._unsettled: set[str] = set()

    def append(
        self,
        persistence_id: str,
        after: int,
        records: Sequence[bytes],
        also: Sequence[Write] = (),
        also_bytes: int = 0,
        collection: str = EVENTS,
    ) -> Awaitable[Conflict | None]:
        """Append records as the sequence numbers after `after`, with other writes in the same group, durably.

        The result is a conflict when the log does not end at `after`. Raises what `CommitQueue.submit` raises. Who has
        waited to the end, whatever it is, calls `settle`; who is cancelled does not.
        """
        number = after
        size = also_bytes
        writes: list[Write] = []
        for record in records:
            number += 1
            size += len(record)
            writes.append(Put(collection, persistence_id, number, record))
        writes += also
        group = WriteGroup(tuple(writes), (LastKey(collection, persistence_id, after),))
        appending = self._queue.submit(group, size)
        self._unsettled.add(persistence_id)
        return appending

    def settle(self, persistence_id: str) -> None:
        """Note that the append of this id is over."""
        self._unsettled.discard(persistence_id)

    async def settled(self, persistence_id: str) -> None:
        """Return when no append of this id is under way, whoever began it and waits for it or not."""
        if persistence_id in self._unsettled:
            await self._queue.submit(WriteGroup(()), 0)  # groups are settled in order
            self._unsettled.discard(persistence_id)

    async def write(self, writes: Sequence[Write], size: int) -> None:
        """Write a group that expects nothing, durably."""
        await self._queue.submit(WriteGroup(tuple(writes)), size)

    async def pages(self, persistence_id: str, start: int) -> AsyncGenerator[list[Entry], None]:
        """Yield the log from a sequence number on, in pages.

        From the second page on, two are being read while one is used. One would not do: a reading thread begins when it
        has the interpreter lock, which it does not get before the page in hand is done with.
        """
        entries, more = await self._page(persistence_id, start)
        ahead: deque[tuple[int, asyncio.Future[Page]]] = deque()
        try:
            while more:
                start = entries[-1].key + 1
                if ahead and ahead[0][0] != start:  # the last page was cut at its bytes
                    self._give_up(ahead)
                while len(ahead) < 2:
                    following = ahead[-1][0] + self._PAGE if ahead else start
                    ahead.append((following, asyncio.ensure_future(self._page(persistence_id, following))))
                yield entries
                entries, more = await ahead.popleft()[1]
            yield entries
        finally:
            self._give_up(ahead)

    def _give_up(self, ahead: deque[tuple[int, asyncio.Future[Page]]]) -> None:
        """Cancel reads that turned out not to be wanted, and do not complain of their failures."""
        while ahead:
            _, page = ahead.popleft()
            if not page.cancel() and not page.cancelled():
                page.exception()

    async def close(self) -> None:
        """Settle what was submitted and refuse the rest."""
        await self._queue.close()

    def _page(self, persistence_id: str, start: int) -> Awaitable[Page]:
        return self.backend.page(
            EVENTS, persistence_id, start, MAX_KEY + 1, limit=self._PAGE, max_bytes=self._PAGE_BYTES
        )
