"""Where a part of a value has its facts: the whole, or what is below a key of a map or a field of a record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from perdure_replication.errors import ReadOnlyValue
from perdure_replication.merge import _ranges
from perdure_replication.merge._clock import HybridClock, Stamp
from perdure_replication.merge._knowledge import Dot, Knowledge
from perdure_replication.merge._ranges import Ranges


class Place(ABC):
    """Facts by their dots, and how to change them."""

    __slots__ = ("facts",)

    def __init__(self, facts: dict[Dot, Any]) -> None:
        self.facts = facts

    @property
    @abstractmethod
    def writer(self) -> int:
        """Who writes. Raises `ReadOnlyValue` where nobody does."""

    @abstractmethod
    def stamp(self, after: Stamp | None) -> Stamp:
        """Return a new stamp, after a given one."""

    @abstractmethod
    def put(self, fact: Any) -> Dot:
        """Add a fact, and return its dot."""

    @abstractmethod
    def drop(self, dot: Dot) -> None:
        """Remove a fact."""

    def clear(self) -> None:
        """Remove all facts."""
        for dot in list(self.facts):
            self.drop(dot)


class Still(Place):
    """A whole that is only read."""

    __slots__ = ()

    @property
    def writer(self) -> int:
        raise ReadOnlyValue

    def stamp(self, after: Stamp | None) -> Stamp:
        raise ReadOnlyValue

    def put(self, fact: Any) -> Dot:
        raise ReadOnlyValue

    def drop(self, dot: Dot) -> None:
        raise ReadOnlyValue


class Draft(Place):
    """A whole that one writer changes."""

    __slots__ = ("_clock", "_dropped", "_first", "_made", "_next", "_open", "_writer")

    def __init__(self, known: Knowledge[Any], writer: int, clock: HybridClock) -> None:
        super().__init__(known.flat())
        self._writer = writer
        self._clock = clock
        self._first = self._next = max(known.seen.get(writer, (1,)))
        self._made: dict[int, Any] = {}
        self._dropped: list[Dot] = []
        self._open = False

    def open(self) -> None:
        """Begin a fragment. What is done from now on, until `close`, is part of it."""
        self._first, self._made, self._dropped, self._open = self._next, {}, [], True

    @property
    def writer(self) -> int:
        if not self._open:
            raise ReadOnlyValue
        return self._writer

    def stamp(self, after: Stamp | None) -> Stamp:
        if after is not None:
            self._clock.resume(after)
        return self._clock.stamp()

    def put(self, fact: Any) -> Dot:
        dot = (self.writer, self._next)
        self._next += 1
        self.facts[dot] = self._made[dot[1]] = fact
        return dot

    def drop(self, dot: Dot) -> None:
        writer, number = dot
        if self.writer == writer and number in self._made:
            del self._made[number]
        else:
            self._dropped.append(dot)
        del self.facts[dot]

    def close(self) -> Knowledge[Any]:
        """Return what was done, as a fragment. Nothing can be changed from then on."""
        self._open = False
        seen: dict[int, Ranges] = {self._writer: (self._first, self._next)} if self._next > self._first else {}
        for writer, number in self._dropped:
            seen[writer] = _ranges.union(seen.get(writer, ()), (number, number + 1))
        return Knowledge({self._writer: self._made} if self._made else {}, seen)


class Inner(Place):
    """A part of a place, whose facts have something around them there."""

    __slots__ = ("_around", "_wrap")

    def __init__(self, around: Place, facts: dict[Dot, Any], wrap: Callable[[Any], Any]) -> None:
        super().__init__(facts)
        self._around = around
        self._wrap = wrap

    @property
    def writer(self) -> int:
        return self._around.writer

    def stamp(self, after: Stamp | None) -> Stamp:
        return self._around.stamp(after)

    def put(self, fact: Any) -> Dot:
        dot = self._around.put(self._wrap(fact))
        self.facts[dot] = fact
        return dot

    def drop(self, dot: Dot) -> None:
        self._around.drop(dot)
        del self.facts[dot]
