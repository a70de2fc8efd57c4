"""What a store is moved in: pieces that a walk yields, and a landing or a file takes."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from perdure.abc import FeedRecord


class Records(NamedTuple):
    """Entries of one collection, in the order in which they are to be stored."""

    collection: str
    records: list[FeedRecord]


class Value(NamedTuple):
    """A state with its version."""

    state: str
    prefix: str
    version: int
    value: bytes


class Values(NamedTuple):
    """Some states."""

    values: list[Value]


class Removal(NamedTuple):
    """What a collection has no more under a prefix: the keys below one."""

    collection: str
    prefix: str
    below: int


class Removals(NamedTuple):
    """Some of these."""

    removals: list[Removal]


Part: TypeAlias = Records | Values | Removals
