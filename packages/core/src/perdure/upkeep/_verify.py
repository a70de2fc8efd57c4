"""Looking through a whole store for what is not as it was stored.

Who has the keys opens every record. Who has none reads what stands in clear: that no event is missing in the midst of a
log, that plain records have their checksums, and epochs that never go down, and, where events are chained, that each is
the one of which the next knows. What was archived is taken for the beginning of its log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any

import msgspec

from perdure.abc import MAX_KEY, Backend, Entry
from perdure.errors import (
    ChainBroken,
    CorruptionError,
    DamagedSnapshot,
    RolledBack,
    SubjectForgotten,
    TailCut,
)
from perdure.journal import EVENTS, RecordError, epoch_of, pages
from perdure.journal._record import Record, decode
from perdure.persistence._changes import DURABLE
from perdure.persistence._custody import own_sealing
from perdure.persistence._entity import STATES
from perdure.persistence._recovering import Recovering
from perdure.security import (
    ORIGIN,
    Anchor,
    Keyring,
    Sealing,
    Vault,
    is_sealed,
    link_of,
    previous_of,
    sealing_of,
)
from perdure.snapshots import SNAPSHOTS, Archive, CollectionArchive, SnapshotStore
from perdure.upkeep._names import stored_names
from perdure.upkeep._opened import elsewhere, opened

_MOST = 1000


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
    problem at once, `progress` of the counts, after each page. Memory does not grow with the store.

    Raises `StoreError` when the store cannot be read, `SealError` or `SealedStore` when the sealing is not its own.
    """
    async with opened(store) as backend, elsewhere(snapshots, archive) as (shelf, past):
        given = sealing_of(sealing)
        vault = Vault(backend, given)
        if given is not None:
            await vault.open()
        for actor_type in actor_types:
            own_sealing(vault, actor_type)
        known = anchor or (None if given is None else given.anchor)
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
        self.anchor = anchor
        self._snapshots = snapshots
        self._archive = archive
        self._found = found
        self._progress = progress

    async def run(self) -> None:
        if self.anchor is not None:
            await self._vanished(self.anchor)
        async with aclosing(stored_names(self._backend, EVENTS)) as names:
            async for name in names:
                await self._log(name)
                await self._state(name)
                await self._snapshots_elsewhere(name)
        for collection in (SNAPSHOTS, DURABLE):
            async with aclosing(stored_names(self._backend, collection)) as names:
                async for name in names:
                    await self._states(collection, name)

    async def _vanished(self, anchor: Anchor) -> None:
        """Report what an anchor knows and of which nothing is left."""
        for name, head in anchor.heads.items():
            if not await self._backend.last(EVENTS, name):
                self.report(TailCut(name, 0, head.sequence_number))
        for name, head in anchor.states.items():
            if not await self._backend.last(DURABLE, name):
                self.report(RolledBack(name, 0, head.sequence_number))

    async def _log(self, name: str) -> None:
        """Look through an archive and its log, as one."""
        self.result.logs += 1
        log = _Log(name, self)
        await self._archived(log, MAX_KEY + 1)
        is_first = True
        async with aclosing(pages(self._backend, EVENTS, name, log.last + 1, MAX_KEY + 1)) as read:
            async for entries in read:
                if entries and entries[0].key > log.last + 1:
                    await self._pass_over(log, entries[0].key, began=not is_first)
                await self._follow(log, entries)
                is_first = False
        log.end()

    async def _archived(self, log: _Log, stop: int) -> None:
        """Go on with what the archive has below a number. What of it is in the log still is not looked at again."""
        if log.has_archive:
            try:
                async with aclosing(self._archive.pages(log.name, log.last + 1, stop)) as archived:
                    async for entries in archived:
                        await self._follow(log, entries)
            except CorruptionError as damaged:
                self.report(damaged)
                log.has_archive = False
                log.begin_anew()

    async def _pass_over(self, log: _Log, number: int, *, began: bool) -> None:
        """Go on to a page that begins later than the last one ended.

        A writer may have compacted since: then what is between is in the archive, or the events before are gone too.
        """
        await self._archived(log, number)
        if began and 0 < log.last < number - 1 and not await self._is_stored(log.name, log.last):
            log.begin_anew()

    async def _is_stored(self, name: str, number: int) -> bool:
        page = await self._backend.page(EVENTS, name, number, number + 1, limit=1, max_bytes=1)
        return bool(page.entries)

    async def _follow(self, log: _Log, entries: list[Entry]) -> None:
        """Look at a page of events."""
        await self._vault.look_up(entry.value for entry in entries)
        for entry in entries:
            self.result.events += 1
            log.follow(*entry)
            if (record := self._open(EVENTS, log.name, *entry)) is not None:
                log.check_epoch(entry.key, epoch_of(record.metadata))
        self._progress(self.result)

    async def _state(self, name: str) -> None:
        _, record = await self._backend.read_state(STATES, name)
        if record is not None:
            self.result.states += 1
            await self._vault.look_up((record,))
            self._open(STATES, name, 0, record)

    async def _states(self, collection: str, name: str) -> None:
        async with aclosing(pages(self._backend, collection, name, 1, MAX_KEY + 1)) as read:
            async for entries in read:
                await self._vault.look_up(entry.value for entry in entries)
                for entry in entries:
                    self.result.states += 1
                    self._open(collection, name, *entry)
                if collection == DURABLE and entries:
                    self._check_state(name, *entries[-1])
                self._progress(self.result)

    def _check_state(self, name: str, revision: int, record: bytes) -> None:
        """Hold a durable state to what the anchor knows of it."""
        try:
            if self.anchor is not None:
                self.anchor.check_state(name, revision, record)
        except CorruptionError as error:
            self.report(error)

    async def _snapshots_elsewhere(self, name: str) -> None:
        at_most = MAX_KEY
        while self._snapshots is not None and at_most > 0:
            try:
                snapshot = await self._snapshots.newest(name, at_most)
            except DamagedSnapshot as damaged:
                self.report(damaged)
                at_most = damaged.sequence_number - 1
                continue
            if snapshot is None:
                return
            self.result.states += 1
            await self._vault.look_up((snapshot.record,))
            self._open(SNAPSHOTS, name, *snapshot)
            at_most = snapshot.sequence_number - 1

    def _open(self, collection: str, name: str, number: int, record: bytes) -> Record | None:
        """Look at one record; return it if it can be read."""
        seal = self._vault.seal_of(collection, name, record)
        if is_sealed(record):
            self.result.sealed += 1
            if seal is None:
                self.result.unopened += 1
                return None
        try:
            return decode(record if seal is None else seal.open(number, record))[0]
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


class _Log:
    """What is known of a log while it is read."""

    def __init__(self, name: str, verifier: _Verifier) -> None:
        self.name = name
        self.last = 0
        """The number of the last event, 0 where the next one may have any."""
        self.has_archive = True
        """False once the archive of this log was found to be damaged."""
        self._verifier = verifier
        self._anchored = None if verifier.anchor is None else verifier.anchor.heads.get(name)
        self._link: bytes | None = None
        self._is_chained = False
        self._epoch = 0

    def follow(self, number: int, record: bytes) -> None:
        """Go on with the next record."""
        if self.last and number != self.last + 1:
            self._report(CorruptionError(self.name, self.last + 1, f"the event is missing; the next one is {number}"))
            self._link = None
        self.last = number
        try:
            self._check_chain(number, record)
        except CorruptionError as error:
            self._link = None
            self._report(error)

    def begin_anew(self) -> None:
        """Take the next record as the first of what is there, for those before are gone, or cannot be read."""
        self.last = 0
        self._link = None

    def check_epoch(self, number: int, epoch: int) -> None:
        """Hold an event to the owners of those before it. One without an epoch was stored by who claims nothing."""
        if 0 < epoch < self._epoch:
            reason = f"its epoch is {epoch}, after events of epoch {self._epoch}: its writer had been superseded"
            self._report(CorruptionError(self.name, number, reason))
        self._epoch = max(epoch, self._epoch)

    def end(self) -> None:
        """Hold the log to its anchor, now that it was read."""
        if self._anchored is not None and self.last < self._anchored.sequence_number:
            self._report(TailCut(self.name, self.last, self._anchored.sequence_number))

    def _check_chain(self, number: int, record: bytes) -> None:
        previous = previous_of(self.name, number, record)
        link = link_of(EVENTS, self.name, number, record)
        before, self._link = self._link if number > 1 else ORIGIN, link
        if previous is None:
            if self._is_chained:
                raise ChainBroken(self.name, number, "the chain ends: this record is in none, and those before are")
        elif before is not None and previous != before:
            self._is_chained = True
            raise ChainBroken(self.name, number, "the record before is not the one that this one was chained to")
        else:
            self._is_chained = True
            self._verifier.result.chained += 1
        if self._anchored is not None and self._anchored.sequence_number == number and self._anchored.link != link:
            raise ChainBroken(self.name, number, "an anchor knows another record here, or another past of it")

    def _report(self, error: CorruptionError) -> None:
        self._verifier.report(error)
