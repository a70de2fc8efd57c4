"""What is known of a merged value: facts, each under its dot, and all dots that were ever seen.

A *writer* is one life of a node that wrote, by a number that was drawn for it and for nobody else. A *dot* is a writer
and the number of one of its facts: it is given out once, so one dot is one fact, everywhere and for ever. Whatever the
value looks like to a program, it is a set of such facts: an element of a set, a key and what was added to its counter.

A fact that is replaced or removed goes; its dot stays in `seen`. So a dot that is seen without its fact says that it
was removed, and no tombstone is needed. The dots of a writer that were all seen are one range, so `seen` has as many
ranges as there were writers, however much was removed.

`merge` keeps a fact that both sides have, or that one has and the other has not seen. It is a join, for it is one dot
by dot: a dot is unseen, then seen with its fact, then seen without it, and the join is the later of two. What a program
does to a value makes new dots and removes facts, which only goes that way.

Sources: Almeida, Shoker, Baquero, "Delta state replicated data types" (2018), the causal context and the dot kernel;
Enes and others, "Efficient synchronization of state-based CRDTs" (2019), what one side has beyond another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from perdure_replication.merge import _ranges
from perdure_replication.merge._ranges import Ranges

F = TypeVar("F")

Dot: TypeAlias = tuple[int, int]
"""A writer, and the number of one of its facts, from 1 on."""
Facts: TypeAlias = dict[int, F]
"""The facts of one writer, by number."""


class Knowledge(msgspec.Struct, Generic[F], frozen=True):
    """Facts, and which dots were seen. Do not change it in place.

    A fragment is the same: what one mutation did, or what one side has beyond another.
    """

    facts: dict[int, dict[int, F]] = {}
    """By writer and number."""
    seen: dict[int, Ranges] = {}
    """Of each writer the numbers that were seen, as the boundaries of their ranges."""

    def __bool__(self) -> bool:
        """Tell whether anything was ever seen."""
        return bool(self.seen)

    def merge(self, other: Knowledge[F]) -> Knowledge[F]:
        """Return what both know together: the join. It is this object where the other knows nothing new."""
        facts, seen = self.facts, self.seen
        for writer, theirs_seen in other.seen.items():
            ours, ours_seen = self.facts.get(writer, {}), self.seen.get(writer, ())
            joined = _joined(ours, ours_seen, other.facts.get(writer, {}), theirs_seen)
            if joined is not ours:
                facts = _with(facts, writer, joined)
            if (together := _ranges.union(ours_seen, theirs_seen)) != ours_seen:
                seen = {**seen, writer: together}
        return self if facts is self.facts and seen is self.seen else Knowledge(facts, seen)

    def beyond(self, other: Knowledge[F]) -> Knowledge[F]:
        """Return the fragment that the other lacks: what it makes of the other is what all of this would make of it."""
        facts: dict[int, Facts[F]] = {}
        seen: dict[int, Ranges] = {}
        for writer, ours_seen in self.seen.items():
            ours, theirs = self.facts.get(writer, {}), other.facts.get(writer, {})
            theirs_seen = other.seen.get(writer, ())
            if ours is theirs and ours_seen == theirs_seen:
                continue
            new = _ranges.difference(ours_seen, theirs_seen)
            gone = _ranges.of(_removed(theirs, ours, ours_seen))
            if new or gone:
                seen[writer] = _ranges.union(new, gone)
            if found := _within(ours, new):
                facts[writer] = found
        return Knowledge(facts, seen)

    def size(self) -> int:
        """Return how many dots were seen."""
        return sum(map(_ranges.size, self.seen.values()))

    def dots(self) -> Iterator[Dot]:
        """Yield the dots that were seen."""
        return ((writer, number) for writer, ranges in self.seen.items() for number in _ranges.numbers(ranges))

    def flat(self) -> dict[Dot, F]:
        """Return the facts by their dots."""
        return {(writer, number): fact for writer, facts in self.facts.items() for number, fact in facts.items()}

    def check(self) -> Knowledge[F]:
        """Return it, or raise `ValueError` where no writer can have made it."""
        if not all(map(_ranges.is_sound, self.seen.values())):
            raise ValueError("what it has seen is no set of numbers")
        for writer, facts in self.facts.items():
            seen = self.seen.get(writer, ())
            if not facts or not all(_ranges.holds(seen, number) for number in facts):
                raise ValueError(f"it has facts of the writer {writer} that it has not seen")
        return self


def _joined(ours: Facts[F], ours_seen: Ranges, theirs: Facts[F], theirs_seen: Ranges) -> Facts[F]:
    """Return one writer's facts of both sides; the own object where nothing changes."""
    if ours is theirs:
        return ours
    gone = list(_removed(ours, theirs, theirs_seen))
    new = {number: theirs[number] for number in theirs.keys() - ours.keys() if not _ranges.holds(ours_seen, number)}
    if not gone and not new:
        return ours
    joined = ours | new
    for number in gone:
        del joined[number]
    return joined


def _removed(facts: Facts[Any], by: Facts[Any], seen: Ranges) -> Iterator[int]:
    """Yield the facts that the other side has seen, and has no more."""
    if _ranges.size(seen) < len(facts):
        return (number for number in _ranges.numbers(seen) if number in facts and number not in by)
    return (number for number in facts.keys() - by.keys() if _ranges.holds(seen, number))


def _within(facts: Facts[F], ranges: Ranges) -> Facts[F]:
    """Return the facts of some numbers."""
    if _ranges.size(ranges) < len(facts):
        return {number: facts[number] for number in _ranges.numbers(ranges) if number in facts}
    return {number: fact for number, fact in facts.items() if _ranges.holds(ranges, number)}


def _with(facts: Mapping[int, Facts[F]], writer: int, joined: Facts[F]) -> dict[int, Facts[F]]:
    """Return all facts with those of one writer exchanged. Writers without facts are left out."""
    changed = {**facts, writer: joined}
    if not joined:
        del changed[writer]
    return changed
