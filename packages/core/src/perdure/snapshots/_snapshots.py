"""Where snapshots of one actor live, and which are kept.

Snapshots are entries of the collection `snapshots`, under the sequence number that each covers. A new one, the removal
of old ones and the removal of the events that they made superfluous are one group: all of it happens, or nothing.
Events are only ever removed below the oldest snapshot that is kept; the event at its own number stays, so that the log
always has a head, and a snapshot that is ahead of its log is noticed.
"""

from __future__ import annotations

from perdure.abc import DeleteRange, Put, Write

SNAPSHOTS = "snapshots"


class Retention:
    """The sequence numbers of an actor's known snapshots, ascending, and how many to keep."""

    __slots__ = ("_events", "_keep", "_known", "_persistence_id")

    def __init__(self, persistence_id: str, keep: int, compact: str | None) -> None:
        """`compact` names the collection of events from which to remove, or is None."""
        self._persistence_id = persistence_id
        self._keep = keep
        self._events = compact
        self._known: list[int] = []

    def found(self, sequence_number: int) -> None:
        """Note the snapshot from which the actor was recovered."""
        self._known = [sequence_number]

    def saved(self, sequence_number: int) -> None:
        """Note that a snapshot is durable."""
        self._known = sorted({*self._known, sequence_number})[-self._keep :]

    def writes(self, sequence_number: int, record: bytes) -> list[Write]:
        """Return the group that stores a snapshot and removes what it makes superfluous."""
        identity = self._persistence_id
        kept = sorted({*self._known, sequence_number})[-self._keep :]
        writes: list[Write] = [Put(SNAPSHOTS, identity, sequence_number, record)]
        if len(kept) == self._keep:
            writes.append(DeleteRange(SNAPSHOTS, identity, 1, kept[0]))
            if self._events is not None:
                # The event at the snapshot's own number stays: it proves that the log reaches so far.
                writes.append(DeleteRange(self._events, identity, 1, kept[0]))
        return writes
