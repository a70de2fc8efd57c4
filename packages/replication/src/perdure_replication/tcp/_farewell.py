"""The last word on a connection."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from perdure_replication._generation import Number

Why: TypeAlias = Literal["closing", "linked", "superseded", "taken"]


class Farewell(msgspec.Struct, frozen=True, array_like=True):
    """Why nothing more is said.

    `closing`: this node closes. `linked`: another connection is the link. `superseded`: a later process has the peer's
    name. `taken`: a living process of a greater incarnation has it.
    """

    why: Why
    incarnation: Number = 0
    """Of the process that has the name now."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Farewell).decode


def farewell(why: Why, incarnation: int = 0) -> bytes:
    """Return a last word."""
    return _encode(Farewell(why, incarnation))


def read_farewell(data: bytes) -> Farewell | None:
    """Return a last word, or None where there is none: the answer to a farewell has no content."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
