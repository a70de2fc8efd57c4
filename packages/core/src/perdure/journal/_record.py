"""The bytes of a stored event or state.

MessagePack, the default::

    byte 0      format version, 1
    byte 1      flags: 1 compressed, 2 sealed, for which see `perdure.security`
    bytes 2-5   CRC-32 (zlib) of all that follows, big-endian
    bytes 6-    a MessagePack array: manifest, schema version, timestamp, payload, metadata or nil

Compressed, as large snapshots are, the array is replaced by one byte for the algorithm (1 zstd, 2 gzip), its size in
four bytes, big-endian, and its compressed bytes.

JSON, for people who query the table with SQL, is one JSON object, known by its first byte::

    {"crc":"8 hex digits","manifest":…,"version":…,"timestamp":…,"payload":…,"metadata":…}

whose CRC-32 is of the object without the `crc` member. Timestamps are microseconds since 1970 in UTC; nothing is
ordered by them. Either form is read whatever the system writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from zlib import crc32

import msgspec

from perdure.journal._compression import Compression, CompressionError, decompress

P = TypeVar("P")
Format: TypeAlias = Literal["msgpack", "json"]

_HEADER = b"\x01\x00"
_COMPRESSED = b"\x01\x01"
_PLAIN_START = 0x0100
_STARTS = frozenset([_PLAIN_START, 0x0101])
_unpack_header = Struct(">HI").unpack_from
_JSON_START = b'{"crc":"'
_JSON_BODY = len(_JSON_START) + 10  # eight digits, a quote and a comma


class RecordError(ValueError):
    """The bytes are no record that this version understands; the text says why."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record whose payload is not decoded yet."""

    manifest: str
    version: int
    timestamp: int
    payload: msgspec.Raw
    metadata: dict[str, Any] | None = None


class Stored(msgspec.Struct, Generic[P], frozen=True, array_like=True, gc=False):
    """A record of which the type of the payload is known."""

    manifest: str
    version: int
    timestamp: int
    payload: P
    metadata: dict[str, Any] | None = None


class _JsonRecord(msgspec.Struct, frozen=True, gc=False):
    manifest: str
    version: int
    timestamp: int
    payload: Any
    metadata: dict[str, Any] | None = None


class _JsonRecordRead(msgspec.Struct, frozen=True, gc=False):
    manifest: str
    version: int
    timestamp: int
    payload: msgspec.Raw
    metadata: dict[str, Any] | None = None


_encode_msgpack = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode_msgpack = msgspec.msgpack.Decoder(Record).decode
_decode_array = msgspec.msgpack.Decoder(list[Record]).decode
_decode_json = msgspec.json.Decoder(_JsonRecordRead).decode

Encode: TypeAlias = Callable[[str, int, int, object, dict[str, Any] | None], bytes]


def encode_msgpack(
    manifest: str, version: int, timestamp: int, payload: object, metadata: dict[str, Any] | None = None
) -> bytes:
    """Return a MessagePack record. Raises what msgspec raises for a payload that it cannot encode."""
    body = _encode_msgpack((manifest, version, timestamp, payload, metadata))
    return _HEADER + crc32(body).to_bytes(4, "big") + body


def encode_json(
    manifest: str, version: int, timestamp: int, payload: object, metadata: dict[str, Any] | None = None
) -> bytes:
    """Return a JSON record. Raises what msgspec raises for a payload that it cannot encode."""
    body = _encode_json(_JsonRecord(manifest, version, timestamp, payload, metadata))
    return b'%s%08x",%s' % (_JSON_START, crc32(body), body[1:])


PAYLOAD_ENCODERS: dict[Format, Callable[[object], bytes]] = {"msgpack": _encode_msgpack, "json": _encode_json}
ENCODERS: dict[Format, Encode] = {"msgpack": encode_msgpack, "json": encode_json}


def compressed(record: bytes, compression: Compression) -> bytes:
    """Return a MessagePack record with its body compressed, where that is worth it; others as they are."""
    body = compression.compress(record[6:]) if record[:2] == _HEADER else None
    return record if body is None else _COMPRESSED + crc32(body).to_bytes(4, "big") + body


def decode(data: bytes) -> tuple[Record, Format]:
    """Return a record and the format of its payload. Raises `RecordError`."""
    start, checksum = _unpack_header(data) if len(data) > 6 else (0, 0)
    if start in _STARTS:
        if crc32(body := data[6:]) != checksum:
            raise RecordError("the checksum does not match: the record is damaged")
        try:
            return _decode_msgpack(body if start == _PLAIN_START else decompress(body)), "msgpack"
        except (msgspec.MsgspecError, CompressionError) as error:
            raise RecordError(f"the record is no perdure record: {error}") from error
    if data[:1] == b"{":
        return _read_json(data), "json"
    raise RecordError(_why_unknown(data))


def decode_intact(data: bytes) -> tuple[Record, Format]:
    """Return what `decode` does of a record that `is_intact` has found to be so. Raises `RecordError`."""
    return (decode_body(data[6:]), "msgpack") if data[:2] == _HEADER else decode(data)


def decode_body(body: bytes) -> Record:
    """Return the record of what follows the header of a MessagePack record. Raises `RecordError`."""
    try:
        return _decode_msgpack(body)
    except msgspec.MsgspecError as error:
        raise RecordError(f"the record is no perdure record: {error}") from error


def decoded_plain(entries: Iterable[tuple[int, bytes]]) -> list[Record] | None:
    """Return all of these records, read together, which takes less time; None if any is not a whole plain one."""
    bodies = intact_bodies(entries)
    try:
        return None if bodies is None else _decode_array(as_array(bodies))
    except msgspec.MsgspecError:
        return None


def intact_bodies(entries: Iterable[tuple[int, bytes]]) -> list[bytes] | None:
    """Return what follows the headers of MessagePack records; None if any is none, or its checksum is wrong."""
    bodies = []
    for _, data in entries:
        start, checksum = _unpack_header(data) if len(data) > 6 else (0, 0)
        if start != _PLAIN_START or crc32(body := data[6:]) != checksum:
            return None
        bodies.append(body)
    return bodies


def as_array(bodies: Sequence[bytes]) -> bytes:
    """Return MessagePack values as one array of them."""
    return b"\xdd%s%s" % (len(bodies).to_bytes(4, "big"), b"".join(bodies))


def timestamp_of(record: bytes) -> int:
    """Return when a record was made, in microseconds since 1970. Raises `RecordError`."""
    return decode(record)[0].timestamp


def intact_body(data: bytes) -> bytes | None:
    """Return what follows the header of a MessagePack record, or None if there is none or its checksum is wrong."""
    body = data[6:]
    if data[:2] != _HEADER or crc32(body) != int.from_bytes(data[2:6], "big"):
        return None
    return body


def is_intact(data: bytes) -> bool:
    """Tell whether a record is a plain one, neither compressed nor sealed, and its checksum is right."""
    return intact_body(data) is not None or (data[:1] == b"{" and _json_body(data) is not None)


def are_intact(records: Iterable[bytes]) -> bool:
    """Tell whether `is_intact` holds for each of these records, which takes less time than to ask for one by one."""
    for data in records:
        start, checksum = _unpack_header(data) if len(data) > 6 else (0, 0)
        if (start != _PLAIN_START or crc32(data[6:]) != checksum) and not is_intact(data):
            return False
    return True


def manifest_bytes(data: bytes) -> bytes:
    """Return the bytes at which a MessagePack record's manifest stands, if it has up to 31 bytes."""
    return data[7 : 8 + (data[7] & 0x1F)] if len(data) > 7 else b""


def short_manifest(manifest: str) -> bytes | None:
    """Return what `manifest_bytes` gives for a manifest, or None for one of more than 31 bytes."""
    encoded = _encode_msgpack(manifest)
    return encoded if len(encoded) <= 32 else None


def _json_body(data: bytes) -> bytes | None:
    body = b"{" + data[_JSON_BODY:]
    if data[: len(_JSON_START)] != _JSON_START or data[len(_JSON_START) : _JSON_BODY] != b'%08x",' % crc32(body):
        return None
    return body


def _read_json(data: bytes) -> Record:
    body = _json_body(data)
    if body is None:
        raise RecordError("the checksum does not match: the record is damaged")
    try:
        read = _decode_json(body)
    except msgspec.MsgspecError as error:
        raise RecordError(f"the record is no perdure record: {error}") from error
    return Record(read.manifest, read.version, read.timestamp, read.payload, read.metadata)


def _why_unknown(data: bytes) -> str:
    if len(data) < 7:
        return f"the record has {len(data)} bytes, fewer than its header"
    if data[0] != _HEADER[0]:
        return f"the record has format version {data[0]}, unknown to this version of perdure, or is damaged"
    if data[1] & 2:
        return "the record is sealed, and there are no keys: give the system, or what reads its store, sealing=…"
    return f"the record has flags {data[1]:#04x}, unknown to this version of perdure, or is damaged"
