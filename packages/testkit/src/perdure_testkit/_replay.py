"""Whether an actor's events alone make its state.

What is folded twice must come out the same: once by one instance that sees event after event, and once by a new
instance for each event, which begins with what a snapshot would have kept of the state before it. A state that holds
more than its type says, an `apply` that looks at anything but its arguments, and a state that is changed outside of
`apply` all show as a difference, at the first event at which they make one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from perdure import PersistentActor
from perdure.errors import EventTypeError
from perdure.journal import RecordError
from perdure.persistence._definition import Definition
from perdure.persistence._entity import applied
from perdure.persistence._strategy import Full
from perdure.snapshots import never
from perdure_testkit._round_trip import same

S = TypeVar("S")

_HINT = "does apply depend on more than its arguments, or is the state changed outside of it?"


class Replay(Generic[S]):
    """The state after the events so far, as a recovery finds it."""

    def __init__(
        self, create: Callable[[], PersistentActor[S, Any]], definition: Definition, state: S, number: int
    ) -> None:
        self.number = number
        self._create = create
        self._definition = definition
        self._actor = create()
        self._folded = copy.deepcopy(state)
        self._from_snapshot = copy.deepcopy(state)

    def advance(self, record: bytes) -> None:
        """Apply the next event. Raises `AssertionError` when it makes a difference."""
        self._folded = self._after(self._actor, self._folded, record)
        if stores_states(self._definition):
            before = self._snapshot() if self.number else self._from_snapshot
            self._from_snapshot = self._after(self._create(), before, record)
        self.number += 1
        if stores_states(self._definition) and not same(self._from_snapshot, self._folded):
            raise AssertionError(
                f"a snapshot before event {self.number}, {self._shown(record)}, makes another state of it than the "
                f"whole log"
                f"\n  from the snapshot: {self._from_snapshot!r}\n  from the log:      {self._folded!r}"
                f"\n{_HINT}"
            )

    def compare(self, live: S) -> None:
        """Raise `AssertionError` unless this is the live actor's state."""
        if not same(live, self._folded):
            raise AssertionError(different(live, self._folded, self.number))

    def _after(self, actor: PersistentActor[S, Any], state: S, record: bytes) -> S:
        """Return the state after the events of a record, mostly one."""
        for event in self._definition.events.decode_all(record):
            state = applied(actor.apply, state, event, "")
        return state

    def _shown(self, record: bytes) -> str:
        return ", ".join(map(repr, self._definition.events.decode_all(record)))

    def _snapshot(self) -> S:
        """Return the state as it comes back from a snapshot."""
        codec = self._definition.states
        try:
            state: S = codec.decode(codec.encode(self._from_snapshot, self.number, 0))[0]
        except (EventTypeError, RecordError) as error:
            raise AssertionError(
                f"no snapshot at event {self.number} could be read: {error}\n  state: {self._from_snapshot!r}"
            ) from error
        return state


def stores_states(definition: Definition) -> bool:
    """Tell whether the actor's strategy ever stores a state."""
    return not isinstance(definition.strategy, Full) or definition.strategy.snapshot is not never


def different(live: object, recovered: object, number: int) -> str:
    """Say that the live state is not the recovered one."""
    return (
        f"the state in memory is not the one that an actor recovers, after event {number}"
        f"\n  in memory: {live!r}\n  recovered: {recovered!r}\n{_HINT}"
    )
