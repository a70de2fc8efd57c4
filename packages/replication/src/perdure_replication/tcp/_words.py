"""What the memberships of two nodes say to each other, on the connection that joins them.

A node speaks of itself, and passes on whom it is connected with and who has said goodbye to it. What it has by hearsay
it keeps for itself: so a rumour ends with those who started it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias

import msgspec

from perdure_replication._generation import Number
from perdure_replication._member import Member
from perdure_replication._messages import Name
from perdure_replication.tcp._greeting import Address

MOST_MEMBERS = 4096


class Here(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """I am a member, of this incarnation."""

    incarnation: Number
    address: Address = ""


class Leaving(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """My life of this incarnation is over."""

    incarnation: Number


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A node of which another one speaks."""

    name: Name
    incarnation: Number
    address: Address = ""


Several: TypeAlias = Annotated[tuple[Known, ...], msgspec.Meta(max_length=MOST_MEMBERS)]


class Introduction(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """These I am connected with, and these have left."""

    members: Several
    departed: Several


Word: TypeAlias = Here | Leaving | Introduction

encode_word = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Here | Leaving | Introduction)


def spoken_of(members: Iterable[Member]) -> tuple[Known, ...]:
    """Return members as one speaks of them."""
    return tuple(Known(each.name, each.incarnation, each.address) for each in members)


def decode_word(data: bytes) -> Word | None:
    """Return what was said, or None where it cannot be understood."""
    try:
        word: Word = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return word
