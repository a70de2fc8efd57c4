"""The records of the sealing itself, such as the keys of subjects: always sealed, also while others may be plain."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from perdure.errors import RecordAltered
from perdure.security._layout import is_sealed, plain_body, plain_record
from perdure.security._seal import Seal

T = TypeVar("T")


def sealed(seal: Seal, number: int, value: Any) -> bytes:
    """Return the sealed record of a value."""
    return seal.seal(number, plain_record(msgspec.msgpack.encode(value)))


def opened(seal: Seal, name: str, number: int, data: bytes, kind: type[T]) -> T:
    """Return the value of a record under a stored name.

    Raises what `Seal.open` raises; `RecordAltered` for one that is not sealed, for who puts it there would choose the
    keys of all the rest, and for what is of another form.
    """
    _check_sealed(name, number, data)
    try:
        return msgspec.msgpack.decode(plain_body(seal.open(number, data)), type=kind)
    except msgspec.MsgspecError:
        raise RecordAltered(name, number, "it has a form that is unknown to this version of perdure") from None


def renewed(seal: Seal, name: str, number: int, data: bytes) -> bytes | None:
    """Return a record sealed with what is active now, None if it is already. Raises what `opened` raises."""
    _check_sealed(name, number, data)
    return seal.renewed(number, data, chained=False)


def _check_sealed(name: str, number: int, data: bytes) -> None:
    if not is_sealed(data):
        raise RecordAltered(name, number, "it is a key that is not sealed, so anybody may have put it here: restore it")
