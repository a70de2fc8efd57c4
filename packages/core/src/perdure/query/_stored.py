"""An event as it is stored, and how it is made of a record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from perdure.errors import CorruptionError
from perdure.journal import EVENTS, EventCodec, RecordError, epoch_of, hidden_id_of, tags_of
from perdure.journal._record import Format, Record, decode
from perdure.persistence import PersistentActor
from perdure.persistence._custody import own_sealing
from perdure.persistence._definition import Definition
from perdure.query._offset import Place
from perdure.security import Vault

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoredEvent(msgspec.Struct, frozen=True):
    """An event with what was stored about it."""

    persistence_id: str
    sequence_number: int
    timestamp: datetime
    """When it was persisted, in UTC, by the clock of who persisted it. Nothing is ordered by it."""
    tags: tuple[str, ...]
    manifest: str
    """The name under which the event's type is stored."""
    version: int
    """The version of its schema that was stored."""
    epoch: int
    """The epoch by which the owner that persisted it had claimed the actor; 0 without claims. It never goes down."""
    event: Any
    """The event; for an actor type that the query was not given, the stored document."""


class FeedEvent(StoredEvent, frozen=True):
    """A stored event and its place among all."""

    _place: Place

    @property
    def offset(self) -> str:
        """Where to go on behind this event: give it to the same method of any `Query` of this store as `after`.

        Opaque, and good in other processes. It is short for the last event of a page that was read, and names
        the events of the page that have been given for the others; it is made when it is asked for.
        """
        return self._place.offset()


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A record, read so far that its tags are known."""

    persistence_id: str
    sequence_number: int
    record: Record
    format: Format
    data: bytes
    tags: tuple[str, ...]

    def facts(self) -> tuple[str, int, datetime, tuple[str, ...], str, int, int]:
        """Return what a `StoredEvent` says of an event beside the event."""
        record = self.record
        place = self.persistence_id, self.sequence_number, instant(record.timestamp)
        return *place, self.tags, record.manifest, record.version, epoch_of(record.metadata)


def instant(timestamp: int) -> datetime:
    """Return the time of a record."""
    return _EPOCH + timedelta(microseconds=timestamp)


def opened(vault: Vault, name: str, sequence_number: int, data: bytes, *, collection: str = EVENTS) -> Stored:
    """Return a record without its event. Raises `CorruptionError`, `SubjectForgotten`."""
    data = vault.opened(collection, name, sequence_number, data)
    try:
        record, format = decode(data)
    except RecordError as error:
        raise CorruptionError(name, sequence_number, str(error)) from error
    persistence_id = hidden_id_of(record.metadata) or name
    return Stored(persistence_id, sequence_number, record, format, data, tags_of(record.metadata))


class Types:
    """The actor types whose events a query knows."""

    def __init__(self, actor_types: Iterable[type[PersistentActor[Any, Any]]], vault: Vault) -> None:
        self._codecs: dict[str, EventCodec] = {}
        self._chosen: dict[tuple[str, str], EventCodec | None] = {}
        for kind in actor_types:
            if not (isinstance(kind, type) and issubclass(kind, PersistentActor)):
                raise TypeError(f"a query reads the events of PersistentActor classes, not of {kind!r}")
            if kind.type_name in self._codecs:
                raise ValueError(f"two actor types are named {kind.type_name!r}: give the query one of them")
            self._codecs[kind.type_name] = Definition(kind, "msgpack").events
            own_sealing(vault, kind)

    def events(self, stored: Stored) -> Sequence[Any]:
        """Return the events of a record, or the document in it if its actor type is unknown. Raises `CorruptionError`.

        The type is that whose name begins the persistence id, if it declares an event of this name; or else the only
        one that does.
        """
        try:
            codec = self._codec(stored.persistence_id.partition("/")[0], stored.record.manifest)
            if codec is None:
                return (_document(stored),)
            return codec.decode_all(stored.data)
        except RecordError as error:
            raise CorruptionError(stored.persistence_id, stored.sequence_number, str(error)) from error

    def _codec(self, type_name: str, manifest: str) -> EventCodec | None:
        key = (type_name, manifest)
        if key not in self._chosen:
            self._chosen[key] = self._choose(type_name, manifest)
        return self._chosen[key]

    def _choose(self, type_name: str, manifest: str) -> EventCodec | None:
        own = self._codecs.get(type_name)
        if own is not None and own.knows(manifest):
            return own
        others = [codec for codec in self._codecs.values() if codec.knows(manifest)]
        return others[0] if len(others) == 1 else own  # which says why it cannot decode it


def _document(stored: Stored) -> Any:
    payload = stored.record.payload
    try:
        return msgspec.json.decode(payload) if stored.format == "json" else msgspec.msgpack.decode(payload)
    except (msgspec.MsgspecError, ValueError) as error:
        raise RecordError(f"its payload cannot be read: {error}") from error
