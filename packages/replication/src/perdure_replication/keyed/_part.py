"""A node's own keys, in the order of their changes.

Each change of a key has the next number, and moves the key to the end of the order, where its former place stays as a
blank until half of the places are blanks. So what changed behind a number is read from there on, a key once, and all
there is, from the beginning. Keys that are gone stay in the order, too, as many as `MAX_GONE`: whoever asks from behind
a number that is lower than that of one of them that was forgotten is given everything anew.

A reader that begins reads until there is nothing more, not until where the end was when it began: a key that changes
meanwhile is before it again, so that it names all that there is before it removes what it did not name. What has gone
since it began it is told, for it may have been told of the key before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from secrets import token_bytes
from typing import Generic, TypeVar

import msgspec

from perdure_replication._generation import Generation
from perdure_replication.topics import GONE, MAX_RECORDS, WHOLE, Interest, Page, Record

V = TypeVar("V")

MAX_GONE = 10_000
SCANNED = 10_000
"""The places that one page looks at."""


class Held(msgspec.Struct, Generic[V], frozen=True, gc=False):
    """A value, and how far it is."""

    value: V
    generation: Generation


class _Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A place in the order of one life of a part."""

    life: bytes
    number: int
    began: int | None
    """On the way from the beginning, the number of the last change when it began."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Place).decode


class Part(Generic[V]):
    """The source of a node's own keys."""

    def __init__(self, format: int, number: int = 0) -> None:
        """Take the version of the values' data, and the number of the last change of an earlier part."""
        self.format = format
        self.values: dict[str, V] = {}
        self.number = number
        """Of the last change."""
        self._life = token_bytes(8)
        self._records: dict[str, tuple[int, Record]] = {}
        self._gone: dict[str, int] = {}
        self._numbers: list[int] = []
        self._keys: list[str] = []
        self._horizon = 0
        """The number of the last key that is forgotten to be gone."""
        self._wake: Callable[[], None] = lambda: None

    def put(self, key: str, value: V, data: bytes, incarnation: int) -> Generation:
        """Set a key."""
        self.values[key] = value
        self._gone.pop(key, None)
        return self._add(Record(key, Generation(incarnation, self.number + 1), WHOLE, data))

    def delete(self, key: str, incarnation: int) -> Generation:
        """Remove a key that is there."""
        del self.values[key]
        generation = self._add(Record(key, Generation(incarnation, self.number + 1), GONE))
        self._gone[key] = self.number
        if len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone))
            self._horizon = self._gone.pop(oldest)
            del self._records[oldest]
        return generation

    def held(self) -> dict[str, Held[V]]:
        """Return the values with their generations."""
        return {key: Held(value, self._records[key][1].generation) for key, value in self.values.items()}

    def record(self, key: str) -> Record | None:
        """Return the record of a key that is there."""
        return self._records[key][1] if key in self.values else None

    def attend(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def look(self) -> None:
        """Nobody else adds to it."""

    async def page(self, interest: Interest, after: bytes | None, max_bytes: int) -> Page:
        place = self._place(after)
        begins = place is None
        if place is None:
            place = _Place(self._life, 0, self.number)
        if interest.prefixes:
            records, number = self._scan(interest, place, max_bytes)
        else:
            records, number = self._pick(interest, place, max_bytes)
        at_tip = number == self.number
        filled = place.began is not None and at_tip
        position = _encode(_Place(self._life, number, None if at_tip else place.began))
        return Page(records, position, at_tip, begins, filled)

    def _add(self, record: Record) -> Generation:
        self.number += 1
        self._records[record.key] = (self.number, record)
        self._numbers.append(self.number)
        self._keys.append(record.key)
        if len(self._numbers) > 2 * len(self._records) + 1000:
            self._close_up()
        self._wake()
        return record.generation

    def _close_up(self) -> None:
        """Leave out the blanks."""
        places = zip(self._numbers, self._keys, strict=True)
        kept = [(number, key) for number, key in places if self._is_at(number, key)]
        self._numbers = [number for number, _ in kept]
        self._keys = [key for _, key in kept]

    def _is_at(self, number: int, key: str) -> bool:
        found = self._records.get(key)
        return found is not None and found[0] == number

    def _place(self, after: bytes | None) -> _Place | None:
        """Return the place of a position, None where nothing is known behind it."""
        try:
            place = None if after is None else _decode(after)
        except msgspec.MsgspecError:
            return None
        if place is None or place.life != self._life or not 0 <= place.number <= self.number:
            return None
        return place if self._horizon <= (place.number if place.began is None else place.began) else None

    def _scan(self, interest: Interest, place: _Place, max_bytes: int) -> tuple[list[Record], int]:
        """Return records behind a place, and the number of the last that was looked at."""
        begin = bisect_right(self._numbers, place.number)
        end = min(len(self._numbers), begin + SCANNED)
        found = []
        for index in range(begin, end):
            number, key = self._numbers[index], self._keys[index]
            is_needed = key in self.values or place.began is None or number > place.began
            if is_needed and self._is_at(number, key) and interest.covers(key):
                found.append(self._records[key])
        reached = self.number if end == len(self._numbers) else self._numbers[end - 1]
        return _cut(found, reached, max_bytes)

    def _pick(self, interest: Interest, place: _Place, max_bytes: int) -> tuple[list[Record], int]:
        """Return the records of some keys behind a place."""
        known = (self._records.get(key) for key in interest.keys)
        found = [each for each in known if each is not None and each[0] > place.number]
        return _cut(sorted(found, key=lambda each: each[0]), self.number, max_bytes)


def _cut(found: Iterable[tuple[int, Record]], reached: int, max_bytes: int) -> tuple[list[Record], int]:
    """Return as many records as a page takes, and the number that is reached so."""
    records: list[Record] = []
    size, last = 0, 0
    for number, record in found:
        size += record.size
        if records and (size > max_bytes or len(records) >= MAX_RECORDS):
            return records, last
        records.append(record)
        last = number
    return records, reached
