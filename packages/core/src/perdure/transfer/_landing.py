"""Writing into a store what a walk, or a file, yields, in the same order, and only what is not there.

Each commit expects the logs to end where they were seen to end, so nothing is ever written beside what another writer
has written. What the target has already is passed over by its number: so whoever is killed begins again, and goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import ClassVar

from perdure.abc import (
    Backend,
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
from perdure.transfer._parts import Part, Records, Removal, Removals, Value, Values
from perdure.transfer._together import together
from perdure.transfer._walk import LATEST


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

    _HEADS: ClassVar[int] = 65_536
    _PUTS: ClassVar[int] = 256
    _GROUPS: ClassVar[int] = 256

    def __init__(self, target: Backend, result: Landed, *, compares: bool = False, dry_run: bool = False) -> None:
        """Write into `target`, and count in `result`. With `compares`, look at the bytes of what is there already."""
        self._target = target
        self._result = result
        self._compares = compares
        self._dry_run = dry_run
        self._began_empty: dict[str, bool] = {}
        self._heads: OrderedDict[tuple[str, str], int] = OrderedDict()

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
                await self._commit([_removal(removal) for removal in removals])

    async def _append(self, records: list[FeedRecord]) -> None:
        """Add events to their logs."""
        heads = await self._heads_of(EVENTS, records)
        groups: list[WriteGroup] = []
        there: list[FeedRecord] = []
        for name, run in groupby(records, attrgetter("prefix")):
            head = heads[name]
            events = list(run)
            new = events if events[0].key > head else [event for event in events if event.key > head]
            if len(new) < len(events):
                there += events[: len(events) - len(new)]
            if new:
                puts = tuple(Put(EVENTS, name, event.key, event.value) for event in new)
                groups.append(WriteGroup(puts, (LastKey(EVENTS, name, head),)))
                heads[name] = new[-1].key
        self._result.present += len(there)
        if self._compares and there:
            await self._compare(EVENTS, there)
        await self._commit(groups)
        self._result.events += len(records) - len(there)
        self._note(EVENTS, heads)

    async def _replace_latest(self, collection: str, records: list[FeedRecord]) -> None:
        """Put revisions in the place of older ones."""
        heads = await self._heads_of(collection, records)
        groups: list[WriteGroup] = []
        for name, key, value in records:
            head = heads[name]
            if key <= head:
                self._result.present += 1
                if key == head and self._compares:
                    await self._compare(collection, [FeedRecord(name, key, value)])
                continue
            writes = (DeleteRange(collection, name, 1, key), Put(collection, name, key, value))
            groups.append(WriteGroup(writes[not head :], (LastKey(collection, name, head),)))
            heads[name] = key
        await self._commit(groups)
        self._result.states += len(groups)
        self._note(collection, heads)

    async def _keep(self, collection: str, records: list[FeedRecord]) -> None:
        """Store what is not there under its number."""
        groups: list[WriteGroup] = []
        for name, run in groupby(records, attrgetter("prefix")):
            entries = list(run)
            there = {} if await self._is_new(collection) else dict(await self._there(collection, name, entries))
            new = [entry for entry in entries if there.get(entry.key) != entry.value]
            self._result.present += len(entries) - len(new)
            for _, key, _ in new:
                if key in there and collection != SNAPSHOTS:  # a snapshot may be saved again, and anew
                    raise TargetDiffers(collection, name, key, "it holds another record here")
            if new:
                groups.append(WriteGroup(tuple(Put(collection, name, key, value) for _, key, value in new)))
            self._result.states += len(new)
        await self._commit(groups)

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
                    await self._commit(groups)
                    groups = []
        await self._commit(groups)

    async def _heads_of(self, collection: str, records: list[FeedRecord]) -> dict[str, int]:
        """Return where the logs of these records end in the target."""
        names = list(dict.fromkeys(record.prefix for record in records))
        unknown = [name for name in names if (collection, name) not in self._heads]
        if unknown and not await self._is_new(collection):
            lasts = await together(self._target.last(collection, name) for name in unknown)
            self._note(collection, dict(zip(unknown, lasts, strict=True)))
        return {name: self._heads.get((collection, name), 0) for name in names}

    async def _is_new(self, collection: str) -> bool:
        """Tell whether all that the target has of a collection is known, for it had nothing when this began."""
        if collection not in self._began_empty:
            self._began_empty[collection] = not await self._target.prefixes(collection, limit=1)
        return self._began_empty[collection]

    def _note(self, collection: str, heads: dict[str, int]) -> None:
        """Remember where logs end, of those that were met last."""
        for name, head in heads.items():
            self._heads[collection, name] = head
            self._heads.move_to_end((collection, name))
        while len(self._heads) > self._HEADS:
            self._heads.popitem(last=False)
            self._began_empty = dict.fromkeys(self._began_empty, False)

    async def _compare(self, collection: str, records: list[FeedRecord]) -> None:
        """Raise `TargetDiffers` unless the target holds these records. What it has compacted cannot be told."""
        runs = [(name, list(run)) for name, run in groupby(sorted(records), attrgetter("prefix"))]
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

    async def _commit(self, groups: list[WriteGroup]) -> None:
        if not groups:
            return
        if not self._dry_run:
            for conflict in await self._target.commit(groups):
                if conflict is not None:
                    place = conflict.expectation
                    what = place.collection if isinstance(place, LastKey) else place.state
                    raise TargetDiffers(what, place.prefix, conflict.actual, "somebody writes to it")
        self._result.bytes += sum(_size(write) for group in groups for write in group.writes)


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
