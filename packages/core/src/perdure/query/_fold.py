"""The states of one actor type, made of records, without a store."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from perdure.journal import AnyEvent
from perdure.persistence import PersistentActor
from perdure.persistence._definition import Definition
from perdure.persistence._entity import applied

S = TypeVar("S")


class Fold(Generic[S]):
    """Folds records of events, as a `Ledger` has them, and turns states into records and back.

    `apply` of the actor type is called on an instance whose `__init__` has not run. The methods raise what that raises,
    `ApplyError`, and `ValueError` for bytes that are no such record, or cannot be read by this program.
    """

    def __init__(self, actor_type: type[PersistentActor[S, Any]]) -> None:
        """Raise `EventTypeError`, `EvolutionError` for what the type says of itself and cannot be right."""
        definition = Definition(actor_type, "msgpack")
        self._actor = actor_type.__new__(actor_type)
        self._events = definition.events
        self._states = definition.states
        self.name = actor_type.type_name
        self.state_type: Any = definition.states.state_type

    def initial(self) -> S:
        """Return the state before the first event."""
        return copy.deepcopy(self._actor.initial_state)

    def apply(self, state: S, record: bytes) -> S:
        """Return the state after a record, which may be the given one, changed in place."""
        for event in self._events.decode_all(record):
            state = applied(self._actor.apply, state, event, self.name)
        return state

    def record(self, event: AnyEvent) -> bytes:
        """Return the record of an event, as it would be stored."""
        return self._events.encode(event, 0)

    def events(self, record: bytes) -> Sequence[Any]:
        """Return the events of a record: one, unless it was stored by an older program."""
        return self._events.decode_all(record)

    def encode(self, state: S, sequence_number: int) -> bytes:
        """Return the record of a state, as a snapshot is one."""
        return self._states.encode(state, sequence_number, 0)

    def decode(self, record: bytes) -> tuple[S, int]:
        """Return a state and its sequence number."""
        return self._states.decode(record)
