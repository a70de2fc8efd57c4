"""What of a log is superfluous, for a snapshot covers it.

It is what the actor's own compaction takes for that: all below the oldest of the snapshots that are kept, once there
are so many. The event at that snapshot's number stays: it proves that the log reaches so far, and may be its head.
Where the state is stored with each event, all but the last are superfluous.

A snapshot counts only when it can be read, and the log has its event; one that cannot is told of and passed over.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple

from perdure.abc import MAX_KEY, Backend, Expectation, LastKey, StateVersion
from perdure.errors import CorruptionError, SubjectForgotten
from perdure.journal import EVENTS, RecordError, StateCodec, hidden_id_of
from perdure.journal._record import Record, decode
from perdure.persistence._entity import STATES
from perdure.security import Vault
from perdure.snapshots import SNAPSHOTS, SnapshotStore


class Superfluous(NamedTuple):
    """What can be removed of one log, if anything."""

    name: str
    persistence_id: str
    first: int
    """The first event that is stored."""
    below: int
    """Events and snapshots with lesser numbers can be removed."""
    snapshots: int
    """How many snapshots those are."""
    guard: tuple[Expectation, ...]
    """What has to hold still when they are."""

    @property
    def events(self) -> int:
        return self.below - self.first


class _Found(NamedTuple):
    number: int
    record: Record | None
    """None for what cannot be read."""


class Covered:
    """Tells what of the logs of a store is superfluous, and `report`s what cannot be read."""

    def __init__(
        self,
        backend: Backend,
        vault: Vault,
        snapshots: SnapshotStore,
        states: Mapping[str, StateCodec[object]],
        report: Callable[[CorruptionError], object],
        *,
        keep: int,
        since: float | None,
        in_store: bool,
    ) -> None:
        """Keep the newest so many snapshots, and all made `since` a time in seconds since 1970.

        `states` are the codecs of actor types by their names: what one of them cannot decode cannot be read.
        """
        self._backend = backend
        self._vault = vault
        self._snapshots = snapshots
        self._states = states
        self._report = report
        self._keep = keep
        self._since = since
        self._in_store = in_store

    async def superfluous(self, name: str) -> Superfluous | None:
        """Return what can be removed of a log, None where that is nothing. Raises `SubjectForgotten`, `StoreError`."""
        page = await self._backend.page(EVENTS, name, 1, MAX_KEY + 1, limit=1, max_bytes=1)
        if not page.entries:
            return None
        first, last = page.entries[0].key, await self._backend.last(EVENTS, name)
        found = await self._behind_state(name, first, last) or await self._behind_snapshots(name, first, last)
        return found if found is not None and (found.events or found.snapshots) else None

    async def _behind_state(self, name: str, first: int, last: int) -> Superfluous | None:
        """Return what the state covers that is stored with each event, if the newest has one."""
        version, data = await self._backend.read_state(STATES, name)
        record = None if data is None else await self._read(STATES, name, 0, data, last)
        if record is None or _covers(record) != last:
            return None
        guard = (StateVersion(STATES, name, version), LastKey(EVENTS, name, last))
        return Superfluous(name, hidden_id_of(record.metadata) or name, first, last, 0, guard)

    async def _behind_snapshots(self, name: str, first: int, last: int) -> Superfluous | None:
        kept: list[_Found] = []
        newest = older = 0
        async with aclosing(self._newest_first(name, last)) as snapshots:
            async for found in snapshots:
                newest = newest or found.number
                if older or not self._is_kept(found, len(kept)):
                    older += 1
                elif found.record is not None:
                    kept.append(found)
        if len(kept) < self._keep or not await self._is_base(name, kept[-1].number, first, last):
            return None
        oldest = kept[-1]
        assert oldest.record is not None
        guard = (LastKey(SNAPSHOTS, name, newest),) if self._in_store else ()
        return Superfluous(name, hidden_id_of(oldest.record.metadata) or name, first, oldest.number, older, guard)

    def _is_kept(self, found: _Found, kept: int) -> bool:
        if kept < self._keep:
            return True
        record = found.record
        return self._since is not None and record is not None and record.timestamp / 1_000_000 >= self._since

    async def _is_base(self, name: str, number: int, first: int, last: int) -> bool:
        """Tell whether a log goes on from a snapshot, and report one that is ahead of its log."""
        if number > last:
            self._report(CorruptionError(name, number, f"the log ends at {last}, before the snapshot at this number"))
        if not first <= number <= last:
            return False
        return bool((await self._backend.page(EVENTS, name, number, number + 1, limit=1, max_bytes=1)).entries)

    async def _newest_first(self, name: str, last: int) -> AsyncGenerator[_Found, None]:
        at_most = MAX_KEY
        while at_most > 0:
            try:
                snapshot = await self._snapshots.newest(name, at_most)
            except CorruptionError as damaged:  # the store itself has noticed
                self._report(damaged)
                at_most = damaged.sequence_number
                yield _Found(at_most, None)
            else:
                if snapshot is None:
                    return
                at_most, data = snapshot
                yield _Found(at_most, await self._read(SNAPSHOTS, name, at_most, data, at_most))
            at_most -= 1

    async def _read(self, collection: str, name: str, number: int, data: bytes, covers: int) -> Record | None:
        """Return the record of a state; report one that cannot be read and return None."""
        await self._vault.look_up((data,))
        try:
            data = self._vault.opened(collection, name, number, data)
            record, _ = decode(data)
            if collection == SNAPSHOTS and _covers(record) != covers:
                raise RecordError(f"it says that it covers {_covers(record)}")
            if (codec := self._states.get(_identity(record, name).partition("/")[0])) is not None:
                codec.decode(data)
            return record
        except SubjectForgotten:
            raise
        except CorruptionError as error:
            self._report(error)
        except RecordError as error:
            self._report(CorruptionError(name, number, f"the state that was saved here cannot be read: {error}"))
        return None


def _covers(record: Record) -> object:
    return (record.metadata or {}).get("sequence_number")


def _identity(record: Record, name: str) -> str:
    return hidden_id_of(record.metadata) or name
