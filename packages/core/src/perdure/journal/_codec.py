"""From events to records and back.

A codec belongs to an actor type: it knows the event types that the actor declares, by their stable names, and what the
actor says of older ones.

A recovery decodes many records, so there is a short way: the bytes of the manifest choose a decoder that reads the
whole record with its event at once, or all those of a page together, which takes half of the time. Whatever does not
fit it (another format or version, damage) goes the long way, which upcasts what is old, and knows how to name what is
wrong. So a current event pays nothing for the past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias

import msgspec

from perdure.errors import EventTypeError, UpcastError
from perdure.evolution import Document, Evolution, Lineage
from perdure.journal._event import AnyEvent, is_event_type, named
from perdure.journal._payload import (
    Decode,
    array_decoder,
    encoded,
    payload_decoder,
    payload_encoder,
    plain,
    told,
    whole_decoder,
)
from perdure.journal._record import (
    ENCODERS,
    Format,
    Record,
    RecordError,
    Stored,
    as_array,
    decode,
    intact_bodies,
    intact_body,
    manifest_bytes,
    short_manifest,
)

_NO_PAST = Evolution()


class Several(tuple[Any, ...]):
    """What one record holds if it is not one event: the events that it has become, in order, or none."""

    __slots__ = ()


_Writing: TypeAlias = tuple[str, int, Decode, Document | None]
"""How events of a type are written: manifest, version, what reads them back, and as what instead, if not as these."""


class _Short(NamedTuple):
    """The short way to read records of one name: those of a version, one at a time or as an array of them."""

    version: int
    one: Callable[[bytes], Stored[Any]]
    all: Callable[[bytes], list[Stored[Any]]]


class EventCodec:
    """Encodes and decodes the events of one actor type."""

    def __init__(
        self,
        owner: str,
        declared: Iterable[type[AnyEvent]],
        write: Format = "msgpack",
        evolution: Evolution = _NO_PAST,
    ) -> None:
        """Raise `EvolutionError` when what `evolution` says does not fit the declared types."""
        self._owner = owner
        self._declared = tuple(declared)
        self._evolution = evolution
        self._types: dict[str, type[Any]] = {}
        self._decoders: dict[tuple[str, Format], Decode] = {}
        self._short: dict[bytes, _Short] = {}
        self._format = write
        self._encode = ENCODERS[write]
        self._encode_payload = payload_encoder(write)
        self._writing: dict[type[Any], _Writing] = {}
        self.writes_older = False
        """True once an event was encoded in an older version than its own."""
        self._lineage = self._learn()

    @property
    def types(self) -> tuple[type[Any], ...]:
        """The declared types and their subclasses, as far as they are defined."""
        self._lineage = self._learn()
        return tuple(self._types.values())

    @property
    def lineage(self) -> Lineage:
        """What the actor says of older events."""
        return self._lineage

    def encode(self, event: AnyEvent, timestamp: int, metadata: dict[str, Any] | None = None) -> bytes:
        """Return the record of an event.

        Raises `EventTypeError` for an undeclared type, a value that cannot be encoded, and one that could not be read
        back, such as a text in a field of type int: it would be acknowledged, and lost with the next recovery.
        """
        kind = type(event)
        try:
            manifest, version, read_back, older = self._writing.get(kind) or self._learn_to_write(kind)
            payload = self._encode_payload(event)
            read_back(payload)
            if older is not None:
                return self._encode_older(manifest, payload, older, timestamp, metadata)
            return self._encode(manifest, version, timestamp, msgspec.Raw(payload), metadata)
        except EventTypeError:
            raise
        except msgspec.ValidationError as error:
            reason, cause = told(error)
            raise EventTypeError(f"{self._owner}: an event {kind.__name__} could not be read back: {reason}") from cause
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            reason, cause = told(error)
            raise EventTypeError(f"{self._owner}: an event {kind.__name__} cannot be encoded: {reason}") from cause

    def as_stored(self, records: Sequence[bytes]) -> Sequence[Any]:
        """Return events as their records give them back: not as they were, where an older version is written."""
        return [self.decode(record) for record in records]

    def _encode_older(
        self, manifest: str, payload: bytes, older: Document, timestamp: int, metadata: dict[str, Any] | None
    ) -> bytes:
        """Return the record of an event in an older version, one that gives an event when it is read."""
        what = f"{self._owner}: an event {manifest} cannot be written as {older.manifest} version {older.version}"
        try:
            content = self._lineage.downcast(manifest, plain(payload, self._format), older.version)
            raw = msgspec.Raw(encoded(content, self._format))
            record = self._encode(older.manifest, older.version, timestamp, raw, metadata)
            self.decode(record)
        except RecordError as error:
            raise EventTypeError(f"{what}: it could not be read back: {error}") from error
        except Exception as error:
            reason, cause = told(error)
            raise EventTypeError(f"{what}: {type(error).__name__}: {reason}") from cause
        return record

    def _learn_to_write(self, kind: type[Any]) -> _Writing:
        """Return how a type is written. Raises `EventTypeError` for a type that is not declared."""
        if not is_event_type(kind):
            text = f"{self._owner} persists events, such as subclasses of perdure.Event, not {kind.__name__}"
            raise EventTypeError(text)
        manifest, version = named(kind)
        if self._types.get(manifest) is not kind:
            self._lineage = self._learn()
            if self._types.get(manifest) is not kind:
                raise EventTypeError(f"{self._owner} does not declare {kind.__name__}; it declares {self._names()}")
        older = self._lineage.written_as(manifest)
        self.writes_older |= older is not None
        writing = self._writing[kind] = (manifest, version, payload_decoder(kind, self._format), older)
        return writing

    def knows(self, manifest: str) -> bool:
        """Tell whether events of this name can be read: they are declared, or there is word of what they became."""
        if not self._lineage.knows(self._lineage.current_name(manifest)):
            self._lineage = self._learn()
        return self._lineage.knows(self._lineage.current_name(manifest))

    def decode(self, data: bytes) -> Any:
        """Return the event of a record, or `Several`. Raises `RecordError` saying what is wrong."""
        short = self._short.get(manifest_bytes(data))
        if short is not None and (body := intact_body(data)) is not None:
            try:
                stored = short.one(body)
            except Exception:  # a type's own validation may raise anything
                pass
            else:
                if stored.version == short.version:
                    return stored.payload
        return self._decode_slowly(data)

    def decode_all(self, data: bytes) -> Sequence[Any]:
        """Return the events of a record, mostly one. Raises `RecordError` saying what is wrong."""
        event = self.decode(data)
        return event if type(event) is Several else (event,)

    def decode_together(self, entries: Sequence[tuple[int, bytes]]) -> list[Any] | None:
        """Return the events of records under their keys, in less time than one by one, or None if that cannot be.

        It can where each is of a name that was decoded before, and goes the short way.
        """
        bodies = intact_bodies(entries)
        if not bodies:
            return bodies
        manifest = manifest_bytes(entries[0][1])
        start = bodies[0][: 1 + len(manifest)]
        if all(body.startswith(start) for body in bodies):
            return self._decode_array(manifest, bodies)
        places: dict[bytes, list[int]] = {}
        for place, (_, data) in enumerate(entries):
            places.setdefault(manifest_bytes(data), []).append(place)
        events: list[Any] = [None] * len(bodies)
        for manifest, own in places.items():
            decoded = self._decode_array(manifest, [bodies[place] for place in own])
            if decoded is None:
                return None
            for place, event in zip(own, decoded, strict=True):
                events[place] = event
        return events

    def _decode_array(self, manifest: bytes, bodies: list[bytes]) -> list[Any] | None:
        short = self._short.get(manifest)
        if short is None:
            return None
        try:
            records = short.all(as_array(bodies))
        except Exception:  # a type's own validation may raise anything
            return None
        if {stored.version for stored in records} != {short.version}:
            return None
        return [stored.payload for stored in records]

    def _decode_slowly(self, data: bytes) -> Any:
        record, format = decode(data)
        manifest = self._lineage.current_name(record.manifest)
        if not self._lineage.knows(manifest):
            self._lineage = self._learn()
        if self._lineage.is_read_as_it_is(manifest, record.version):
            if format == "msgpack":
                self._take_the_short_way(record.manifest, self._types[manifest])
            return self._typed(Document(manifest, record.version, record.payload), format, title(record))
        events = Several(
            self._typed(document, format, f"{title(record)}, read as {document.manifest} version {document.version},")
            for document in self._upcast(record, format)
        )
        return events[0] if len(events) == 1 else events

    def _upcast(self, record: Record, format: Format) -> list[Document]:
        """Return the documents that a record holds today, with their content encoded."""
        try:
            stored = Document(record.manifest, record.version, plain(record.payload, format))
            return [
                Document(now.manifest, now.version, encoded(now.content, format))
                for now in self._lineage.upcast(stored)
            ]
        except UpcastError as error:
            self._refuse(record, error)
        except Exception as error:
            raise RecordError(f"{title(record)} cannot be upcast: {error}") from error

    def _refuse(self, record: Record, error: UpcastError) -> NoReturn:
        """Say what is known of a record that no step makes a current one."""
        if not self._lineage.knows(self._lineage.current_name(record.manifest)):
            raise RecordError(
                f"an event of the unknown type {record.manifest!r}, version {record.version}; {self._owner} declares "
                f"{self._names()}: is the program too old, or does its `evolution` not say what became of the type?"
            ) from error
        is_of_record = (error.what, error.version) == (f"event {record.manifest}", record.version)
        raise RecordError(f"{title(record)} cannot be read: {error.reason if is_of_record else error}") from error

    def _typed(self, document: Document, format: Format, title: str) -> Any:
        """Return the event of an encoded document of a declared type."""
        place = (document.manifest, format)
        try:
            decode_payload = self._decoders.get(place)
            if decode_payload is None:
                decode_payload = self._decoders[place] = payload_decoder(self._types[document.manifest], format)
            return decode_payload(document.content)
        except Exception as error:
            reason, cause = told(error)
            raise RecordError(f"{title} does not decode: {reason}") from cause

    def _take_the_short_way(self, manifest: str, kind: type[Any]) -> None:
        """Read the next record of this name at once, if it is of the current version."""
        short = short_manifest(manifest)
        if short is not None and short not in self._short:
            self._short[short] = _Short(named(kind).version, whole_decoder(kind), array_decoder(kind))

    def _learn(self) -> Lineage:
        """Note the declared types and their subclasses, which may be defined later than the actor."""
        for kind in _with_subclasses(self._declared):
            other = self._types.setdefault(named(kind).manifest, kind)
            if other is not kind:
                raise EventTypeError(
                    f"{self._owner} declares two event types named {named(kind).manifest!r}, {other!r} and {kind!r}: "
                    f"give one of them another manifest"
                )
        versions = {manifest: named(kind).version for manifest, kind in self._types.items()}
        return self._evolution.of_events(self._owner, versions)

    def _names(self) -> str:
        return ", ".join(sorted(self._types)) or "none"


def title(record: Record) -> str:
    """Return what errors call the event of a record."""
    return f"an event {record.manifest} of version {record.version}"


def _with_subclasses(kinds: Iterable[type[Any]]) -> Iterator[type[Any]]:
    for kind in kinds:
        yield kind
        yield from _with_subclasses(_finished(kind.__subclasses__()))


def _finished(kinds: Sequence[type[Any]]) -> list[type[Any]]:
    """Leave out the classes from which `@dataclass(slots=True)` has made others of the same name."""
    made_anew = {(kind.__module__, kind.__qualname__) for kind in kinds if "__slots__" in vars(kind)}
    return [
        kind for kind in kinds if "__slots__" in vars(kind) or (kind.__module__, kind.__qualname__) not in made_anew
    ]
