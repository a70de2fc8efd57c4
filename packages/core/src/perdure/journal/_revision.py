"""From the revisions of a durable state to records and back.

A revision is the record of a state under its number, or a *tombstone*: a record without payload that says that the
state was deleted.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from perdure.errors import EventTypeError
from perdure.evolution import Evolution
from perdure.journal._record import ENCODERS, Format, RecordError, decode
from perdure.journal._states import StateCodec, numbered

S = TypeVar("S")

_NO_PAST = Evolution()


class Revision(NamedTuple, Generic[S]):
    """What a record says: a state, or None and that it was deleted."""

    state: S | None
    deleted: bool


class RevisionCodec(Generic[S]):
    """Encodes and decodes the durable states of one actor type."""

    def __init__(
        self, owner: str, state_type: type[S], write: Format = "msgpack", evolution: Evolution = _NO_PAST
    ) -> None:
        """Raise `EvolutionError` when what `evolution` says of the state cannot be right."""
        self._owner = owner
        self._states = StateCodec(owner, state_type, write, evolution)
        self._encode = ENCODERS[write]

    @property
    def states(self) -> StateCodec[S]:
        """The codec of what the revisions hold."""
        return self._states

    def encode(self, state: S, number: int, timestamp: int, hidden_id: str | None = None) -> tuple[bytes, S]:
        """Return the record of a state, and the state as it will be read. It holds the id that a store hides.

        Raises `EventTypeError` for one that cannot be encoded, and one that could not be read back: it would be
        acknowledged, and lost with the next recovery, for there is nothing else to recover from.
        """
        record = self._states.encode(state, number, timestamp, hidden_id)
        try:
            read_back, _ = self._states.decode(record)
        except RecordError as error:
            raise EventTypeError(f"{self._owner}: its state could not be read back: {error}") from error
        return record, read_back

    def tombstone(self, number: int, timestamp: int, hidden_id: str | None = None) -> bytes:
        """Return the record that says that there is no state."""
        metadata = numbered(number, hidden_id) | {"deleted": True}
        return self._encode(self._states.manifest, 1, timestamp, None, metadata)

    def timestamp_if_own(self, data: bytes) -> int | None:
        """Return when a record was made, None if it is of another actor type. Raises `RecordError`."""
        record, _ = decode(data)
        return record.timestamp if self._states.owns(record) else None

    def decode(self, data: bytes, number: int) -> Revision[S]:
        """Return what the record under a number says. Raises `RecordError` saying what is wrong."""
        record, _ = decode(data)
        self._states.check_owner(record)
        metadata = record.metadata or {}
        if metadata.get("sequence_number") != number:
            raise RecordError(f"it says that it is revision {metadata.get('sequence_number')}")
        if metadata.get("deleted") is True:
            return Revision(None, True)
        state, _ = self._states.decode(data)
        return Revision(state, False)
