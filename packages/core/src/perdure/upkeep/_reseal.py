"""Sealing with the active key all that was sealed with others, or not at all.

A sweep goes through the store in a fixed order, and remembers in it how far it has come: so it can be killed at any
moment, and goes on with the next call. It writes with `Replace`, which changes a record where it stands: never one that
was removed meanwhile, and nothing in the order of the feeds. A record is the same before and after to all who read it,
so writers, readers and other sweeps may be at work at the same time.

Once every process seals with the active key, nothing new is sealed with another, and what there was a sweep has passed.
Archiving alone copies bytes as they are: a writer may have read events before the sweep came to them, and add them to
the archive behind it. So the archive comes last, and is looked through until there is nothing left to do. What a writer
still holds in its hands then, and adds later, is for `verify` with the new key alone to find.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, NamedTuple

import msgspec

from perdure.abc import (
    MAX_KEY,
    Backend,
    Entry,
    Expectation,
    PurgeState,
    PutState,
    Replace,
    StateVersion,
    Write,
    WriteGroup,
)
from perdure.actors import Clock, SystemClock
from perdure.actors._clock import Pause
from perdure.errors import CorruptionError, SealedStore, SealError, SubjectForgotten
from perdure.journal import EVENTS, RecordError, hidden_id_of, pages
from perdure.journal._record import decode
from perdure.persistence import DurableStateActor, PersistentActor
from perdure.persistence._changes import DURABLE
from perdure.persistence._custody import custody_of, own_sealing
from perdure.persistence._entity import STATES
from perdure.security import Keyring, Seal, Sealing, Vault, is_sealed, is_sealed_whole, sealing_of
from perdure.security import _own as own
from perdure.snapshots import ARCHIVE, SNAPSHOTS, Archive, SnapshotStore
from perdure.upkeep._names import stored_names
from perdure.upkeep._opened import elsewhere, opened

_STATE, _PREFIX = "sealing", "sweep"
_LINKED = (EVENTS, DURABLE)
"""The kinds of records of which a chain or an anchor knows the links."""

ActorType = type[PersistentActor[Any, Any]] | type[DurableStateActor[Any]]


class Resealing(msgspec.Struct, kw_only=True):
    """How far a sweep has come."""

    stage: str = "keys"
    """What is looked through: first the "keys", then "events", "snapshots", "durable", "states", "snapshots elsewhere",
    and, until a pass finds nothing, "archive" and "archive elsewhere"."""
    name: str = ""
    """The stored name of the log that was last looked through."""
    records: int = 0
    """Records that were looked at in this call."""
    resealed: int = 0
    """Records that were sealed anew in this call."""
    forgotten: int = 0
    """Records of forgotten subjects, which nobody can seal again."""
    skipped: int = 0
    """Records that cannot be opened, or are damaged, and were left as they are."""


class _Stage(NamedTuple):
    """Something to be looked through, for each stored name of a collection."""

    name: str
    collection: str
    sweep: Callable[[str], Awaitable[None]]
    repeats: bool = False
    """True if others may put there what was passed already, so that it ends with a pass that finds nothing."""


class _Position(msgspec.Struct, frozen=True, array_like=True):
    target: bytes
    stage: str
    name: str


async def reseal(
    store: str | Backend,
    sealing: Sealing | Keyring,
    *,
    actor_types: Iterable[ActorType] = (),
    snapshots: str | SnapshotStore | None = None,
    archive: str | Archive | None = None,
    dry_run: bool = False,
    skip_damaged: bool = False,
    found: Callable[[CorruptionError], object] | None = None,
    records_per_second: float | None = None,
    progress: Callable[[Resealing], object] | None = None,
    clock: Clock | None = None,
) -> Resealing:
    """Seal with the active key and suite whatever in a store is not; when this returns, that is durable.

    Name the `actor_types` that have a sealing of their own, or subjects: what of a subject was stored before it had a
    key is sealed with that now. `snapshots` and `archive` are those of the system, where they are elsewhere. Each
    process that writes has to have the active key first: call `Keyring.reload` and wait. Before an old key is
    destroyed, `verify` with a keyring that does not have it: a writer that was archiving may have added old records
    behind the sweep, and another one finds them.

    With `dry_run` nothing is written: all is looked through once, and counted that would be sealed anew, but for the
    keys that the store has. At most `records_per_second` are looked at. `progress` is told after each log. When it is
    cancelled or killed, the next call goes on; what was sealed with the new key stays so. A second call seals nothing.

    Raises `SealError` or `CorruptionError` naming a record that cannot be opened or, plain, is damaged, and leaves it:
    with `skip_damaged` it is told to `found`, and all others are sealed;
    `SealedStore` for the dry run of a store that was never sealed; `StoreError`.
    """
    async with opened(store) as backend, elsewhere(snapshots, archive) as (shelf, past):
        given = sealing_of(sealing)
        assert given is not None
        if dry_run and not await is_sealed_whole(backend):
            raise SealedStore("nothing in it is sealed yet, so all of it would be: a dry run has nothing to tell")
        vault = Vault(backend, given)
        await vault.open()
        pace = _Pace(clock or SystemClock(), records_per_second)
        sweep = _Sweep(backend, vault, given, actor_types, pace, progress, dry_run=dry_run)
        if skip_damaged:
            sweep.skip = found or (lambda _: None)
        await sweep.run(shelf, past)
        return sweep.result


class _Pace:
    """Keeps a sweep from looking at more records than it may."""

    def __init__(self, clock: Clock, records_per_second: float | None) -> None:
        if records_per_second is not None and not records_per_second > 0:
            raise ValueError(f"records_per_second is more than 0, not {records_per_second}")
        self._clock = clock
        self._rate = records_per_second
        self._began = clock.monotonic()

    async def keep(self, records: int) -> None:
        """Wait until so many records may have been looked at."""
        await asyncio.sleep(0)
        if self._rate is not None and (wait := self._began + records / self._rate - self._clock.monotonic()) > 0:
            await Pause(self._clock, wait)


class _Sweep:
    _SAVE_EVERY: ClassVar[int] = 1000

    def __init__(
        self,
        backend: Backend,
        vault: Vault,
        sealing: Sealing,
        actor_types: Iterable[ActorType],
        pace: _Pace,
        progress: Callable[[Resealing], object] | None,
        *,
        dry_run: bool,
    ) -> None:
        self.result = Resealing()
        self.skip: Callable[[CorruptionError], object] | None = None
        """Is told of what is passed over; None where nothing is to be."""
        self._dry_run = dry_run
        self._backend = backend
        self._vault = vault
        self._sealing = sealing
        self._types = {actor_type.type_name: actor_type for actor_type in actor_types}
        for actor_type in self._types.values():
            own_sealing(vault, actor_type)
        self._own = Seal(sealing, _STATE, _PREFIX)
        self._pace = pace
        self._progress = progress
        self._saved_at = 0

    async def run(self, snapshots: SnapshotStore | None, archive: Archive | None) -> None:
        begin = None if self._dry_run else await self._position()
        if not self._dry_run:
            self.result.resealed += await self._vault.renew()
        stages = self._stages(snapshots, archive)
        names = [stage.name for stage in stages]
        skip = names.index(begin.stage) if begin is not None and begin.stage in names else 0
        for index, stage in enumerate(stages[skip:]):
            await self._stage(stage, begin.name if begin is not None and index == 0 else "")
        await self._write([PurgeState(_STATE, _PREFIX)])

    def _stages(self, snapshots: SnapshotStore | None, archive: Archive | None) -> list[_Stage]:
        """Return what there is to be looked through, in order."""
        stages = [
            _Stage("events", EVENTS, lambda name: self._collection(EVENTS, EVENTS, name)),
            _Stage("snapshots", SNAPSHOTS, lambda name: self._collection(SNAPSHOTS, SNAPSHOTS, name)),
            _Stage("durable", DURABLE, lambda name: self._collection(DURABLE, DURABLE, name)),
            _Stage("states", EVENTS, self._state),
        ]
        if snapshots is not None:
            stages.append(_Stage("snapshots elsewhere", EVENTS, lambda name: self._snapshots(snapshots, name)))
        stages.append(_Stage("archive", ARCHIVE, lambda name: self._collection(ARCHIVE, EVENTS, name), repeats=True))
        if archive is not None:
            stages.append(_Stage("archive elsewhere", EVENTS, lambda name: self._archive(archive, name), repeats=True))
        return stages

    async def _stage(self, stage: _Stage, after: str) -> None:
        self.result.stage = stage.name
        before = self.result.resealed
        await self._pass(stage, after)
        while stage.repeats and not self._dry_run and (after or self.result.resealed > before):
            before, after = self.result.resealed, ""
            await self._pass(stage, after)

    async def _pass(self, stage: _Stage, after: str) -> None:
        async with aclosing(stored_names(self._backend, stage.collection, after)) as names:
            async for name in names:
                await stage.sweep(name)
                await self._done(name)

    async def _done(self, name: str) -> None:
        """Note that a log was looked through."""
        self.result.name = name
        if self._progress is not None:
            self._progress(self.result)
        if self.result.records - self._saved_at >= self._SAVE_EVERY:
            self._saved_at = self.result.records
            position = _Position(self._target(), self.result.stage, name)
            await self._write([PutState(_STATE, _PREFIX, own.sealed(self._own, 0, position))])

    async def _position(self) -> _Position | None:
        """Return where an earlier sweep to the same key has stopped, None where there was none."""
        _, stored = await self._backend.read_state(_STATE, _PREFIX)
        try:
            position = None if stored is None else own.opened(self._own, _PREFIX, 0, stored, _Position)
        except SealError:  # nobody is to have a sweep pass over what it did not see
            return None
        return position if position is not None and position.target == self._target() else None

    def _target(self) -> bytes:
        return self._sealing.active.start

    async def _collection(self, collection: str, kind: str, name: str) -> None:
        async with aclosing(pages(self._backend, collection, name, 1, MAX_KEY + 1)) as read:
            async for entries in read:
                renewed = await self._renewed(kind, name, entries)
                writes = [Replace(collection, name, *entry) for entry in renewed]
                await self._write(writes)
                await self._pace.keep(self.result.records)

    async def _state(self, name: str) -> None:
        version, record = await self._backend.read_state(STATES, name)
        if record is None:
            return
        for _, renewed in await self._renewed(STATES, name, [Entry(0, record)]):
            # Where it has changed meanwhile, it was sealed with the active key.
            await self._write([PutState(STATES, name, renewed)], StateVersion(STATES, name, version))
        await self._pace.keep(self.result.records)

    async def _snapshots(self, store: SnapshotStore, name: str) -> None:
        at_most = MAX_KEY
        while at_most > 0:
            try:
                snapshot = await store.newest(name, at_most)
            except CorruptionError as damaged:
                self._pass_over(damaged)
                at_most = damaged.sequence_number - 1
                continue
            if snapshot is None:
                return
            for number, record in await self._renewed(SNAPSHOTS, name, [Entry(*snapshot)]):
                if not self._dry_run:
                    await store.save(name, number, record)
            at_most = snapshot.sequence_number - 1
            await self._pace.keep(self.result.records)

    async def _archive(self, archive: Archive, name: str) -> None:
        async with aclosing(archive.pages(name)) as read:
            async for entries in read:
                renewed = dict(await self._renewed(EVENTS, name, entries))
                if renewed and not self._dry_run:
                    await archive.add(name, [Entry(key, renewed.get(key, record)) for key, record in entries])
                await self._pace.keep(self.result.records)

    async def _renewed(self, kind: str, name: str, entries: Sequence[Entry]) -> list[Entry]:
        """Return those records that were not sealed with what is active, sealed anew."""
        if not entries:
            return []
        self.result.records += len(entries)
        await self._vault.look_up(entry.value for entry in entries)
        renewed = []
        try:
            seal = await self._seal(kind, name, entries)
            if seal is None:
                return []
            for number, record in entries:
                again = self._sealed_again(seal, kind, name, number, record)
                if again is not None:
                    renewed.append(Entry(number, again))
        except SubjectForgotten:  # a log has one subject
            self.result.forgotten += len(entries)
            return []
        self.result.resealed += len(renewed)
        return renewed

    def _sealed_again(self, seal: Seal, kind: str, name: str, number: int, record: bytes) -> bytes | None:
        """Return a record sealed anew, None if there is no need to, or it is passed over."""
        try:
            _check(name, number, record)
            return seal.renewed(number, record, chained=kind in _LINKED and seal.is_chained)
        except CorruptionError as damaged:
            self._pass_over(damaged)
            return None

    def _pass_over(self, damaged: CorruptionError) -> None:
        """Tell of what is damaged, or raise it where nothing is to be passed over."""
        if self.skip is None:
            raise damaged
        self.result.skipped += 1
        self.skip(damaged)

    async def _seal(self, kind: str, name: str, entries: Sequence[Entry]) -> Seal | None:
        """Return the seal of a stored name, as its actor type, where that is known, or the records have it."""
        identity = self._identity(kind, name, entries) if self._vault.hides_names else name
        actor_type = self._types.get(identity.partition("/")[0])
        if actor_type is None:
            return self._vault.seal_of(kind, name, entries[0].value)
        custody = custody_of(self._vault, actor_type, kind, identity)
        if custody is None:
            return None
        await (custody.unlock() if self._dry_run else custody.prepare())
        return custody.seal

    def _identity(self, kind: str, name: str, entries: Sequence[Entry]) -> str:
        """Return the persistence id that the first record tells that can be opened."""
        for number, data in entries:
            try:
                return hidden_id_of(decode(self._vault.opened(kind, name, number, data))[0].metadata) or name
            except (CorruptionError, RecordError):
                continue  # it is met again, and told of, with all the others
        return name

    async def _write(self, writes: Sequence[Write], *expectations: Expectation) -> None:
        if writes and not self._dry_run:
            await self._backend.commit([WriteGroup(tuple(writes), expectations)])


def _check(name: str, number: int, record: bytes) -> None:
    """Raise `CorruptionError` for a plain record that is damaged: sealed, it would look whole."""
    if not is_sealed(record):
        try:
            decode(record)
        except RecordError as error:
            raise CorruptionError(name, number, str(error)) from error
