"""When to take a snapshot.

A policy is asked once for each event that has become durable, with the state after all events of its persist; if it
says yes to any of them, one snapshot is taken. One that knows before which number it will not say yes is not asked
until then. Policies are combined with `|`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from perdure.abc import MAX_KEY

Predicate: TypeAlias = Callable[[int, Any, Any], bool]
"""Says of a sequence number, the state, and the event of that number whether a snapshot is to be taken."""


class Since(Protocol):
    """What has happened to an actor since its last snapshot, or since its start."""

    @property
    def stored_bytes(self) -> int:
        """The size of the records that it has stored."""

    @property
    def seconds(self) -> float:
        """The time that has passed."""


class SnapshotPolicy(ABC):
    """Says when to take a snapshot. A function `(sequence_number, state, event) -> bool` may stand in place of one."""

    on_stop: bool = False
    """Whether one is taken when the actor stops or is put away, and has events that no snapshot covers."""

    @abstractmethod
    def due(self, sequence_number: int, state: Any, event: Any, since: Since) -> bool:
        """Tell whether to take a snapshot after this event."""

    def next_due(self, after: int) -> int:
        """Return the first sequence number behind `after` for which to ask `due`; by default the next.

        A persist that ends before it is not asked about, and adds nothing to `stored_bytes`.
        """
        return after + 1

    def __or__(self, other: SnapshotPolicy | Predicate) -> SnapshotPolicy:
        """Return the policy that takes a snapshot when either does."""
        return _Either(self, policy_of(other))

    def __ror__(self, other: Predicate) -> SnapshotPolicy:
        return _Either(policy_of(other), self)


def policy_of(policy: SnapshotPolicy | Predicate) -> SnapshotPolicy:
    """Return a policy, or that which a function stands for. Raises `TypeError` for anything else."""
    if isinstance(policy, SnapshotPolicy):
        return policy
    if isinstance(policy, type) or not callable(policy):
        raise TypeError(f"a snapshot policy is one, or a function (sequence_number, state, event), not {policy!r}")
    return _When(policy)


def every_n_events(n: int) -> SnapshotPolicy:
    """Return the policy that takes a snapshot at each n-th sequence number."""
    if n < 1:
        raise ValueError(f"every_n_events takes 1 or more, not {n}")
    return _EveryNEvents(n)


def every_n_bytes(n: int) -> SnapshotPolicy:
    """Return the policy that takes a snapshot when the records since the last have n bytes or more together."""
    if n < 1:
        raise ValueError(f"every_n_bytes takes 1 or more, not {n}")
    return _EveryNBytes(n)


def every(seconds: float) -> SnapshotPolicy:
    """Return the policy that takes a snapshot at the first event so long after the last one, or after the start."""
    if not seconds > 0:
        raise ValueError(f"every takes more than 0 seconds, not {seconds}")
    return _Every(seconds)


class _EveryNEvents(SnapshotPolicy):
    def __init__(self, n: int) -> None:
        self._n = n

    def __repr__(self) -> str:
        return f"every_n_events({self._n})"

    def due(self, sequence_number: int, state: Any, event: Any, since: Since) -> bool:
        return sequence_number % self._n == 0

    def next_due(self, after: int) -> int:
        return after - after % self._n + self._n


class _EveryNBytes(SnapshotPolicy):
    def __init__(self, n: int) -> None:
        self._n = n

    def __repr__(self) -> str:
        return f"every_n_bytes({self._n})"

    def due(self, sequence_number: int, state: Any, event: Any, since: Since) -> bool:
        return since.stored_bytes >= self._n


class _Every(SnapshotPolicy):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"every({self._seconds:g})"

    def due(self, sequence_number: int, state: Any, event: Any, since: Since) -> bool:
        return since.seconds >= self._seconds


class _When(SnapshotPolicy):
    def __init__(self, predicate: Predicate) -> None:
        self._predicate = predicate

    def __repr__(self) -> str:
        return repr(self._predicate)

    def due(self, sequence_number: int, state: Any, event: Any, since: Since) -> bool:
        return bool(self._predicate(sequence_number, state, event))


class _Never(SnapshotPolicy):
    def __repr__(self) -> str:
        return "never"

    def due(self, sequence_number: int, state: Any, event: Any, since: Since) -> bool:
        return False

    def next_due(self, after: int) -> int:
        return MAX_KEY


class _OnStop(_Never):
    on_stop = True

    def __repr__(self) -> str:
        return "on_stop"


class _Either(SnapshotPolicy):
    def __init__(self, one: SnapshotPolicy, other: SnapshotPolicy) -> None:
        self._one = one
        self._other = other
        self.on_stop = one.on_stop or other.on_stop

    def __repr__(self) -> str:
        return f"{self._one!r} | {self._other!r}"

    def due(self, sequence_number: int, state: Any, event: Any, since: Since) -> bool:
        due = self._one.due(sequence_number, state, event, since)
        return self._other.due(sequence_number, state, event, since) or due  # both are asked: they may count

    def next_due(self, after: int) -> int:
        return min(self._one.next_due(after), self._other.next_due(after))


never: SnapshotPolicy = _Never()
"""Takes no snapshots."""

on_stop: SnapshotPolicy = _OnStop()
"""Takes a snapshot when the actor stops or is put away, unless one covers its last event. Kill -9 leaves no time."""
