"""From events and states to records and back.

A codec belongs to an actor type: it knows the event types that the actor declares, by their stable names.

A recovery decodes one record after another, so there is a short way: the bytes of the manifest choose a decoder that
reads the whole record with its event at once. Whatever does not fit it (another format or version, damage) goes the
long way, which knows how to name what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from perdure.errors import EventTypeError
from perdure.journal._event import Event
from perdure.journal._record import (
    ENCODERS,
    PAYLOAD_ENCODERS,
    Format,
    Record,
    RecordError,
    Stored,
    decode,
    intact_body,
    manifest_bytes,
    short_manifest,
)

S = TypeVar("S")

_Decode = Callable[[msgspec.Raw | bytes], Any]
_DecodeWhole = Callable[[bytes], Stored[Any]]


class EventCodec:
    """Encodes and decodes the events of one actor type."""

    def __init__(self, owner: str, declared: Iterable[type[Event]], write: Format = "msgpack") -> None:
        self._owner = owner
        self._declared = tuple(declared)
        self._types: dict[str, type[Event]] = {}
        self._decoders: dict[tuple[str, Format], tuple[int, _Decode]] = {}
        self._whole: dict[bytes, tuple[int, _DecodeWhole]] = {}
        self._format = write
        self._encode = ENCODERS[write]
        self._encode_payload = PAYLOAD_ENCODERS[write]
        self._read_back: dict[type[Event], _Decode] = {}
        self._learn()

    def encode(self, event: Event, timestamp: int, metadata: dict[str, Any] | None = None) -> bytes:
        """Return the record of an event.

        Raises `EventTypeError` for an undeclared type, a value that cannot be encoded, and one that could not be read
        back, such as a text in a field of type int: it would be acknowledged, and lost with the next recovery.
        """
        kind = type(event)
        try:
            read_back = self._read_back.get(kind) or self._declared_type(kind)
            payload = self._encode_payload(event)
            read_back(payload)
            return self._encode(kind._manifest, kind._version, timestamp, msgspec.Raw(payload), metadata)
        except EventTypeError:
            raise
        except msgspec.ValidationError as error:
            raise EventTypeError(f"{self._owner}: an event {kind.__name__} could not be read back: {error}") from error
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EventTypeError(f"{self._owner}: an event {kind.__name__} cannot be encoded: {error}") from error

    def _declared_type(self, kind: type[Event]) -> _Decode:
        """Return the decoder of a type's payloads. Raises `EventTypeError` for a type that is not declared."""
        if not issubclass(kind, Event):
            raise EventTypeError(f"{self._owner} persists events, subclasses of perdure.Event, not {kind.__name__}")
        if self._types.get(kind._manifest) is not kind:
            self._learn()
            if self._types.get(kind._manifest) is not kind:
                raise EventTypeError(f"{self._owner} does not declare {kind.__name__}; it declares {self._names()}")
        read_back = self._read_back[kind] = payload_decoder(kind, self._format)
        return read_back

    def decode(self, data: bytes) -> Event:
        """Return the event of a record. Raises `RecordError` saying what is wrong."""
        whole = self._whole.get(manifest_bytes(data))
        if whole is not None and (body := intact_body(data)) is not None:
            version, decode_whole = whole
            try:
                stored = decode_whole(body)
            except msgspec.MsgspecError:
                pass
            else:
                if stored.version == version:
                    event: Event = stored.payload
                    return event
        return self._decode_slowly(data)

    def _decode_slowly(self, data: bytes) -> Event:
        record, format = decode(data)
        known = self._decoders.get((record.manifest, format))
        if known is None:
            known = self._decoder(record, format)
        version, decode_payload = known
        if record.version > version:
            raise RecordError(
                f"an event {record.manifest} of schema version {record.version}, and this program knows up to {version}"
            )
        try:
            event: Event = decode_payload(record.payload)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise RecordError(
                f"an event {record.manifest} of version {record.version} does not decode: {error}"
            ) from error
        return event

    def _decoder(self, record: Record, format: Format) -> tuple[int, _Decode]:
        if record.manifest not in self._types:
            self._learn()
        kind = self._types.get(record.manifest)
        if kind is None:
            raise RecordError(
                f"an event of the unknown type {record.manifest!r}; {self._owner} declares {self._names()}"
            )
        known = self._decoders[record.manifest, format] = (kind._version, payload_decoder(kind, format))
        manifest = short_manifest(record.manifest)
        if format == "msgpack" and manifest is not None:
            self._whole[manifest] = (kind._version, whole_decoder(kind))
        return known

    def _learn(self) -> None:
        """Note the declared types and their subclasses, which may be defined later than the actor."""
        for kind in _with_subclasses(self._declared):
            other = self._types.setdefault(kind._manifest, kind)
            if other is not kind:
                raise EventTypeError(
                    f"{self._owner} declares two event types named {kind._manifest!r}, {other!r} and {kind!r}: "
                    f"give one of them another manifest"
                )

    def _names(self) -> str:
        return ", ".join(sorted(self._types)) or "none"


class StateCodec(Generic[S]):
    """Encodes and decodes the states of one actor type, with the sequence number that each covers."""

    def __init__(self, owner: str, state_type: type[S], write: Format = "msgpack") -> None:
        self._owner = owner
        self._state_type = state_type
        self._encode = ENCODERS[write]
        self._decoders: dict[Format, _Decode] = {}

    def encode(self, state: S, sequence_number: int, timestamp: int) -> bytes:
        """Return the record of a state. Raises `EventTypeError` when it cannot be encoded."""
        metadata = {"sequence_number": sequence_number}
        try:
            return self._encode(self._owner, 1, timestamp, state, metadata)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EventTypeError(f"{self._owner}: its state cannot be encoded: {error}") from error

    def decode(self, data: bytes) -> tuple[S, int]:
        """Return a state and the sequence number that it covers. Raises `RecordError` saying what is wrong."""
        record, format = decode(data)
        number = (record.metadata or {}).get("sequence_number")
        if not isinstance(number, int) or number < 1:
            raise RecordError("a state without its sequence number")
        try:
            if format not in self._decoders:
                self._decoders[format] = payload_decoder(self._state_type, format)
            return self._decoders[format](record.payload), number
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise RecordError(f"a state of {record.manifest} does not decode: {error}") from error


def payload_decoder(kind: Any, format: Format) -> _Decode:
    """Return a function that decodes the payload of a record into `kind`."""
    if format == "json":
        return msgspec.json.Decoder(kind).decode
    return msgspec.msgpack.Decoder(kind).decode


def whole_decoder(kind: Any) -> _DecodeWhole:
    """Return a function that decodes a whole MessagePack record whose payload is a `kind`."""
    return msgspec.msgpack.Decoder(Stored[kind]).decode


def _with_subclasses(kinds: Iterable[type[Event]]) -> Iterator[type[Event]]:
    for kind in kinds:
        yield kind
        yield from _with_subclasses(kind.__subclasses__())
