"""Knowledge as it is sent and stored: arrays in ascending order, so that what is equal has equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Generic, TypeVar

import msgspec

from perdure_replication.merge._knowledge import Knowledge

F = TypeVar("F")


class PackedWriter(msgspec.Struct, Generic[F], frozen=True, array_like=True):
    """What is known of one writer."""

    writer: int
    seen: tuple[int, ...]
    numbers: tuple[int, ...]
    facts: tuple[F, ...]
    """Those of the numbers, in turn."""


class Packed(msgspec.Struct, Generic[F], frozen=True, array_like=True):
    """What is known of all writers."""

    sign: str
    """Of the kind of the value: facts of two kinds may look alike."""
    writers: tuple[PackedWriter[F], ...]


def pack(knowledge: Knowledge[F], sign: str) -> Packed[F]:
    """Return knowledge of a value of some kind as it is sent."""
    return Packed(sign, tuple(_pack_writer(knowledge, writer) for writer in sorted(knowledge.seen)))


def unpack(packed: Packed[F], sign: str) -> Knowledge[F]:
    """Return what was sent. Raises `ValueError` where it is of another kind, or no writer can have made it."""
    if packed.sign != sign:
        raise ValueError(f"it is a value of the kind {packed.sign[:40]!r}, and not of {sign!r}")
    if not (
        _ascends([each.writer for each in packed.writers]) and all(_ascends(each.numbers) for each in packed.writers)
    ):
        raise ValueError("a writer or a number stands twice in it")
    facts = {each.writer: dict(zip(each.numbers, each.facts, strict=True)) for each in packed.writers if each.facts}
    return Knowledge(facts, {each.writer: each.seen for each in packed.writers}).check()


def _ascends(numbers: Sequence[int]) -> bool:
    return all(one < next for one, next in pairwise(numbers))


def _pack_writer(knowledge: Knowledge[Any], writer: int) -> PackedWriter[Any]:
    facts = knowledge.facts.get(writer, {})
    numbers = tuple(sorted(facts))
    return PackedWriter(writer, knowledge.seen[writer], numbers, tuple(facts[number] for number in numbers))
