"""How names, prefixes and numbers become RocksDB's keys, in an order that is theirs.

    entries   name NUL prefix NUL key        -> position, value
    feed      name NUL position              -> prefix NUL key
    states    name NUL prefix                -> version, whether there is a value, value

Numbers have eight bytes, the most significant first, so bytes sort as numbers do. Names and prefixes are UTF-8, which
sorts by code point, and have no NUL, so NUL ends them, sorts below all that could follow, and no key begins like that
of another prefix. What comes behind everything of a text begins with the text and a 1.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from perdure.abc import MAX_KEY

_NUMBER = Struct(">Q")
_STATE = Struct(">Q?")

number = _NUMBER.pack
"""Eight bytes that sort as the number does."""

NUMBER_BYTES = _NUMBER.size
STATE_BYTES = _STATE.size
_TAIL = NUMBER_BYTES + 1


class Range(NamedTuple):
    """Keys from `start` to before `stop`."""

    start: bytes
    stop: bytes


def log(name: str, prefix: str) -> bytes:
    """Return what the keys of all entries of a prefix begin with, and no other's."""
    return b"%b\0%b\0" % (name.encode(), prefix.encode())


def all_of(name: str) -> bytes:
    """Return what the keys of all entries of a collection begin with, and no other's."""
    return name.encode() + b"\0"


def entry(name: str, prefix: str, key: int) -> bytes:
    """Return the key of an entry."""
    return log(name, prefix) + number(key)


def log_range(name: str, prefix: str, start: int, stop: int) -> Range:
    """Return the range of the entries with `start <= key < stop`."""
    base = log(name, prefix)
    return Range(base + number(min(max(start, 0), MAX_KEY + 1)), base + number(min(max(stop, 0), MAX_KEY + 1)))


def behind_name(name: str) -> bytes:
    """Return what is greater than all keys of a collection, in `entries` and in `feed`, and than no other's above."""
    return name.encode() + b"\1"


def behind(name: str, prefix: str) -> bytes:
    """Return the least key of an entry whose prefix is greater than a text, which need not be a valid prefix."""
    return b"%b\0%b\1" % (name.encode(), prefix.partition("\0")[0].encode("utf-8", "surrogatepass"))


def feed(name: str, position: int) -> bytes:
    """Return the key of a place in a collection's feed."""
    return b"%b\0%b" % (name.encode(), number(position))


def state(name: str, prefix: str) -> bytes:
    """Return the key of a state."""
    return b"%b\0%b" % (name.encode(), prefix.encode())


def number_at_end(key: bytes) -> int:
    """Return the number that a key of an entry, or of a feed, ends with."""
    return int.from_bytes(key[-NUMBER_BYTES:], "big")


def number_at_start(value: bytes) -> int:
    """Return the position that an entry begins with."""
    return int.from_bytes(value[:NUMBER_BYTES], "big")


def prefix_of(name: str, key: bytes) -> str:
    """Return the prefix of an entry's key."""
    return key[len(name) + 1 : -_TAIL].decode()


def numbers_at_end(found: list[bytes]) -> list[int]:
    """Return the number that each of these keys ends with."""
    return [int.from_bytes(key[-NUMBER_BYTES:], "big") for key in found]


def prefixes_of(name: str, found: list[bytes]) -> list[str]:
    """Return the prefix of each of these keys of entries."""
    begin = len(name) + 1
    return [key[begin:-_TAIL].decode() for key in found]


def pack_state(version: int, value: bytes | None) -> bytes:
    """Return what is stored of a state; a state without a value still has its version."""
    return _STATE.pack(version, value is not None) + (value or b"")


def unpack_state(stored: bytes) -> tuple[int, bytes | None]:
    """Return a state's version and value."""
    version, present = _STATE.unpack_from(stored)
    return version, stored[STATE_BYTES:] if present else None
