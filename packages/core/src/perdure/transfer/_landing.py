"""Writing into a store what a walk, or a file, yields, in the same order, and only what is not there.

Each commit expects the logs to end where they were seen to end, so nothing is ever written beside what another writer
has written. What the target has already is passed over by its number: so whoever is killed begins again, and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import ClassVar

from perdure.abc import (
    Backend,
    Conflict,
    DeleteRange,
    Entry,
    FeedRecord,
    LastKey,
    Put,
    PutState,
    StateVersion,
    Write,
    WriteGroup,
)
from perdure.errors import TargetDiffers
from perdure.journal import EVENTS
from perdure.persistence._claims import OWNERS
from perdure.snapshots import SNAPSHOTS
from perdure.transfer._damage import Damages
from perdure.transfer._heads import Heads
from perdure.transfer._parts import Part, Records, Removal, Removals, Value, Values
from perdure.transfer._together import together
from perdure.transfer._walk import LATEST

_NAME_OF = attrgetter("prefix")


class Landed(Damages, kw_only=True):
    """What was written into a store, as far as it has come."""

    stage: str = "events"
    """What is being worked on: "events", "actors" (what is beside their events), "durable", "archive", "keys",
    "compare"."""
    events: int = 0
    """Events that were written."""
    states: int = 0
    """Whatever else was written: snapshots, states of all kinds, archived events, keys."""
    bytes: int = 0
    """Bytes of all that was written."""
    present: int = 0
    """Records that were there already."""
    compared: int = 0
    """Records of the target that were found to be those of the source."""


class Landing:
    """The writing side of a transfer."""

    _PUTS: ClassVar[int] = 256
    _GROUPS: ClassVar[int] = 256

    def __init__(self, target: Backend, result: Landed, *, compares: bool = False, dry_run: bool = False) -> None:
        """Write into `target`, and count in `result`. With `compares`, look at the bytes of what is there already."""
        self._target = target
        self._result = result
        self._compares = compares
        self._dry_run = dry_run
        self._heads: dict[str, Heads] = {}

    async def take(self, part: Part) -> None:
        """Store a part durably. Raises `TargetDiffers` when that would change what is there; `StoreError`."""
        match part:
            case Records(collection, records) if collection == EVENTS:
                await self._append(records)
            case Records(collection, records) if collection in LATEST:
                await self._replace_latest(collection, records)
            case Records(collection, records):
                await self._keep(collection, records)
            case Values(values):
                await self._put_values(values)
            case Removals(removals):
                await self._commit_all([_removal(removal) for removal in removals])

    async def _append(self, records: list[FeedRecord], *, again: bool = False) -> None:
        """Add events to their logs, in groups of one log each."""
        heads = await self._heads_of(EVENTS)
        if not again:
            await heads.meet(map(_NAME_OF, records))
        run = _Run(records, heads)
        self._result.present += len(run.there)
        if self._compares and run.there:
            await self._compare(EVENTS, run.there)
        refused = await self._commit(run.groups, run.size)
        self._result.events += run.puts
        if refused:
            if again or not heads.guesses:
                raise _written_by_others(refused[0])
            missed = run.records_of({conflict.expectation.prefix for conflict in refused})
            self._result.events -= len(missed)
            self._result.bytes -= sum(len(record.value) for record in missed)
            await heads.look_up({record.prefix for record in missed})
            await self._append(missed, again=True)

    async def _replace_latest(self, collection: str, records: list[FeedRecord]) -> None:
        """Put revisions in the place of older ones."""
        heads = await self._heads_of(collection)
        await heads.meet(map(_NAME_OF, records))
        if heads.guesses:
            await heads.look_up({record.prefix for record in records})
        groups: list[WriteGroup] = []
        for name, key, value in records:
            head = heads.before(name, key)
            if key <= head:
                self._result.present += 1
                if key == head and self._compares:
                    await self._compare(collection, [FeedRecord(name, key, value)])
                continue
            writes = (DeleteRange(collection, name, 1, key), Put(collection, name, key, value))
            groups.append(WriteGroup(writes[not head :], (LastKey(collection, name, head),)))
            heads.known[name] = key
        await self._commit_all(groups)
        self._result.states += len(groups)

    async def _keep(self, collection: str, records: list[FeedRecord]) -> None:
        """Store what is not there under its number."""
        is_new = (await self._heads_of(collection)).began_empty
        groups: list[WriteGroup] = []
        for name, run in groupby(records, _NAME_OF):
            entries = list(run)
            there = {} if is_new else dict(await self._there(collection, name, entries))
            new = [entry for entry in entries if there.get(entry.key) != entry.value]
            self._result.present += len(entries) - len(new)
            for _, key, _ in new:
                if key in there and collection != SNAPSHOTS:  # a snapshot may be saved again, and anew
                    raise TargetDiffers(collection, name, key, "it holds another record here")
            if new:
                groups.append(WriteGroup(tuple(Put(collection, name, key, value) for _, key, value in new)))
            self._result.states += len(new)
        await self._commit_all(groups)

    async def _put_values(self, values: list[Value]) -> None:
        found = await together(self._target.read_state(value.state, value.prefix) for value in values)
        groups: list[WriteGroup] = []
        for value, (version, stored) in zip(values, found, strict=True):
            missing = _puts(value, version, stored)
            self._result.present += not missing
            self._result.states += missing > 0
            while missing > 0:
                some = min(missing, self._PUTS)
                puts = (PutState(value.state, value.prefix, value.value),) * some
                groups.append(WriteGroup(puts, (StateVersion(value.state, value.prefix, version),)))
                version, missing = version + some, missing - some
                if len(groups) >= self._GROUPS:
                    await self._commit_all(groups)
                    groups = []
        await self._commit_all(groups)

    async def _heads_of(self, collection: str) -> Heads:
        if collection not in self._heads:
            began_empty = not await self._target.prefixes(collection, limit=1)
            self._heads[collection] = Heads(self._target, collection, began_empty=began_empty)
        return self._heads[collection]

    async def _compare(self, collection: str, records: list[FeedRecord]) -> None:
        """Raise `TargetDiffers` unless the target holds these records. What it has compacted cannot be told."""
        runs = [(name, list(run)) for name, run in groupby(sorted(records), _NAME_OF)]
        found = await together(self._there(collection, name, run) for name, run in runs)
        for (name, run), entries in zip(runs, found, strict=True):
            there = dict(entries)
            for _, key, value in run:
                if there.get(key, value) != value:
                    raise TargetDiffers(collection, name, key, "it holds another record here")

    async def _there(self, collection: str, name: str, records: Sequence[FeedRecord]) -> list[Entry]:
        """Return what the target has in the place of these records, which ascend."""
        found: list[Entry] = []
        start, stop, more = records[0].key, records[-1].key + 1, True
        while more:
            entries, more = await self._target.page(
                collection, name, start, stop, limit=len(records), max_bytes=4 * 1024 * 1024
            )
            found += entries
            start = found[-1].key + 1 if found else stop
        return found

    async def _commit_all(self, groups: list[WriteGroup]) -> None:
        """Commit groups of which none is to be refused."""
        size = sum(_size(write) for group in groups for write in group.writes)
        for conflict in await self._commit(groups, size):
            raise _written_by_others(conflict)

    async def _commit(self, groups: list[WriteGroup], size: int) -> list[Conflict]:
        """Commit groups with so many bytes, and return the conflicts of those that were refused."""
        self._result.bytes += size
        if self._dry_run or not groups:
            return []
        return [conflict for conflict in await self._target.commit(groups) if conflict is not None]


class _Run:
    """Events sorted out: what the target has, and the rest in groups, of those that follow each other in one log."""

    def __init__(self, records: list[FeedRecord], heads: Heads) -> None:
        """Sort out `records`, and have `heads` end where the groups do."""
        self.there: list[FeedRecord] = []
        self.size = 0
        runs: list[tuple[str, int, list[Put]]] = []
        writes: list[Put] = []
        last, known = "", heads.known
        for record in records:
            name, key, value = record
            head = known[name] if name in known else heads.before(name, key)
            if key <= head:
                self.there.append(record)
                continue
            if name != last:
                last, writes = name, []
                runs.append((name, head, writes))
            writes.append(Put(EVENTS, name, key, value))
            known[name] = key
            self.size += len(value)
        self.puts = len(records) - len(self.there)
        self.groups = [WriteGroup(tuple(writes), (LastKey(EVENTS, name, head),)) for name, head, writes in runs]

    def records_of(self, names: set[str]) -> list[FeedRecord]:
        """Return what is in groups of these logs."""
        writes = [write for group in self.groups for write in group.writes if write.prefix in names]
        return [FeedRecord(put.prefix, put.key, put.value) for put in writes if isinstance(put, Put)]


def _written_by_others(conflict: Conflict) -> TargetDiffers:
    place = conflict.expectation
    what = place.collection if isinstance(place, LastKey) else place.state
    return TargetDiffers(what, place.prefix, conflict.actual, "somebody writes to it")


def _puts(value: Value, version: int, stored: bytes | None) -> int:
    """Return how often a state is to be put, given what is there.

    An owner's epoch is the version of its state, so that is put as often as it was claimed; see decision 31.
    """
    if value.state == OWNERS:
        return max(value.version - version, 0)
    return int(stored != value.value)


def _removal(removal: Removal) -> WriteGroup:
    return WriteGroup((DeleteRange(removal.collection, removal.prefix, 1, removal.below),))


def _size(write: Write) -> int:
    return len(write.value) if isinstance(write, (Put, PutState)) else 0
