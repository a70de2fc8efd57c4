"""The states of actors at any of their events.

A state is the fold of what came before, so a step on a long log would take as long as a recovery. Therefore what is
folded once leaves *checkpoints*: at every so many events the state, encoded, for `apply` may change it in place. A step
folds from the nearest of them, or from a snapshot, if that is nearer. When an actor's checkpoints take too many bytes,
every second one goes, and from then on they are kept half as often. Only the few actors that were looked at last have
any.

Nothing is locked: two who look at one actor at the same time fold the same events, and keep the same checkpoints.
"""

from __future__ import annotations

import asyncio
import copy
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from perdure.abc import Entry
from perdure.errors import CorruptionError, EventTypeError, PerdureError
from perdure.inspector._documents import Document, document
from perdure.inspector._records import Records
from perdure.journal import EVENTS, RecordError
from perdure.persistence import PersistentActor
from perdure.persistence._definition import Definition
from perdure.persistence._entity import STATES
from perdure.persistence._recovery import fold
from perdure.snapshots import SNAPSHOTS, CollectionSnapshots, SnapshotStore

_EVERY = 500
_EVERY_BYTES = 1024 * 1024
_MOST_BYTES = 32 * 1024 * 1024
_MOST_ACTORS = 4
_MOST_AHEAD = 250_000
_PAGE = 500
_PAGE_BYTES = 4 * 1024 * 1024


class Change(NamedTuple):
    """The states before and after an event, as documents."""

    before: Document
    after: Document


class _At(NamedTuple):
    """A state, and the number of the last event in it."""

    state: Any
    number: int


class States:
    """Folds the events of actors whose types are known. `apply` is called on instances whose `__init__` has not run."""

    def __init__(
        self, records: Records, actor_types: Sequence[type[PersistentActor[Any, Any]]], snapshots: SnapshotStore | None
    ) -> None:
        self._records = records
        self._snapshots = snapshots or CollectionSnapshots(records.backend)
        self._kinds = [_Kind(actor_type) for actor_type in actor_types]
        self._lives: OrderedDict[str, _Life] = OrderedDict()

    async def change(self, persistence_id: str, name: str, number: int, manifest: str | None) -> Change | None:
        """Return what an event, of which the manifest is given, made of the state; None without its actor's type.

        Raises `CorruptionError` for what recovery would not accept either, or when compaction has removed what is
        needed, and other errors as the keys do.
        """
        if (kind := self._kind(persistence_id, manifest)) is None:
            return None
        life = self._life(name, kind)
        at = await self._state(life, number - 1)
        before = document(at.state)
        at = await self._folded(life, at, number)
        return Change(before, document(at.state))

    async def look_ahead(self, persistence_id: str, name: str, last: int, manifest: str | None) -> None:
        """Fold a log from its beginning, so that it has its checkpoints before somebody asks; silent when it cannot."""
        kind = self._kind(persistence_id, manifest)
        if kind is None or (life := self._life(name, kind)).is_looked_ahead:
            return
        life.is_looked_ahead = True
        try:
            await self._folded(life, life.nearest(life.folded), min(last, _MOST_AHEAD))
        except PerdureError:  # who steps there is told
            return

    def _kind(self, persistence_id: str, manifest: str | None) -> _Kind | None:
        """Return the type that the id begins with, or else the only one that declares such an event."""
        beginning = persistence_id.partition("/")[0]
        for kind in self._kinds:
            if kind.name == beginning:
                return kind
        fitting = [kind for kind in self._kinds if manifest and kind.definition.events.knows(manifest)]
        return fitting[0] if len(fitting) == 1 else None

    def _life(self, name: str, kind: _Kind) -> _Life:
        life = self._lives.setdefault(name, _Life(name, kind))
        self._lives.move_to_end(name)
        while len(self._lives) > _MOST_ACTORS:
            self._lives.popitem(last=False)
        return life

    async def _state(self, life: _Life, number: int) -> _At:
        """Return the state after an event, folded from the nearest that is kept. Raises `CorruptionError`."""
        base = life.nearest(number)
        if base.number < number:
            base = await self._snapshot(life, number, base)
        return await self._folded(life, base, number)

    async def _snapshot(self, life: _Life, number: int, base: _At) -> _At:
        """Return the newest stored state up to an event that can be read, if it is nearer than a base."""
        at_most = number
        while at_most > base.number:
            try:
                found = await self._snapshots.newest(life.name, at_most)
            except CorruptionError as damaged:
                at_most = damaged.sequence_number - 1
                continue
            if found is None or found.sequence_number <= base.number:
                break
            if (at := await self._decoded(life, SNAPSHOTS, *found)) is not None:
                return at
            at_most = found.sequence_number - 1
        _, record = await self._records.backend.read_state(STATES, life.name)
        beside = None if record is None else await self._decoded(life, STATES, 0, record)
        return beside if beside is not None and base.number < beside.number <= number else base

    async def _decoded(self, life: _Life, collection: str, number: int, record: bytes) -> _At | None:
        """Return a stored state, None where it cannot be read: the events will tell."""
        await self._records.look_up((record,))
        try:
            opened = self._records.vault.opened(collection, life.name, number, record)
            at = _At(*life.kind.definition.states.decode(opened))
        except (PerdureError, RecordError):
            return None
        return at if number in (0, at.number) else None

    async def _folded(self, life: _Life, at: _At, number: int) -> _At:
        """Return the state after an event, from an earlier one on. Raises `CorruptionError`."""
        while at.number < number:
            stop = min(number, at.number + _PAGE)
            entries = await self._entries(life, at.number + 1, stop + 1)
            state, reached = fold(life.kind.definition, life.name, at.state, at.number, entries, life.kind.apply)
            if at.number <= life.folded:
                life.folded = max(life.folded, reached)
            at = _At(state, reached)
            life.keep(at, sum(len(entry.value) for entry in entries))
            await asyncio.sleep(0)  # let others be answered between pages
        return at

    async def _entries(self, life: _Life, start: int, stop: int) -> list[Entry]:
        """Return a page of the log as it was before it was sealed. Raises `CorruptionError`, also where it ends."""
        page = await self._records.backend.page(EVENTS, life.name, start, stop, limit=_PAGE, max_bytes=_PAGE_BYTES)
        if not page.entries:
            raise CorruptionError(life.name, start, "the event is not in the log, and no later state is stored")
        if not self._records.vault.seals:
            return page.entries
        await self._records.look_up(entry.value for entry in page.entries)
        opened = self._records.vault.opened
        return [Entry(key, opened(EVENTS, life.name, key, record)) for key, record in page.entries]


class _Kind:
    """An actor type, and how its events are folded."""

    def __init__(self, actor_type: type[PersistentActor[Any, Any]]) -> None:
        self._actor = actor_type.__new__(actor_type)
        self.name = actor_type.type_name
        self.definition = Definition(actor_type, "msgpack")
        self.apply = self._actor.apply

    def initial(self) -> Any:
        return copy.deepcopy(self._actor.initial_state)


class _Life:
    """The checkpoints of one actor."""

    def __init__(self, name: str, kind: _Kind) -> None:
        self.name = name
        self.kind = kind
        self.is_looked_ahead = False
        self.folded = 0
        """Up to which event it was folded from its beginning."""
        self._kept: dict[int, bytes] = {}
        self._numbers: list[int] = []
        self._size = 0
        self._every = _EVERY
        self._unkept_bytes = 0

    def nearest(self, number: int) -> _At:
        """Return the kept state that is nearest before an event, or the initial one."""
        place = bisect_right(self._numbers, number)
        if not place:
            return _At(self.kind.initial(), 0)
        try:
            return _At(*self.kind.definition.states.decode(self._kept[self._numbers[place - 1]]))
        except RecordError:  # it does not come back as it went
            return _At(self.kind.initial(), 0)

    def keep(self, at: _At, read: int) -> None:
        """Keep a state, for which so many bytes were read, if it is far enough from those that are kept."""
        self._unkept_bytes += read
        place = bisect_right(self._numbers, at.number)
        before = self._numbers[place - 1] if place else 0
        is_near = at.number - before < self._every and self._unkept_bytes < _EVERY_BYTES
        if at.number == before or is_near:
            return
        try:
            record = self.kind.definition.states.encode(at.state, at.number, 0)
        except EventTypeError:  # such a state is folded anew each time
            return
        insort(self._numbers, at.number)
        self._kept[at.number] = record
        self._size += len(record)
        self._unkept_bytes = 0
        while self._size > _MOST_BYTES and len(self._numbers) > 1:
            self._thin_out()

    def _thin_out(self) -> None:
        for number in self._numbers[::2]:
            self._size -= len(self._kept.pop(number))
        self._numbers = self._numbers[1::2]
        self._every *= 2
