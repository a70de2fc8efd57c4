"""Who is in the cluster, and what becomes of them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Member(msgspec.Struct, frozen=True):
    """One life of a node."""

    name: str
    """Of the node: the same in all its lives."""
    incarnation: int
    address: str = ""
    """Where its transport is reached, in that transport's words; empty where the name is enough."""


class Joined(msgspec.Struct, frozen=True):
    """A member is there, or there again, or has a greater incarnation or another address."""

    member: Member


class Unreachable(msgspec.Struct, frozen=True):
    """A member does not answer, and may come back: what is held of it stays."""

    name: str
    incarnation: int


class Left(msgspec.Struct, frozen=True):
    """A life of a node is over: what is held of it goes."""

    name: str
    incarnation: int


MembershipEvent: TypeAlias = Joined | Unreachable | Left
