"""What a system says of what its persistent actors store and read: system events, beside those of `perdure.actors`."""

from __future__ import annotations

from perdure.actors import SystemEvent


class SnapshotSaved(SystemEvent, frozen=True):
    """A snapshot is durable. It has `size` bytes as stored, and took so many seconds to write."""

    persistence_id: str
    sequence_number: int
    size: int
    seconds: float


class SnapshotFailed(SystemEvent, frozen=True):
    """A snapshot could not be taken or stored, or what it replaces not be removed; the actor goes on."""

    persistence_id: str
    sequence_number: int
    error: Exception


class RecoveryFellBack(SystemEvent, frozen=True):
    """A snapshot, or the state stored with an event (number 0), cannot be used; the actor is recovered without it."""

    persistence_id: str
    sequence_number: int
    reason: str
