"""What does not go with what a log holds now, or an actor knows of it."""

from __future__ import annotations

from perdure.errors._actors import Rejected
from perdure.errors._root import PerdureError


class ConflictError(PerdureError):
    """Another writer has appended first. The log did not fork: reload and decide again."""

    def __init__(self, persistence_id: str, expected: int, actual: int, number: str = "sequence number") -> None:
        super().__init__(persistence_id, expected, actual, number)
        self.persistence_id = persistence_id
        self.expected = expected
        self.actual = actual
        self.number = number

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: expected the log to end at {self.number} {self.expected}, "
            f"but it ends at {self.actual}: another writer was first"
        )


class StaleRevision(ConflictError, Rejected):
    """A save or a delete named a revision that is not the present one. Nothing was stored; the asker alone gets it."""

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: revision {self.expected} was expected, and the present one is {self.actual}: "
            f"read it and decide again"
        )


class EventsNeeded(PerdureError):
    """The events up to `to` are to be removed, and the actor could be recovered without those up to `covered` only."""

    def __init__(self, persistence_id: str, to: int, covered: int) -> None:
        super().__init__(persistence_id, to, covered)
        self.persistence_id = persistence_id
        self.to = to
        self.covered = covered

    def __str__(self) -> str:
        have = f"covers those up to {self.covered} only" if self.covered else "is there"
        return (
            f"{self.persistence_id}: the events up to {self.to} cannot be removed, for "
            f"{'the newest snapshot' if self.covered else 'no snapshot'} {have}: await save_snapshot() first"
        )


class EventsRemoved(PerdureError):
    """The events from `asked` on are to be read, and compaction has left only those from `first` on."""

    def __init__(self, persistence_id: str, asked: int, first: int) -> None:
        super().__init__(persistence_id, asked, first)
        self.persistence_id = persistence_id
        self.asked = asked
        self.first = first

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: event {self.asked} is not in the log, which begins at {self.first}: "
            f"what was before was removed by compaction; begin after {self.first - 1}, or from the actor's state"
        )


class PersistInProgress(PerdureError):
    """An actor began a persist while another of its own was under way."""

    def __init__(self, persistence_id: str) -> None:
        super().__init__(persistence_id)
        self.persistence_id = persistence_id

    def __str__(self) -> str:
        return f"{self.persistence_id} is persisting already: await it first, or pass all events to one persist"


class StateUnknown(PerdureError):
    """The state in memory cannot be trusted after a failed persist; it is re-read before the next message."""

    def __init__(self, persistence_id: str) -> None:
        super().__init__(persistence_id)
        self.persistence_id = persistence_id

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: the state is unknown after a failed persist and is re-read before the next message"
        )
