"""What an object holds: the record of a snapshot, and enough to see that it is all of it and in its place.

Seven bytes `perdure`, one of the version of this format, the SHA-256 of all that follows; then, big-endian, the length
of the persistence id in two bytes, the sequence number and the length of the record in eight each; the id in UTF-8, and
the record.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct

_MAGIC = b"perdure"
_VERSION = 1
_HEAD = Struct(">7sB32s")
_PLACE = Struct(">HQQ")
_BEGIN = _HEAD.size + _PLACE.size


class WrongObjectError(Exception):
    """An object is not the snapshot that its name says; the text is the reason."""


def wrap(persistence_id: str, sequence_number: int, record: bytes) -> bytes:
    """Return the bytes of an object for a record."""
    identity = persistence_id.encode()
    place = _PLACE.pack(len(identity), sequence_number, len(record)) + identity
    digest = sha256(place)
    digest.update(record)
    return b"".join((_HEAD.pack(_MAGIC, _VERSION, digest.digest()), place, record))


def unwrap(persistence_id: str, sequence_number: int, body: bytes) -> bytes:
    """Return the record in an object. Raises `WrongObjectError`."""
    if len(body) < _BEGIN:
        raise WrongObjectError(f"it has {len(body)} bytes, and no snapshot has so few")
    magic, version, digest = _HEAD.unpack_from(body)
    if magic != _MAGIC:
        raise WrongObjectError("it is no snapshot of perdure")
    if version != _VERSION:
        raise WrongObjectError(f"it is in version {version} of the format, and this perdure reads version {_VERSION}")
    id_size, number, size = _PLACE.unpack_from(body, _HEAD.size)
    begin = _BEGIN + id_size
    if len(body) != begin + size:
        raise WrongObjectError(f"it has {len(body):,} of {begin + size:,} bytes")
    if sha256(memoryview(body)[_HEAD.size :]).digest() != digest:
        raise WrongObjectError("its checksum is wrong")
    if body[_BEGIN:begin] != persistence_id.encode():
        raise WrongObjectError("it is a snapshot of another persistence id")
    if number != sequence_number:
        raise WrongObjectError(f"it is the snapshot at {number}")
    return body[begin:]
