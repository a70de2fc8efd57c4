"""What the objects of a persistence id are called.

Each id has a folder, in it an object for each snapshot: `=41ccount=2falice/00000000000000000100.snapshot`. All of a-z,
0-9, `-` and `_` stands for itself, every other byte of the id in UTF-8 is `=` and two hexadecimal digits; so no two ids
share a folder where case does not count, none lies inside another's, and none is a path that leads elsewhere. An id
that would be longer than file systems and buckets allow ends with `==` and its SHA-256; the object itself says the
whole of it.
"""

from __future__ import annotations

import re
from hashlib import sha256

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))])
_LONGEST = 160
_KEPT = 80
_NAME = re.compile(r"(\d{20})\.snapshot")


def folder_of(persistence_id: str) -> str:
    """Return the name of an id's folder: at most 160 bytes of ASCII without `/`, different for every id."""
    escaped = "".join(chr(byte) if byte in _PLAIN else f"={byte:02x}" for byte in persistence_id.encode())
    if escaped in _DEVICES:  # Windows opens a device
        return f"={ord(escaped[0]):02x}{escaped[1:]}"
    if len(escaped) <= _LONGEST:
        return escaped
    beginning = re.sub("=[0-9a-f]?$", "", escaped[:_KEPT])
    return f"{beginning}=={sha256(persistence_id.encode()).hexdigest()}"


def name_of(sequence_number: int) -> str:
    """Return the name of a snapshot in its folder."""
    return f"{sequence_number:020d}.snapshot"


def number_of(name: str) -> int | None:
    """Return the sequence number in the name of a snapshot, or None for what has another name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match is not None else None
