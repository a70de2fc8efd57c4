"""How the actors of one type keep snapshots: when they are taken, where they live, and what becomes of the old.

After a snapshot is durable, and only then, older ones that are no longer wanted are removed, and after them, if so
wished, the events below the oldest that is kept. Each step leaves an actor that can be recovered, and what a crash or a
failure left undone the next snapshot makes up for. The event at the oldest snapshot's own number stays: it proves that
the log reaches so far, so that a snapshot ahead of its log is noticed, and it is the head that refuses stale writers.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from perdure._fields import fields
from perdure.errors import DamagedSnapshot, SealError
from perdure.journal import AnyEvent, Compression, Journal, RecordError, compressed, timestamp_of
from perdure.security import Seal
from perdure.snapshots._archive import Archive
from perdure.snapshots._policy import SnapshotPolicy
from perdure.snapshots._store import SnapshotStore

_log = logging.getLogger("perdure.persistence")


Compact: TypeAlias = bool | Literal["archive"]


class Draft(NamedTuple):
    """A state that is captured: about how many bytes its record will have, how to make that, and what seals it.

    All of it can be done in any thread.
    """

    size: int
    record: Callable[[], bytes]
    seal: Seal | None = None

    def finished(self, sequence_number: int, compression: Compression) -> bytes:
        """Return what is stored."""
        record = compressed(self.record(), compression)
        return record if self.seal is None else self.seal.seal(sequence_number, record)


class Shelf:
    """What all actors of a type in a system share of their snapshots.

    It tells `saved` of each that is durable, with its size in bytes and the seconds that it took, and `failed` of what
    an actor does not suffer from.
    """

    _LARGE: ClassVar[int] = 64 * 1024  # bytes of a snapshot that is better finished in a thread

    def __init__(
        self,
        store: SnapshotStore,
        journal: Journal,
        archive: Archive,
        policy: SnapshotPolicy,
        compression: Compression,
        *,
        keep: int,
        keep_for: float | None,
        compact: Compact,
        time: Callable[[], float],
        monotonic: Callable[[], float],
        in_background: Callable[[Coroutine[Any, Any, None]], None],
        saved: Callable[[str, int, int, float], None],
        failed: Callable[[str, int, Exception], None],
    ) -> None:
        self.policy = policy
        self.store = store
        self.keep = keep
        self.monotonic = monotonic
        self.in_background = in_background
        self.failed = failed
        self._journal = journal
        self._archive = archive
        self._compression = compression
        self._keep_for = keep_for
        self._compact = compact
        self._saved = saved
        self._time = time

    async def save(self, persistence_id: str, sequence_number: int, draft: Draft) -> None:
        """Store a snapshot durably, and tell of it."""
        began = self.monotonic()
        record = await self._finished(draft, sequence_number)
        await self.store.save(persistence_id, sequence_number, record)
        self._saved(persistence_id, sequence_number, len(record), self.monotonic() - began)

    async def retain(self, persistence_id: str, floor: int, seal: Seal | None) -> None:
        """Remove what durable snapshots from `floor` on make superfluous: older ones, then events."""
        if self._keep_for is None:
            await self.store.delete(persistence_id, floor)
        else:
            floor = await self._remove_expired(persistence_id, floor, self._time() - self._keep_for, seal)
        if self._compact:
            await self.remove_events(persistence_id, floor)

    async def remove_events(self, persistence_id: str, below: int) -> None:
        """Remove the events below a number, which a durable snapshot covers; archive them first, if so wished."""
        if self._compact == "archive":
            async for entries in self._journal.pages(persistence_id, 1, below):
                if entries:
                    await self._archive.add(persistence_id, entries)
        await self._journal.remove(persistence_id, below)

    async def _finished(self, draft: Draft, sequence_number: int) -> bytes:
        if draft.size < self._LARGE:
            return draft.finished(sequence_number, self._compression)
        return await asyncio.to_thread(draft.finished, sequence_number, self._compression)

    async def _remove_expired(self, persistence_id: str, floor: int, before: float, seal: Seal | None) -> int:
        """Remove snapshots below a number that are from before a time; return the least number that is kept."""
        while (oldest := await self._oldest(persistence_id, seal)) is not None and oldest[0] < floor:
            number, time = oldest
            if time >= before:
                return number
            await self.store.delete(persistence_id, number + 1)
        return floor

    async def _oldest(self, persistence_id: str, seal: Seal | None) -> tuple[int, float] | None:
        """Return the number and the time of the oldest snapshot; one that cannot be read is as old as can be."""
        number = 0
        try:
            if (oldest := await self.store.oldest(persistence_id)) is None:
                return None
            number, record = oldest
            return number, timestamp_of(record if seal is None else seal.open(number, record)) / 1_000_000
        except (DamagedSnapshot, SealError) as damaged:
            return damaged.sequence_number, -math.inf
        except RecordError:
            return number, -math.inf


class Snapshots:
    """The snapshots of one actor: what has happened since the last, and which are known to be durable.

    They are written in the background, one at a time. If one comes due while another is being written, it waits; if
    yet another does, that takes its place.
    """

    __slots__ = ("_began", "_bytes", "_known", "_newest", "_next", "_shelf", "_writing", "persistence_id")

    def __init__(self, persistence_id: str, shelf: Shelf) -> None:
        self.persistence_id = persistence_id
        self._shelf = shelf
        self._known: tuple[int, ...] = ()
        self._newest = 0
        self._next: tuple[int, Draft] | None = None
        self._writing = False
        self._bytes = 0
        self._began = shelf.monotonic()

    @property
    def stored_bytes(self) -> int:
        """The size of the records since the last snapshot."""
        return self._bytes

    @property
    def seconds(self) -> float:
        """The time since the last snapshot, or since the actor's start."""
        return self._shelf.monotonic() - self._began

    def due(self, state: Any, first_number: int, events: Sequence[AnyEvent], size: int) -> bool:
        """Tell whether to take a snapshot after these events, which have just become durable."""
        self._bytes += size
        policy = self._shelf.policy
        if len(events) == 1:
            return policy.due(first_number, state, events[0], self)
        return True in [policy.due(number, state, event, self) for number, event in enumerate(events, first_number)]

    def next_due(self, after: int) -> int:
        """Return the first sequence number behind `after` for which to ask whether one is due."""
        return self._shelf.policy.next_due(after)

    def due_on_stop(self, sequence_number: int) -> bool:
        """Tell whether to take a snapshot because the actor ends with this event."""
        return self._shelf.policy.on_stop and sequence_number > self._newest

    def found(self, sequence_number: int) -> None:
        """Note the snapshot from which the actor was recovered."""
        self._known = (sequence_number,)
        self._newest = sequence_number

    def save_soon(self, sequence_number: int, draft: Draft) -> None:
        """Write a snapshot in the background, and report how that went."""
        self._bytes = 0
        self._began = self._shelf.monotonic()
        self._newest = sequence_number
        self._next = (sequence_number, draft)
        if not self._writing:
            self._writing = True
            self._shelf.in_background(self._write())

    async def save(self, sequence_number: int, draft: Draft) -> None:
        """Store a snapshot; when this returns it is durable. What it makes superfluous is removed, or reported."""
        await self._shelf.save(self.persistence_id, sequence_number, draft)
        keep = self._shelf.keep
        self._known = tuple(sorted({*self._known, sequence_number})[-keep:])
        if len(self._known) < keep:
            return
        try:
            await self._shelf.retain(self.persistence_id, self._known[0], draft.seal)
        except Exception as error:
            self.failed(sequence_number, f"what the snapshot at {sequence_number} replaces was not removed", error)

    async def remove_events(self, below: int) -> None:
        await self._shelf.remove_events(self.persistence_id, below)

    def failed(self, sequence_number: int, what: str, error: Exception) -> None:
        """Report a failure that the actor does not suffer from."""
        about = fields(persistence_id=self.persistence_id, sequence_number=sequence_number, error=error)
        _log.error("%s: %s: %s", self.persistence_id, what, error, extra=about)
        self._shelf.failed(self.persistence_id, sequence_number, error)

    async def _write(self) -> None:
        try:
            while self._next is not None:
                (number, draft), self._next = self._next, None
                try:
                    await self.save(number, draft)
                except Exception as error:
                    self._newest = max(self._known, default=0)
                    self.failed(number, f"the snapshot at {number} was not saved", error)
        finally:
            self._writing = False
