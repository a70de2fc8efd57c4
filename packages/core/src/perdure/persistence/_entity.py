"""The durable part of one live actor with events: its state, the fold of them, and the one way to change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from perdure.abc import MAX_KEY, DeleteRange, PutState, Write
from perdure.errors import ApplyError, DamagedSnapshot, EventsNeeded, InvalidTag, SealError
from perdure.journal import EVENTS, AnyEvent, RecordError, metadata_of, named
from perdure.persistence._custody import Custody
from perdure.persistence._definition import Definition, is_immutable
from perdure.persistence._following import Followers
from perdure.persistence._head import Head
from perdure.persistence._stores import Stores
from perdure.security import Seal
from perdure.snapshots import SNAPSHOTS, Draft, Snapshots

STATES = "states"

Apply = Callable[[Any, Any], Any]
Tags = Callable[[Any], object]


class Entity(Head):
    """A persistence id with its state in memory, the fold of the first `sequence_number` events of its log."""

    __slots__ = ("_snapshot_at", "_untagged", "definition", "snapshots")

    def __init__(self, persistence_id: str, definition: Definition, stores: Stores, custody: Custody | None) -> None:
        super().__init__(persistence_id, stores, custody)
        self.definition = definition
        self._untagged = metadata_of((), self._hidden_id)
        shelf = stores.shelf(definition)
        self.snapshots = None if shelf is None else Snapshots(self.persistence_id, shelf)
        self._snapshot_at = MAX_KEY if shelf is None else 0  # the first number about which to ask the policy

    @property
    def _audience(self) -> Followers:
        return self.stores.followers

    async def claim(self) -> None:
        await super().claim()
        self._untagged = metadata_of((), self._hidden_id, self.epoch)

    async def persist(self, apply: Apply, events: Sequence[AnyEvent], tags: Tags | None = None) -> None:
        """Fold the events, store them as one with their tags, and only then let the new state be seen."""
        self._check_free()
        if not events:
            return
        custody = self.custody
        if custody is not None and custody.has_subject and not custody.is_prepared:
            await self._prepare_to_seal()
        timestamp = self.stores.timestamp()
        records = self._encode(events, timestamp, tags)
        if self.definition.events.writes_older:
            events = self.definition.events.as_stored(records)
        state = self._fold(apply, events)
        del apply  # what waits for the disk in thousands is to be small
        number = self.sequence_number + len(events)
        if custody is not None:
            records, link = custody.seal_events(self.sequence_number, records)
        stored = sum(map(len, records)) if number >= self._snapshot_at else 0
        self._busy = True
        try:  # `with` would keep a bound method
            also, size = self._state_writes(state, number, timestamp) if self.snapshots is None else ((), 0)
            appending = self.journal.append(
                self.persistence_id, self.sequence_number, records, also, size, claim=self.claimed
            )
            del records, also
            if (conflict := await appending) is not None:
                await self._lose(conflict)
        except BaseException as error:
            self._end_write(error)
            raise
        self._end_write()
        first_number = self.sequence_number + 1
        self._state = state
        self.sequence_number = number
        if custody is not None:
            custody.link = link
        if self.stores.followers:
            self.stores.followers.tell(self.persistence_id, first_number, events)
        if number >= self._snapshot_at:
            self._snapshot_if_due(first_number, events, stored)

    def _encode(self, events: Sequence[AnyEvent], timestamp: int, tags: Tags | None) -> list[bytes]:
        records = []
        for event in events:
            metadata = self._untagged if tags is None else self._metadata(event, tags)
            record = self.definition.events.encode(event, timestamp, metadata)
            if len(record) > self.journal.max_record_bytes:
                self._check_size(record, named(type(event)).manifest)
            records.append(record)
        return records

    def _metadata(self, event: AnyEvent, tags: Tags) -> dict[str, Any] | None:
        found = tags(event)
        try:
            return metadata_of(found, self._hidden_id, self.epoch)
        except ValueError as error:
            raise InvalidTag(self.persistence_id, type(event).__name__, str(error)) from error

    def _fold(self, apply: Apply, events: Sequence[AnyEvent]) -> Any:
        state = self._state
        try:
            for event in events:
                state = applied(apply, state, event, self.persistence_id)
        except BaseException:
            self._doubt()
            raise
        return state

    def _state_writes(self, state: Any, number: int, timestamp: int) -> tuple[Sequence[Write], int]:
        """Return what `Light` stores along with the events, and its size."""
        record = self._encode_state(state, number, timestamp)
        put = PutState(STATES, self.persistence_id, record)
        if self.definition.strategy.compact:
            return (put, DeleteRange(EVENTS, self.persistence_id, 1, number)), len(record)
        return (put,), len(record)

    def _encode_state(self, state: Any, number: int, timestamp: int) -> bytes:
        record = self.definition.states.encode(state, number, timestamp, self._hidden_id)
        self._check_size(record, "the state")
        return record if self.custody is None else self.custody.seal.elsewhere(STATES).seal(0, record)

    def _snapshot_if_due(self, first_number: int, events: Sequence[AnyEvent], stored: int) -> None:
        """Ask the policy once for each new event; capture at most one state now, and store it in the background."""
        assert self.snapshots is not None
        try:
            due = self.snapshots.due(self._state, first_number, events, stored)
            self._snapshot_at = self.snapshots.next_due(self.sequence_number)
            if due:
                self.snapshots.save_soon(self.sequence_number, self._draft())
        except Exception as error:
            self.snapshots.failed(self.sequence_number, f"no snapshot at {self.sequence_number}", error)

    def leave(self) -> None:
        """Take the snapshot that is due when the actor ends."""
        if self.snapshots is None or self.in_doubt or not self.snapshots.due_on_stop(self.sequence_number):
            return
        try:
            self.snapshots.save_soon(self.sequence_number, self._draft())
        except Exception as error:
            self.snapshots.failed(self.sequence_number, f"no snapshot at {self.sequence_number}", error)

    async def save_snapshot(self) -> None:
        """Store a snapshot of the present state durably."""
        if self.snapshots is not None and self.sequence_number:
            await self.snapshots.save(self.sequence_number, self._draft())

    async def delete_events(self, to: int) -> None:
        """Remove the events up to a number that are not needed to recover the actor."""
        if to < 1:
            return
        covered = await self._covered()
        if covered < to:
            raise EventsNeeded(self.persistence_id, to, covered)
        below = min(to + 1, covered)  # the event at the snapshot's own number stays
        if self.snapshots is not None:
            await self.snapshots.remove_events(below)
        else:
            await self.journal.remove(self.persistence_id, below)

    async def _covered(self) -> int:
        """Return the number of the last event without which the actor can be recovered."""
        if self.snapshots is None:
            return self.sequence_number
        try:
            snapshot = await self.stores.snapshots.newest(self.persistence_id)
            if snapshot is None:
                return 0
            seal = self._snapshot_seal()
            record = snapshot.record if seal is None else seal.open(snapshot.sequence_number, snapshot.record)
            return self.definition.states.decode(record)[1]
        except (DamagedSnapshot, SealError, RecordError):
            return 0

    def _draft(self) -> Draft:
        """Capture the state now; the rest of its record can be made later, in any thread."""
        captured = self.definition.states.capture(self.state)
        self._check_size(captured.payload, "the state")
        number, timestamp = self.sequence_number, self.stores.timestamp()
        make = partial(self.definition.states.record, captured, number, timestamp, self._hidden_id)
        return Draft(len(captured.payload), make, self._snapshot_seal())

    def _snapshot_seal(self) -> Seal | None:
        return None if self.custody is None else self.custody.seal.elsewhere(SNAPSHOTS)


def applied(apply: Apply, state: Any, event: Any, persistence_id: str) -> Any:
    """Return the state after an event, whether `apply` returns it or changes it in place. Raises `ApplyError`."""
    result = apply(state, event)
    return changed_in_place(state, event, persistence_id) if result is None else result


def changed_in_place(state: Any, event: Any, persistence_id: str) -> Any:
    """Return the state for which `apply` has returned nothing. Raises `ApplyError` if it cannot have changed it."""
    if is_immutable(type(state)):
        raise ApplyError(persistence_id, type(event).__name__, type(state).__name__)
    return state
