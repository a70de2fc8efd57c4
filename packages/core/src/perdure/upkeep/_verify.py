"""Looking through a whole store for what is not as it was stored.

Who has the keys opens every record. Who has none reads what stands in clear: that no event is missing in the midst of a
log, that plain records have their checksums, and epochs that never go down, and, where events are chained, that each is
the one of which the next knows. What was archived is taken for the beginning of its log.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from perdure.abc import MAX_KEY, Backend, Entry
from perdure.errors import CorruptionError, DamagedSnapshot, RolledBack, SubjectForgotten, TailCut
from perdure.journal import EVENTS, RecordError, epoch_of, pages
from perdure.journal._record import Record, decode, decode_body, decoded_plain
from perdure.persistence._changes import DURABLE
from perdure.persistence._custody import own_sealing
from perdure.persistence._entity import STATES
from perdure.persistence._recovering import Recovering
from perdure.security import Anchor, Keyring, Sealing, Vault, is_sealed, link_of
from perdure.snapshots import SNAPSHOTS, Archive, CollectionArchive, SnapshotStore
from perdure.upkeep._ahead import SCAN, Begun, begun
from perdure.upkeep._followed import Followed
from perdure.upkeep._opened import elsewhere, opened_to_read

_MOST = 1000
_BREATH, _SEALED_BREATH = 512, 256
"""Records that are looked at in one turn of the loop: some three milliseconds."""


class Verification(msgspec.Struct, kw_only=True):
    """What was looked through, and what was found."""

    logs: int = 0
    events: int = 0
    states: int = 0
    """Snapshots, durable states, and states that are stored with each event."""
    sealed: int = 0
    """Records that are sealed."""
    unopened: int = 0
    """Sealed records of which only the header was looked at, for want of keys."""
    forgotten: int = 0
    """Records of forgotten subjects, which nobody can open."""
    chained: int = 0
    """Events of which the record before is the one that they tell of."""
    problem_count: int = 0
    problems: list[CorruptionError] = msgspec.field(default_factory=list)
    """The first thousand of them."""

    @property
    def ok(self) -> bool:
        return self.problem_count == 0


async def verify(
    store: str | Backend,
    sealing: Sealing | Keyring | None = None,
    *,
    actor_types: Iterable[type[Recovering[Any, Any]]] = (),
    snapshots: str | SnapshotStore | None = None,
    archive: str | Archive | None = None,
    anchor: Anchor | None = None,
    found: Callable[[CorruptionError], object] | None = None,
    progress: Callable[[Verification], object] | None = None,
) -> Verification:
    """Return what is wrong in a store, if anything; nothing is written, and others may write meanwhile.

    Without a sealing, sealed records are not opened. Name the `actor_types` that have a sealing of their own.
    `snapshots` and `archive` are those of the system, where they are elsewhere. With an `anchor` (or that of the
    sealing) each log is held to its anchored head, and each durable state to what it was. `found` is told of each
    problem at once, `progress` of the counts, every few hundred records and in the end. Others have their turn
    as often. Memory does not grow with the store.

    Raises `StoreError` when the store cannot be read, `SealError` or `SealedStore` when the sealing is not its own.
    """
    async with opened_to_read(store, sealing) as (backend, vault), elsewhere(snapshots, archive) as (shelf, past):
        for actor_type in actor_types:
            own_sealing(vault, actor_type)
        known = anchor or (None if vault.sealing is None else vault.sealing.anchor)
        past = past or CollectionArchive(backend, _no_writes)
        verifier = _Verifier(backend, vault, shelf, past, known, found or _silent, progress or _silent)
        await verifier.run()
        return verifier.result


def _silent(_: object) -> None:
    return


async def _no_writes(_: object, size: int) -> None:
    raise AssertionError("verify writes nothing")


class _Verifier:
    def __init__(
        self,
        backend: Backend,
        vault: Vault,
        snapshots: SnapshotStore | None,
        archive: Archive,
        anchor: Anchor | None,
        found: Callable[[CorruptionError], object],
        progress: Callable[[Verification], object],
    ) -> None:
        self.result = Verification()
        self._backend = backend
        self._vault = vault
        self._seals = vault.seals
        self._breath = _SEALED_BREATH if vault.seals else _BREATH
        self.anchor = anchor
        self._snapshots = snapshots
        self._archive = archive
        self._found = found
        self._progress = progress
        self._unsaid = 0

    async def run(self) -> None:
        if self.anchor is not None:
            await self._vanished(self.anchor)
        async with aclosing(begun(self._backend, EVENTS, STATES)) as logs:
            async for first in logs:
                await self._log(first)
                if first.state is not None:
                    await self._state(first.name, first.state)
                if self._snapshots is not None:
                    await self._snapshots_elsewhere(self._snapshots, first.name)
        for collection in (SNAPSHOTS, DURABLE):
            async with aclosing(begun(self._backend, collection)) as logs:
                async for first in logs:
                    await self._states(collection, first)
        self._progress(self.result)

    async def _vanished(self, anchor: Anchor) -> None:
        """Report what an anchor knows and of which nothing is left."""
        for name, head in anchor.heads.items():
            if not await self._backend.last(EVENTS, name):
                self.report(TailCut(name, 0, head.sequence_number))
        for name, head in anchor.states.items():
            if not await self._backend.last(DURABLE, name):
                self.report(RolledBack(name, 0, head.sequence_number))

    async def _log(self, first: Begun) -> None:
        """Look through an archive and its log, as one."""
        self.result.logs += 1
        anchored = None if self.anchor is None else self.anchor.heads.get(first.name)
        log = Followed(first.name, anchored, self.report)
        if first.page.more:
            is_first = True
            async with aclosing(pages(self._backend, EVENTS, log.name, 1, MAX_KEY + 1, first.page, SCAN)) as read:
                async for entries in read:
                    await self._page(log, entries, is_first=is_first)
                    is_first = False
        else:
            await self._page(log, first.page.entries, is_first=True)
        log.end()
        self.result.chained += log.chained

    async def _page(self, log: Followed, entries: list[Entry], *, is_first: bool) -> None:
        """Look through a page of a log, and what the archive has before it."""
        number = entries[0].key if entries else MAX_KEY + 1
        if number > log.last + 1 and (entries or is_first):
            await self._pass_over(log, number, began=not is_first)
        await self._follow(log, entries)

    async def _pass_over(self, log: Followed, number: int, *, began: bool) -> None:
        """Go on to a page that begins later than the last one ended.

        A writer may have compacted since: then what is between is in the archive, or the events before are gone too.
        """
        await self._archived(log, number)
        if began and 0 < log.last < number - 1 and not await self._is_stored(log.name, log.last):
            log.begin_anew()

    async def _archived(self, log: Followed, stop: int) -> None:
        """Go on with what the archive has below a number."""
        if log.has_archive and log.last + 1 < stop:
            try:
                async with aclosing(self._archive.pages(log.name, log.last + 1, stop)) as archived:
                    async for entries in archived:
                        await self._follow(log, entries)
            except CorruptionError as damaged:
                self.report(damaged)
                log.has_archive = False
                log.begin_anew()

    async def _is_stored(self, name: str, number: int) -> bool:
        page = await self._backend.page(EVENTS, name, number, number + 1, limit=1, max_bytes=1)
        return bool(page.entries)

    async def _follow(self, log: Followed, entries: list[Entry]) -> None:
        """Look at a page of events."""
        for start in range(0, len(entries), self._breath):
            some = entries[start : start + self._breath]
            await self._look_up(some)
            plain = self._read_plain(some)
            log.follow(some, are_plain=plain is not None)
            records = plain or self._read(EVENTS, log.name, some)
            owned = [(at, record) for at, record in enumerate(records) if record is not None and record.metadata]
            for at, record in owned:
                log.check_epoch(some[at].key, epoch_of(record.metadata))
            self.result.events += len(some)
            await self._looked_at(len(some))

    async def _looked_at(self, records: int) -> None:
        """Let others run after so many records, and tell of them."""
        self._unsaid += records
        if self._unsaid >= self._breath:
            self._unsaid = 0
            self._progress(self.result)
            await asyncio.sleep(0)

    async def _look_up(self, entries: Iterable[Entry]) -> None:
        """Have the keys of subjects at hand."""
        if self._vault.sealing is not None:
            await self._vault.look_up([record for _, record in entries])

    async def _state(self, name: str, record: bytes) -> None:
        """Look at what `Light` has stored with the last event."""
        self.result.states += 1
        await self._look_up((Entry(0, record),))
        self._look_at(STATES, name, [Entry(0, record)])

    async def _states(self, collection: str, first: Begun) -> None:
        async with aclosing(pages(self._backend, collection, first.name, 1, MAX_KEY + 1, first.page, SCAN)) as read:
            async for entries in read:
                await self._look_up(entries)
                self._look_at(collection, first.name, entries)
                if collection == DURABLE and entries:
                    self._check_state(first.name, *entries[-1])
                self.result.states += len(entries)
                await self._looked_at(len(entries))

    def _check_state(self, name: str, revision: int, record: bytes) -> None:
        """Hold a durable state to what the anchor knows of it."""
        try:
            if self.anchor is not None:
                self.anchor.check_state(name, revision, record)
        except CorruptionError as error:
            self.report(error)

    async def _snapshots_elsewhere(self, shelf: SnapshotStore, name: str) -> None:
        at_most = MAX_KEY
        while at_most > 0:
            try:
                snapshot = await shelf.newest(name, at_most)
            except DamagedSnapshot as damaged:
                self.report(damaged)
                at_most = damaged.sequence_number - 1
                continue
            if snapshot is None:
                return
            self.result.states += 1
            await self._look_up((Entry(*snapshot),))
            self._look_at(SNAPSHOTS, name, [Entry(*snapshot)])
            at_most = snapshot.sequence_number - 1

    def _read_plain(self, entries: Sequence[Entry]) -> list[Record] | None:
        """Return records of a store that is not sealed, None if anything is to be said of any of them."""
        return None if self._seals else decoded_plain(entries)

    def _look_at(self, collection: str, name: str, entries: Sequence[Entry]) -> None:
        """Look at records of which no more is asked."""
        if self._read_plain(entries) is None:
            self._read(collection, name, entries)

    def _read(self, collection: str, name: str, entries: Sequence[Entry]) -> list[Record | None]:
        """Look at records; return those that can be read, None for the others."""
        starts = Counter([data[:2] for _, data in entries])
        self.result.sealed += sum(count for start, count in starts.items() if is_sealed(start))
        return [self._open(collection, name, number, data) for number, data in entries]

    def _open(self, collection: str, name: str, number: int, data: bytes) -> Record | None:
        """Look at one record; return it if it can be read."""
        try:
            seal = self._vault.seal_of(collection, name, data) if self._seals else None
            if seal is not None:
                body = seal.body(number, data)
                return decode(seal.open(number, data))[0] if body is None else decode_body(body)
            if not is_sealed(data):
                return decode(data)[0]
            link_of(collection, name, number, data)  # which takes a header that can be read
            self.result.unopened += 1
        except SubjectForgotten:
            self.result.forgotten += 1
        except CorruptionError as error:
            self.report(error)
        except RecordError as error:
            self.report(CorruptionError(name, number, str(error)))
        return None

    def report(self, error: CorruptionError) -> None:
        self.result.problem_count += 1
        if len(self.result.problems) < _MOST:
            self.result.problems.append(error.with_traceback(None))
        self._found(error)
