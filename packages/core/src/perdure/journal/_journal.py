"""The event logs of a backend.

A log is the collection `events` under a persistence id, its keys the sequence numbers 1, 2, 3, … without gaps. An
append names the sequence number after which it belongs; of two writers who name the same one, the store refuses the
second, so a log never forks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence

from perdure._stretch import Stretches
from perdure.abc import (
    MAX_KEY,
    Backend,
    Conflict,
    DeleteRange,
    Entry,
    Expectation,
    LastKey,
    Put,
    PutState,
    StateVersion,
    Write,
    WriteGroup,
)
from perdure.errors import CorruptionError, EventsRemoved
from perdure.journal._commit import CommitQueue
from perdure.journal._pages import pages
from perdure.security import MOST_OVERHEAD
from perdure.telemetry._observation import NOTHING, Observation

EVENTS = "events"

_PAGE = 2048
_PAGE_BYTES = 1024 * 1024


class Journal:
    """Appends to and reads event logs; shares one commit queue among all writers."""

    def __init__(
        self,
        backend: Backend,
        *,
        max_record_bytes: int = 16 * 1024 * 1024,
        observed: Observation = NOTHING,
        actors: Stretches | None = None,
    ) -> None:
        self.backend = backend
        self.max_record_bytes = min(max_record_bytes, backend.max_value_bytes - MOST_OVERHEAD)
        self._queue = CommitQueue(backend, observed=observed, actors=actors)
        self.commits = self._queue.commits
        self._unsettled: set[str] = set()
        self.settle: Callable[[str], None] = self._unsettled.discard
        """Note that the append of an id is over."""

    def append(
        self,
        persistence_id: str,
        after: int,
        records: Sequence[bytes],
        also: Sequence[Write] = (),
        also_bytes: int = 0,
        collection: str = EVENTS,
        claim: StateVersion | None = None,
    ) -> Awaitable[Conflict | None]:
        """Append records as the sequence numbers after `after`, with other writes in the same group, durably.

        The result is a conflict when the claim holds no more, or the log does not end at `after`. Raises what
        `CommitQueue.submit` raises. Who has waited to the end, whatever it is, calls `settle`; who is cancelled does
        not.
        """
        if len(records) == 1 and not also:  # as nearly always
            [record] = records
            writes: tuple[Write, ...] = (Put(collection, persistence_id, after + 1, record),)
            size = len(record)
        else:
            puts = [Put(collection, persistence_id, number, record) for number, record in enumerate(records, after + 1)]
            writes = (*puts, *also)
            size = sum(map(len, records)) + also_bytes
        head = LastKey(collection, persistence_id, after)
        expectations: tuple[Expectation, ...] = (head,) if claim is None else (claim, head)
        appending = self._queue.submit(WriteGroup(writes, expectations), size)
        self._unsettled.add(persistence_id)
        return appending

    async def settled(self, persistence_id: str) -> None:
        """Return when no append of this id is under way, whoever began it and waits for it or not."""
        if persistence_id in self._unsettled:
            await self._queue.submit(WriteGroup(()), 0)  # groups are settled in order
            self._unsettled.discard(persistence_id)

    async def write(self, writes: Sequence[Write], size: int) -> None:
        """Write a group that expects nothing, durably."""
        await self._queue.submit(WriteGroup(tuple(writes)), size)

    def put_state(self, put: PutState, version: int) -> Awaitable[Conflict | None]:
        """Put a state durably; the result is a conflict when it did not have this version."""
        expected = StateVersion(put.state, put.prefix, version)
        return self._queue.submit(WriteGroup((put,), (expected,)), len(put.value))

    async def remove(self, persistence_id: str, below: int) -> None:
        """Remove the events below a sequence number durably."""
        await self.write((DeleteRange(EVENTS, persistence_id, 1, below),), 0)

    def pages(self, persistence_id: str, start: int = 1, stop: int = MAX_KEY + 1) -> AsyncGenerator[list[Entry], None]:
        """Yield the log from a sequence number on, up to another and without it, in long pages.

        A page is passed from a thread to the loop, and may wait for the loop at both ends, however short it is.
        """
        return pages(self.backend, EVENTS, persistence_id, start, stop, size=_PAGE, max_bytes=_PAGE_BYTES)

    @property
    def lag(self) -> float:
        """For how many seconds the oldest write has been waiting to be durable; 0 when none is."""
        return self._queue.lag

    @property
    def failure(self) -> BaseException | None:
        """What the last commit raised, if it did."""
        return self._queue.failure

    async def close(self) -> None:
        """Settle what was submitted and refuse the rest."""
        await self._queue.close()


def consecutive(persistence_id: str, after: int, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries of a page, which was read from the sequence number behind `after` on.

    Raises `EventsRemoved` when the page begins later, as after compaction, and `CorruptionError` at a gap inside it:
    compaction removes from the front alone, and a page is one moment of the store.
    """
    number = after
    for entry in entries:
        number += 1
        if entry.key != number:
            if number == after + 1:
                raise EventsRemoved(persistence_id, number, entry.key)
            raise CorruptionError(persistence_id, number, f"the event is missing; the next one is {entry.key}")
        yield entry
