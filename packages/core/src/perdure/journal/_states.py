"""From states to records and back.

The record of a state has the actor type's name, and in its metadata the sequence number that the state covers.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from perdure.errors import EventTypeError, UpcastError
from perdure.evolution import Document, Evolution, Lineage
from perdure.journal._payload import Decode, encoded, payload_decoder, payload_encoder, plain, told
from perdure.journal._record import ENCODERS, Format, Record, RecordError, decode
from perdure.journal._tags import metadata_of

S = TypeVar("S")

_NO_PAST = Evolution()
_STATE = ""


class Captured(NamedTuple):
    """A state at one moment: all of its record that takes its actor's time to make."""

    manifest: str
    version: int
    payload: bytes


class StateCodec(Generic[S]):
    """Encodes and decodes the states of one actor type, with the sequence number that each covers."""

    def __init__(
        self, owner: str, state_type: type[S], write: Format = "msgpack", evolution: Evolution = _NO_PAST
    ) -> None:
        """Raise `EvolutionError` when what `evolution` says of the state cannot be right."""
        self._owner = owner
        self._state_type = state_type
        self._format = write
        self._encode = ENCODERS[write]
        self._encode_payload = payload_encoder(write)
        self._decoders: dict[Format, Decode] = {}
        self._lineage = evolution.of_states(owner)
        self._version = self._lineage.version(_STATE)
        self._older = self._lineage.written_as(_STATE)

    @property
    def state_type(self) -> type[S]:
        return self._state_type

    @property
    def version(self) -> int:
        """The version of the state as it is now."""
        return self._version

    @property
    def manifest(self) -> str:
        """The name of the actor type under which states are written."""
        return self._owner if self._older is None else self._older.manifest or self._owner

    @property
    def lineage(self) -> Lineage:
        """What the actor says of older states."""
        return self._lineage

    def encode(self, state: S, sequence_number: int, timestamp: int, hidden_id: str | None = None) -> bytes:
        """Return the record of a state. It holds the id that a store hides.

        Raises `EventTypeError` when it cannot be encoded, or would come back changed from the older version in which it
        is to be written.
        """
        return self.record(self.capture(state), sequence_number, timestamp, hidden_id)

    def record(self, captured: Captured, sequence_number: int, timestamp: int, hidden_id: str | None = None) -> bytes:
        """Return the record of a state that was captured. May be called in any thread."""
        metadata = numbered(sequence_number, hidden_id)
        return self._encode(captured.manifest, captured.version, timestamp, msgspec.Raw(captured.payload), metadata)

    def capture(self, state: S) -> Captured:
        """Return a state as it is now, whatever becomes of it. Raises `EventTypeError` as `encode` does."""
        version = self._version
        try:
            payload = self._encode_payload(state)
            if self._older is not None:
                version = self._older.version
                payload = self._lower(state, payload, version)
            return Captured(self.manifest, version, payload)
        except EventTypeError:
            raise
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            reason, cause = told(error)
            raise EventTypeError(f"{self._owner}: its state cannot be encoded: {reason}") from cause

    def decode(self, data: bytes) -> tuple[S, int]:
        """Return a state and the sequence number that it covers. Raises `RecordError` saying what is wrong."""
        record, format = decode(data)
        number = (record.metadata or {}).get("sequence_number")
        if not isinstance(number, int) or number < 1:
            raise RecordError("a state without its sequence number")
        self.check_owner(record)
        payload = record.payload
        try:
            if not self._lineage.is_read_as_it_is(_STATE, record.version):
                payload = self._upcast(payload, record.version, format)
            return self._decode_payload(payload, format), number
        except UpcastError as error:
            raise RecordError(f"a state of {record.manifest} cannot be read: {error}") from error
        except Exception as error:
            reason, cause = told(error)
            raise RecordError(
                f"a state of {record.manifest}, version {record.version}, does not decode: {reason}"
            ) from cause

    def owns(self, record: Record) -> bool:
        """Tell whether a record is of this actor type, by its present name or an older one."""
        return record.manifest == self._owner or self._lineage.current_name(record.manifest) == _STATE

    def check_owner(self, record: Record) -> None:
        """Raise `RecordError` if a record is of another actor type."""
        if not self.owns(record):
            raise RecordError(
                f"a state of {record.manifest}, version {record.version}, and this is {self._owner}: if the actor type "
                f"was renamed, its `evolution` has to say rename_state({record.manifest!r})"
            )

    def _upcast(self, payload: msgspec.Raw | bytes, version: int, format: Format) -> msgspec.Raw:
        [now] = self._lineage.upcast(Document(_STATE, version, plain(payload, format)))
        return msgspec.Raw(encoded(now.content, format))

    def _decode_payload(self, payload: msgspec.Raw | bytes, format: Format) -> S:
        if format not in self._decoders:
            self._decoders[format] = payload_decoder(self._state_type, format)
        state: S = self._decoders[format](payload)
        return state

    def _lower(self, state: S, payload: bytes, version: int) -> bytes:
        """Return the payload of an older version, one from which the same state comes back."""
        what = f"{self._owner}: its state cannot be written as version {version}"
        try:
            older = encoded(self._lineage.downcast(_STATE, plain(payload, self._format), version), self._format)
            now = older
            if not self._lineage.is_read_as_it_is(_STATE, version):
                now = bytes(self._upcast(older, version, self._format))
            back = self._decode_payload(now, self._format)
        except Exception as error:
            reason, cause = told(error)
            raise EventTypeError(f"{what}: {type(error).__name__}: {reason}") from cause
        if back != state and self._encode_payload(back) != payload:
            raise EventTypeError(f"{what}: it would come back as another state than it is")
        return older


def numbered(sequence_number: int, hidden_id: str | None) -> dict[str, Any]:
    """Return the metadata of a record that covers a sequence number."""
    metadata: dict[str, Any] = metadata_of((), hidden_id) or {}
    return {"sequence_number": sequence_number, **metadata}
