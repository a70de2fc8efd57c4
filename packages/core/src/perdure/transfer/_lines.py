"""A store as lines of JSON, as `docs/moving-stores.md` has them: to be read, and to be read back byte for byte.

What counts is the record in base64. What is beside it is for readers, and is not looked at where there is a record:
JSON has no form for all that MessagePack has, and to compare both would take longer than to write them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from perdure.abc import FeedRecord, check_key, check_name, check_prefix
from perdure.errors import InvalidIdentifier
from perdure.journal import RecordError, tags_of
from perdure.journal._record import decode_intact, encode_msgpack
from perdure.security import is_sealed
from perdure.transfer._damage import problem_of
from perdure.transfer._parts import Part, Records, Removal, Removals, Value, Values

FORMAT = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Open = Callable[[str, FeedRecord], bytes | None]
"""Returns a record as it was before it was sealed, None where it cannot be opened."""


class LineError(ValueError):
    """A line that cannot be what it says; the text says why."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    perdure: str = "export"
    format: int = FORMAT
    made: datetime


class EntryLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An entry of a collection."""

    collection: str
    id: str
    number: int
    sealed: bool = False
    time: datetime | None = None
    manifest: str | None = None
    version: int | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    record: bytes | None = None


class StateLine(msgspec.Struct, frozen=True, gc=False):
    """A state."""

    state: str
    id: str
    version: int
    value: bytes


class RemovedLine(msgspec.Struct, frozen=True, gc=False):
    """What a log has no more."""

    removed: str
    id: str
    below: int


class End(msgspec.Struct, frozen=True):
    """How many lines are before the last one, and the digest of their bytes."""

    lines: int
    sha256: str


class EndLine(msgspec.Struct, frozen=True):
    """The last line."""

    end: End


def _unknown(value: Any) -> Any:
    """Return what JSON can say of a value that it has no form for."""
    if isinstance(value, msgspec.msgpack.Ext):
        return {"code": value.code, "data": bytes(value.data)}
    raise NotImplementedError(f"JSON has no form for {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_unknown)
_unpacked = msgspec.msgpack.Decoder().decode
_ANY: dict[bytes, msgspec.json.Decoder[Any]] = {
    b'{"collection"': msgspec.json.Decoder(EntryLine),
    b'{"state"': msgspec.json.Decoder(StateLine),
    b'{"removed"': msgspec.json.Decoder(RemovedLine),
    b'{"end"': msgspec.json.Decoder(EndLine),
    b'{"perdure"': msgspec.json.Decoder(Head),
}
Line = EntryLine | StateLine | RemovedLine | EndLine | Head


class Digest:
    """Counts lines, and knows the digest of their bytes."""

    def __init__(self) -> None:
        self.lines = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes, lines: int) -> None:
        """Go on with some whole lines."""
        self.lines += lines
        self._hash.update(data)

    @property
    def end(self) -> End:
        return End(self.lines, self._hash.hexdigest())


def first_line(made: datetime) -> bytes:
    return _encoder.encode_lines([Head(made=made)])


def last_line(end: End) -> bytes:
    return _encoder.encode_lines([EndLine(end)])


def lines_of(part: Part, opened: Open) -> tuple[bytes, int]:
    """Return the lines of a part, and how many they are."""
    lines: Sequence[Any]
    match part:
        case Records(collection, records):
            lines = [_entry(collection, record, opened) for record in records]
        case Values(values):
            lines = [StateLine(*value) for value in values]
        case Removals(removals):
            lines = [RemovedLine(*removal) for removal in removals]
    return _encoder.encode_lines(lines), len(lines)


def _entry(collection: str, record: FeedRecord, opened: Open) -> EntryLine:
    """Return the line of a record of which the checksum was looked at."""
    name, number, data = record
    plain: bytes | None = data
    if sealed := is_sealed(data):
        plain = opened(collection, record)
    if plain is None:
        return EntryLine(collection, name, number, sealed, record=data)
    try:
        read, form = decode_intact(plain)
        payload = read.payload if form == "json" else _json_of(read.payload)
        time = datetime.fromtimestamp(read.timestamp / 1_000_000, UTC)
    except (RecordError, msgspec.MsgspecError, ValueError, OverflowError):  # of a form that others have put there
        return EntryLine(collection, name, number, sealed, record=data)
    tags: tuple[str, ...] = ()
    metadata = read.metadata
    if metadata is not None:
        tags, metadata = tags_of(metadata), _but_tags(metadata)
    return EntryLine(collection, name, number, sealed, time, read.manifest, read.version, tags, metadata, payload, data)


def _json_of(payload: msgspec.Raw) -> msgspec.Raw | msgspec.UnsetType:
    """Return a payload as JSON, nothing where that has no form for it."""
    try:
        return msgspec.Raw(_encoder.encode(_unpacked(payload)))
    except (TypeError, ValueError, NotImplementedError):
        return msgspec.UNSET


def _but_tags(metadata: dict[str, Any]) -> dict[str, Any] | None:
    return {key: value for key, value in metadata.items() if key != "tags"} or None


def line_of(data: bytes) -> Line:
    """Return what a line says. Raises `LineError`."""
    decoder = _ANY.get(data[: data.find(b":")]) or _decoder_of(data)
    try:
        line: Line = decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise LineError(f"it cannot be read: {error}") from None
    return line


def _decoder_of(data: bytes) -> msgspec.json.Decoder[Any]:
    """Return what reads a line of which the names are in another order, or with spaces between."""
    try:
        names = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise LineError(f"it is no line of JSON: {error}") from None
    for name in ("collection", "state", "removed", "end", "perdure"):
        if name in names:
            return _ANY[b'{"%s"' % name.encode()]
    raise LineError("it is an object of JSON, and says nothing of a store")


def entry_of(line: EntryLine) -> FeedRecord:
    """Return the entry of a line. Raises `LineError` for one that is damaged, or that no store can hold."""
    try:
        check_name(line.collection)
        record = FeedRecord(check_prefix(line.id), check_key(line.number), line.record or _made(line))
    except InvalidIdentifier as error:
        raise LineError(str(error)) from None
    if (problem := problem_of(record.value)) is not None:
        raise LineError(problem)
    return record


def _made(line: EntryLine) -> bytes:
    """Return the record of a line that only says what is in it."""
    if line.manifest is None or line.version is None or line.time is None or line.payload is msgspec.UNSET:
        raise LineError("it has no record: then it has to have time, manifest, version and payload")
    if line.time.tzinfo is None:
        raise LineError("its time is of no zone: write it in UTC, with Z behind it")
    metadata = {**({"tags": list(line.tags)} if line.tags else {}), **(line.metadata or {})}
    payload = msgspec.json.decode(line.payload)
    microseconds = (line.time - _EPOCH) // _MICROSECOND
    return encode_msgpack(line.manifest, line.version, microseconds, payload, metadata or None)


def value_of(line: StateLine) -> Value:
    """Return the state of a line. Raises `LineError` for what no store can hold."""
    try:
        return Value(check_name(line.state), check_prefix(line.id), line.version, line.value)
    except InvalidIdentifier as error:
        raise LineError(str(error)) from None


def removal_of(line: RemovedLine) -> Removal:
    """Return the removal of a line. Raises `LineError` for what no store can hold."""
    try:
        return Removal(check_name(line.removed), check_prefix(line.id), check_key(line.below))
    except InvalidIdentifier as error:
        raise LineError(str(error)) from None
