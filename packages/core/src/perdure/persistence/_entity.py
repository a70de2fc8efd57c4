"""The durable part of one live actor with events: its state, the fold of them, and the one way to change it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from perdure.abc import DeleteRange, PutState, Write
from perdure.errors import ApplyError, InvalidTag
from perdure.journal import EVENTS, Event, metadata_of
from perdure.persistence._definition import Definition, is_immutable
from perdure.persistence._following import Followers
from perdure.persistence._head import Head
from perdure.persistence._stores import Stores
from perdure.persistence._strategy import Full
from perdure.snapshots import Retention, SnapshotPolicy

_log = logging.getLogger("perdure.persistence")

STATES = "states"

Apply = Callable[[Any, Any], Any]
Tags = Callable[[Any], object]


class Entity(Head):
    """A persistence id with its state in memory, the fold of the first `sequence_number` events of its log."""

    __slots__ = ("definition", "retention")

    def __init__(self, persistence_id: str, definition: Definition, stores: Stores) -> None:
        super().__init__(persistence_id, stores)
        self.definition = definition
        self.retention: Retention | None = None
        if isinstance(definition.strategy, Full):
            compact = EVENTS if definition.strategy.compact else None
            self.retention = Retention(persistence_id, definition.strategy.keep_snapshots, compact)

    @property
    def _audience(self) -> Followers:
        return self._stores.followers

    async def persist(self, apply: Apply, events: Sequence[Event], tags: Tags | None = None) -> None:
        """Fold the events, store them as one with their tags, and only then let the new state be seen."""
        self._check_free()
        if not events:
            return
        timestamp = self._stores.timestamp()
        records = [self._encode(event, timestamp, tags) for event in events]
        state = self._fold(apply, events)
        number = self.sequence_number + len(events)
        with self:
            also, size = self._state_writes(state, number, timestamp) if self.retention is None else ((), 0)
            appending = self.journal.append(self.persistence_id, self.sequence_number, records, also, size)
            del records, also  # what waits for the disk in thousands is to be small
            self._check_won(await appending)
        first_number = self.sequence_number + 1
        self._state = state
        self.sequence_number = number
        if self._stores.followers:
            self._stores.followers.tell(self.persistence_id, first_number, events)
        if self.definition.snapshot_policy is not None:
            self._snapshot_if_due(self.definition.snapshot_policy, first_number)

    def _encode(self, event: Event, timestamp: int, tags: Tags | None) -> bytes:
        metadata = self._metadata(event, tags) if tags is not None else None
        record = self.definition.events.encode(event, timestamp, metadata)
        self._check_size(record, type(event)._manifest)
        return record

    def _metadata(self, event: Event, tags: Tags) -> dict[str, Any] | None:
        found = tags(event)
        try:
            return metadata_of(found)
        except ValueError as error:
            raise InvalidTag(self.persistence_id, type(event).__name__, str(error)) from error

    def _fold(self, apply: Apply, events: Sequence[Event]) -> Any:
        state = self.state
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
        record = self.definition.states.encode(state, number, timestamp)
        self._check_size(record, "the state")
        return record

    def _snapshot_if_due(self, policy: SnapshotPolicy, first_number: int) -> None:
        """Ask the policy once for each new event; encode at most one state now, and store it in the background."""
        try:
            due = policy(first_number)
            for number in range(first_number + 1, self.sequence_number + 1):
                due = policy(number) or due
            if not due:
                return
            record = self._encode_state(self._state, self.sequence_number, self._stores.timestamp())
        except Exception as error:
            _log.error("%s: no snapshot at %d: %s", self.persistence_id, self.sequence_number, error)
        else:
            self._stores.in_background(self._save(self.sequence_number, record))

    async def _save(self, number: int, record: bytes) -> None:
        assert self.retention is not None
        try:
            await self.journal.write(self.retention.writes(number, record), len(record))
        except Exception as error:
            _log.error("%s: the snapshot at %d was not saved: %s", self.persistence_id, number, error)
        else:
            self.retention.saved(number)


def applied(apply: Apply, state: Any, event: Any, persistence_id: str) -> Any:
    """Return the state after an event, whether `apply` returns it or changes it in place. Raises `ApplyError`."""
    result = apply(state, event)
    if result is not None:
        return result
    if is_immutable(type(state)):
        raise ApplyError(persistence_id, type(event).__name__, type(state).__name__)
    return state
