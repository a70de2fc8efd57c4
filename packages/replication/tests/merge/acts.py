"""Kinds of merged values, and writers that do things to them, as the tests of merging have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from perdure_replication.merge import (
    AddWinsSet,
    Counter,
    HybridClock,
    Knowledge,
    LastWriter,
    MergedMap,
    MergedRecord,
    MergedState,
    Pen,
)
from perdure_replication.testing import TestClock


class Total(MergedState[Counter]):
    """A counter."""


class Title(MergedState[LastWriter[str]]):
    """A register."""


class Likes(MergedState[AddWinsSet[int]]):
    """A set."""


class Stock(MergedState[MergedMap[str, Counter]]):
    """Counters by name."""


class Members(MergedState[MergedMap[str, AddWinsSet[int]]]):
    """Sets by name."""


class Titles(MergedState[MergedMap[str, MergedMap[str, LastWriter[str]]]]):
    """Registers by two names."""


class Line(MergedRecord):
    """A part of an order."""

    count: Counter
    note: LastWriter[str]


class Order(MergedRecord):
    """A record of records."""

    lines: MergedMap[str, Line]
    tags: AddWinsSet[int]


class Orders(MergedState[Order]):
    """A record."""


class Tally(MergedRecord):
    """How much there was, and what."""

    total: Counter
    tags: AddWinsSet[int]


class Tallies(MergedState[Tally]):
    """A record of two."""


STATES: tuple[type[MergedState[Any]], ...] = (Total, Title, Likes, Stock, Members, Titles, Orders)


def act(value: Any, choice: int) -> None:
    """Do to a value of any kind what a number says."""
    match value:
        case Counter():
            value.add(choice % 7 - 3)
        case LastWriter():
            value.set(str(choice)) if choice % 5 else value.clear()
        case AddWinsSet():
            value.discard(choice % 3) if choice % 2 else value.add(choice % 3)
        case MergedMap():
            name = "ab"[choice % 2]
            if choice % 7 == 0 and name in value:
                del value[name]
            else:
                act(value.at(name), choice // 2)
        case Line():
            act(value.count if choice % 2 else value.note, choice // 2)
        case Order():
            act(value.lines if choice % 2 else value.tags, choice // 2)


@cache
def defined(state: type[MergedState[Any]]) -> MergedState[Any]:
    """Return the one definition of a state: it takes longer to make than all that is done with it."""
    return state()


class Writer:
    """What one node knows, without the node."""

    def __init__(self, state: type[MergedState[Any]], number: int = 1, clock: TestClock | None = None) -> None:
        self.definition = defined(state)
        self.known: Knowledge[Any] = Knowledge()
        self._clock = HybridClock(clock or TestClock())
        self._pen = Pen(self.definition, number, self._clock)

    @property
    def value(self) -> Any:
        return self.definition.read(self.known)

    def write(self, change: Callable[[Any], object]) -> Knowledge[Any]:
        """Change the value, and return the fragment."""
        self.known, fragment = self._pen.write(self.known, change)
        return fragment

    def hear(self, *others: Writer | Knowledge[Any]) -> None:
        """Join what others know."""
        for other in others:
            known = other.known if isinstance(other, Writer) else other
            latest = self.definition.latest(known)
            if latest is not None:
                self._clock.observe(latest)
            self.known = self.known.merge(known)


def writers(state: type[MergedState[Any]], count: int = 3) -> list[Writer]:
    """Return writers of one state who know nothing yet, on one clock."""
    clock = TestClock()
    return [Writer(state, number + 1, clock) for number in range(count)]


def play(group: list[Writer], steps: Iterable[tuple[int, int, int]]) -> list[Knowledge[Any]]:
    """Let writers write and hear each other, step by step. Returns all that anyone ever knew, and all fragments."""
    pool = [Knowledge[Any]()]
    for who, whom, choice in steps:
        writer, other = group[who % len(group)], group[whom % len(group)]
        if writer is other:
            pool.append(writer.write(lambda value, choice=choice: act(value, choice)))  # type: ignore[misc]
        elif choice % 3:
            writer.hear(other)
        else:
            writer.hear(pool[choice % len(pool)])
        pool.append(writer.known)
    return pool
