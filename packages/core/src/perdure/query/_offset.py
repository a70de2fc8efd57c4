"""Where a stream of events from many logs goes on, exactly behind one of them.

A backend's feed gives an offset a page, and a page is some hundred events. An event inside of it is named by the offset
at which its page *began*, and the events of the page that have been given so far: who resumes reads from there and
leaves these out, by persistence id and sequence number. A number of records to skip would be shorter and wrong: when
compaction removes some of them meanwhile, it skips others. So would be the last event alone: it may be removed, too.

An event that is left out has been met, or was removed and will never be; in a cluster whose clocks differ it may come
a page later. So what is left out is carried along until all of it was met, or the end of the feed was. Mostly the
numbers of an id follow one another, so a few ranges say it all. All this counts on a log never giving a number twice:
who purges one by hand, and begins it anew, has readers begin anew.

A record of an older schema may be several events today, of which only some have been given: that is carried likewise,
as a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

Name: TypeAlias = tuple[str, int]
"""The persistence id and the sequence number of a record."""

Ranges: TypeAlias = dict[str, list[tuple[int, int]]]
"""By persistence id, the first and last sequence numbers of some ranges."""

Part: TypeAlias = tuple[str, int, int]
"""The persistence id and the sequence number of a record, and how many of its events have been given."""


class Position(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An offset of a backend's feed, and what behind it has been given already."""

    after: str | None = None
    given: Ranges = {}
    parts: list[Part] = []

    def has_given(self, name: Name) -> bool:
        """Tell whether a record is to be left out."""
        return any(first <= name[1] <= last for first, last in self.given.get(name[0], ()))

    def events_given(self, name: Name) -> int:
        """Return how many events of a record that is not left out are."""
        return next((part[2] for part in self.parts if part[:2] == name), 0)

    def named(self) -> int:
        """Return how many records it names."""
        return sum(last - first + 1 for ranges in self.given.values() for first, last in ranges) + len(self.parts)

    def behind(self, given: Sequence[Name], part: Part | None = None) -> Position:
        """Return the position behind some more records, and a part of another."""
        ranges = {persistence_id: list(known) for persistence_id, known in self.given.items()}
        for persistence_id, number in given:
            _add(ranges.setdefault(persistence_id, []), number)
        whole = Position(self.after, ranges)
        parts = {known[:2]: known for known in (*self.parts, *([part] if part else []))}
        return Position(self.after, ranges, [parts[name] for name in parts if not whole.has_given(name)])

    def offset(self) -> str:
        return msgspec.json.encode(self).decode()


class Place(msgspec.Struct, frozen=True, eq=False):
    """A place in a page: behind some of its records, and perhaps a part of another.

    `given` are the records that the page has given, of which the first `count` are meant: it grows. `end` is where the
    page ends, if nothing of it is left.
    """

    begin: Position
    given: list[Name]
    count: int
    part: Part | None = None
    end: Position | None = None

    def offset(self) -> str:
        position = self.end or self.begin.behind(self.given[: self.count], self.part)
        return position.offset()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.offset() == other.offset()

    def __hash__(self) -> int:
        return hash(self.offset())

    def __repr__(self) -> str:
        return self.offset()


def position_of(offset: str | None) -> Position:
    """Return what an offset says; None is the beginning. Raises `ValueError`."""
    if offset is None:
        return Position()
    try:
        return _decode(offset)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise ValueError(f"{offset!r} is no offset: use that of an event, or None for the beginning") from error


def _add(ranges: list[tuple[int, int]], number: int) -> None:
    if ranges and ranges[-1][1] + 1 == number:
        ranges[-1] = (ranges[-1][0], number)
    else:
        ranges.append((number, number))


_decode = msgspec.json.Decoder(Position).decode
