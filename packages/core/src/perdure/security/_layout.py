"""The bytes of a sealed record.

    byte 0        format version, 1, as of every record
    byte 1        flags: 2 sealed, always; 1 compressed before it was sealed; 4 a JSON record inside; 8 sealed with a
                  subject's key; 16 chained; 32 sealed again
    byte 2        suite: 1 AES-256-GCM, 2 XChaCha20-Poly1305
    bytes 3-4     version of the master key, big-endian; 0 for a subject's key
    bytes 5-8     fingerprint of that key
    bytes 9-12    CRC-32 (zlib) of the place, big-endian
    16 bytes      with flag 8: the handle of the subject
    32 bytes      with flag 16: the link of the record before, in the log
    32 bytes      with flag 32: the digest of the record as it was sealed first
    12 or 24      nonce, random
    the rest      ciphertext, and a tag of 16 bytes

The additional data is the *place*, followed by all that stands before the nonce. The place is::

    1 byte  length of the collection, and the collection
    2 bytes length of the persistence id as it is stored, big-endian, and that, in UTF-8
    8 bytes sequence number, big-endian; 0 for the state that `Light` keeps

So a record opens nowhere but where it was sealed, and with no bit of its header changed. The checksum of the place
protects nothing: it tells a record that was moved by mistake from one that was altered.

What is sealed of a MessagePack record is its body: all but its header and checksum. Of a JSON record it is all.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import NamedTuple
from zlib import crc32

FORMAT = 1
COMPRESSED, SEALED, JSON, SUBJECT, CHAINED, RESEALED = 1, 2, 4, 8, 16, 32
FIXED = 13
HANDLE_BYTES = 16
LINK_BYTES = 32
MOST_OVERHEAD = FIXED + HANDLE_BYTES + 2 * LINK_BYTES + 24 + 16

pack_number = Struct(">Q").pack
pack_header = Struct(">2s7sI").pack
"""Makes the first 13 bytes, of the first two, what stands of the key, and the checksum."""

_LINKED = SEALED | CHAINED
_KNOWN = COMPRESSED | SEALED | JSON | SUBJECT | CHAINED | RESEALED


HEADER_BYTES = {
    bytes((FORMAT, flags)): FIXED
    + (HANDLE_BYTES if flags & SUBJECT else 0)
    + (LINK_BYTES if flags & CHAINED else 0)
    + (LINK_BYTES if flags & RESEALED else 0)
    for flags in range(_KNOWN + 1)
    if flags & SEALED
}
"""How many bytes stand before the nonce, by the first two."""

LINKS = {
    beginning: (
        size,
        slice(start := FIXED + (HANDLE_BYTES if beginning[1] & SUBJECT else 0), start + LINK_BYTES)
        if beginning[1] & CHAINED
        else None,
        slice(size - LINK_BYTES, size) if beginning[1] & RESEALED else None,
    )
    for beginning, size in HEADER_BYTES.items()
}
"""The same, and where the link and the digest stand, if there are any."""

_OF_SUBJECTS = frozenset(beginning for beginning in HEADER_BYTES if beginning[1] & SUBJECT)

BEGINNINGS = {beginning[1]: beginning for beginning in HEADER_BYTES}
"""The first two bytes by the flags."""


_PLAIN = (bytes((FORMAT, 0)), bytes((FORMAT, COMPRESSED)))


class LayoutError(ValueError):
    """The bytes are no sealed record that this version understands; the text says why."""


class Header(NamedTuple):
    """What a sealed record says without a key."""

    flags: int
    suite: int
    key_version: int
    fingerprint: bytes
    check: int
    handle: bytes | None
    previous: bytes | None
    digest: bytes | None


@lru_cache(64)
def place_of(collection: str, name: str) -> bytes:
    """Return a place without its number."""
    kind, identity = collection.encode(), name.encode()
    return b"%c%s%s%s" % (len(kind), kind, len(identity).to_bytes(2, "big"), identity)


def is_sealed(data: bytes) -> bool:
    """Tell whether a record says that it is sealed, in any version of the format."""
    return len(data) > 1 and data[1] & SEALED != 0 and data[0] != 0x7B


def is_chained(data: bytes) -> bool:
    """Tell whether a record says that it is sealed, and carries the link of the one before."""
    return len(data) > 1 and data[1] & _LINKED == _LINKED and data[0] != 0x7B


def header_of(data: bytes) -> Header:
    """Return what stands before the nonce. Raises `LayoutError`."""
    previous, digest = links_in(data)
    flags = data[1]
    handle = data[FIXED : FIXED + HANDLE_BYTES] if flags & SUBJECT else None
    key_version = int.from_bytes(data[3:5], "big")
    check = int.from_bytes(data[9:13], "big")
    return Header(flags, data[2], key_version, data[5:9], check, handle, previous, digest)


def links_in(data: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the link and the digest that a sealed record carries, None for none. Raises `LayoutError`."""
    known = LINKS.get(data[:2])
    if known is None:
        raise LayoutError(
            f"a sealed record of format version {data[0]} with flags {data[1]:#04x}, unknown to this version of "
            f"perdure, or damaged"
        )
    size, previous, digest = known
    if len(data) < size:
        raise LayoutError(f"the record has {len(data)} bytes, fewer than its header of {size}")
    return None if previous is None else data[previous], None if digest is None else data[digest]


def handles_of(records: Iterable[bytes]) -> set[bytes]:
    """Return the handles of the subjects with whose keys records are sealed."""
    end = FIXED + HANDLE_BYTES
    return {data[FIXED:end] for data in records if data[:2] in _OF_SUBJECTS and len(data) >= end}


def plain_record(body: bytes, flags: int = 0) -> bytes:
    """Return the plain record of a body."""
    return _PLAIN[flags] + crc32(body).to_bytes(4, "big") + body


def plain_body(record: bytes) -> bytes:
    """Return all of a plain record but its header and checksum."""
    return record[6:]
