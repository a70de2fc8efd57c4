"""Knowledge as it is sent and stored: arrays in ascending order, so that what is equal has equal bytes."""

from __future__ import annotations

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

    writers: tuple[PackedWriter[F], ...]


def pack(knowledge: Knowledge[F]) -> Packed[F]:
    """Return knowledge as it is sent."""
    return Packed(tuple(_pack_writer(knowledge, writer) for writer in sorted(knowledge.seen)))


def unpack(packed: Packed[F]) -> Knowledge[F]:
    """Return what was sent. Raises `ValueError` where no writer can have made it."""
    facts = {each.writer: dict(zip(each.numbers, each.facts, strict=True)) for each in packed.writers if each.facts}
    return Knowledge(facts, {each.writer: each.seen for each in packed.writers}).check()


def _pack_writer(knowledge: Knowledge[Any], writer: int) -> PackedWriter[Any]:
    facts = knowledge.facts.get(writer, {})
    numbers = tuple(sorted(facts))
    return PackedWriter(writer, knowledge.seen[writer], numbers, tuple(facts[number] for number in numbers))
