"""The lines of the file: JSON objects with one field, which names what the line is. Values are base64.

A write is `{"put":{"collection":"events","prefix":"alice","key":1,"value":"AAEC"}}`, the end of a commit
`{"commit":{"start":20,"crc":2771362431}}`.
"""

from __future__ import annotations

from typing import get_args, get_type_hints

import msgspec

from perdure.abc import Delete, DeleteRange, DeleteState, Purge, PurgeState, Put, PutState, Replace, Write
from perdure.errors import StoreError

MAX_VALUE_BYTES = 64 * 1024 * 1024


class Commit(msgspec.Struct, frozen=True):
    """The end of a commit: the offset of its first line, and the CRC-32 of all lines before this one."""

    start: int
    crc: int


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line: one of its fields is set."""

    put: Put | None = None
    replace: Replace | None = None
    delete: Delete | None = None
    delete_range: DeleteRange | None = None
    purge: Purge | None = None
    put_state: PutState | None = None
    delete_state: DeleteState | None = None
    purge_state: PurgeState | None = None
    commit: Commit | None = None


_FIELDS: dict[type, str] = {get_args(kind)[0]: name for name, kind in get_type_hints(_Line).items()}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


def encoded(record: Write | Commit) -> bytes:
    """Return the line. Raises `StoreError` when a value is over the limit."""
    if type(value := value_of(record)) is not bytes:  # JSON would take a text, and not give it back
        raise TypeError(f"a value is bytes, not {type(value).__name__}")
    if len(value) > MAX_VALUE_BYTES:
        raise StoreError("commit", f"a value of {len(value):,} bytes is over {MAX_VALUE_BYTES:,}")
    return _encode({_FIELDS[type(record)]: record}) + b"\n"


def decoded(line: bytes) -> Write | Commit | None:
    """Return what a line says, or None when it is no whole line of ours."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = _decode(line)
    except msgspec.DecodeError:
        return None
    return next((value for name in _FIELDS.values() if (value := getattr(record, name)) is not None), None)


def value_of(record: Write | Commit) -> bytes:
    """Return the value that a record holds; of one that holds none, no bytes."""
    return record.value if isinstance(record, Put | PutState | Replace) else b""
