"""A node's own keys, in the order of their changes.

Each change of a key has the next number, and moves the key to the end of the order, where its former place stays as a
blank until half of the places are blanks. So what changed behind a number is read from there on, a key once, and all
there is, from the beginning. Keys that are gone stay in the order, too, as many as `MAX_GONE`: whoever asks from behind
a number that is lower than that of one of them that was forgotten is given everything anew.

A reader that begins reads until there is nothing more, not until where the end was when it began: a key that changes
meanwhile is before it again, so that it names all that there is before it removes what it did not name. What has gone
since it began it is told, for it may have been told of the key before.

Generations are made when they are asked for, of a number and the incarnation of that moment: when the node takes a
greater one, because others hold more of an earlier life, then so do all keys, and whoever reads begins anew.
"""

from __future__ import annotations

import asyncio
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


class _Kept(msgspec.Struct, frozen=True, gc=False):
    """What became of a key, by the number of that change."""

    number: int
    data: bytes | None
    """None where it is gone."""


class _Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A place in the order of one life of a part."""

    life: bytes
    incarnation: int
    number: int
    began: int | None
    """On the way from the beginning, the number of the last change when it began."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Place).decode


class Part(Generic[V]):
    """The source of a node's own keys."""

    def __init__(self, format: int, incarnation: Callable[[], int], number: int = 0, *, is_loaded: bool = True) -> None:
        """Take the version of the values' data, what tells the incarnation, and the last number of an earlier part.

        Who reads waits until it is `loaded`.
        """
        self.loaded = asyncio.Event()
        if is_loaded:
            self.loaded.set()
        self.format = format
        self._incarnation = incarnation
        self.values: dict[str, V] = {}
        self.number = number
        """Of the last change."""
        self._life = token_bytes(8)
        self._kept: dict[str, _Kept] = {}
        self._gone: dict[str, int] = {}
        self._numbers: list[int] = []
        self._keys: list[str] = []
        self._horizon = 0
        """The number of the last key that is forgotten to be gone."""
        self._wake: Callable[[], None] = lambda: None

    def put(self, key: str, value: V, data: bytes) -> Generation:
        """Set a key."""
        self.restore(self.number + 1, key, value, data)
        self._wake()
        return self._generation(self.number)

    def restore(self, number: int, key: str, value: V, data: bytes) -> None:
        """Set a key that an earlier life has set. `number` is greater than all before."""
        self.values[key] = value
        self._gone.pop(key, None)
        self._add(number, key, data)

    def delete(self, key: str) -> Generation:
        """Remove a key that is there."""
        del self.values[key]
        self._add(self.number + 1, key, None)
        self._gone[key] = self.number
        if len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone))
            self._horizon = self._gone.pop(oldest)
            del self._kept[oldest]
        self._wake()
        return self._generation(self.number)

    def held(self) -> dict[str, Held[V]]:
        """Return the values with their generations."""
        return {key: Held(value, self._generation(self._kept[key].number)) for key, value in self.values.items()}

    def data(self, key: str) -> bytes | None:
        """Return the data of a key, None where it is not there."""
        return self._kept[key].data if key in self.values else None

    def place(self, key: str) -> int | None:
        """Return the number of the last change of a key that is there."""
        return self._kept[key].number if key in self.values else None

    def generation(self, key: str) -> Generation | None:
        """Return the generation of a key that is there."""
        return self._generation(self._kept[key].number) if key in self.values else None

    def attend(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def look(self) -> None:
        """Nobody else adds to it."""

    async def page(self, interest: Interest, after: bytes | None, max_bytes: int) -> Page:
        await self.loaded.wait()
        place = self._place(after)
        begins = place is None
        if place is None:
            place = _Place(self._life, self._incarnation(), 0, self.number)
        if interest.prefixes:
            records, number = self._scan(interest, place, max_bytes)
        else:
            records, number = self._pick(interest, place, max_bytes)
        at_tip = number == self.number
        filled = place.began is not None and at_tip
        position = _encode(_Place(self._life, place.incarnation, number, None if at_tip else place.began))
        return Page(records, position, at_tip, begins, filled)

    def _generation(self, number: int) -> Generation:
        return Generation(self._incarnation(), number)

    def _record(self, key: str) -> Record:
        kept = self._kept[key]
        generation = self._generation(kept.number)
        return Record(key, generation, GONE) if kept.data is None else Record(key, generation, WHOLE, kept.data)

    def _add(self, number: int, key: str, data: bytes | None) -> None:
        self.number = number
        self._kept[key] = _Kept(number, data)
        self._numbers.append(number)
        self._keys.append(key)
        if len(self._numbers) > 2 * len(self._kept) + 1000:
            self._close_up()

    def _close_up(self) -> None:
        """Leave out the blanks."""
        places = zip(self._numbers, self._keys, strict=True)
        kept = [(number, key) for number, key in places if self._is_at(number, key)]
        self._numbers = [number for number, _ in kept]
        self._keys = [key for _, key in kept]

    def _is_at(self, number: int, key: str) -> bool:
        found = self._kept.get(key)
        return found is not None and found.number == number

    def _place(self, after: bytes | None) -> _Place | None:
        """Return the place of a position, None where nothing is known behind it."""
        try:
            place = None if after is None else _decode(after)
        except msgspec.MsgspecError:
            return None
        is_known = place is not None and (place.life, place.incarnation) == (self._life, self._incarnation())
        if place is None or not is_known or not 0 <= place.number <= self.number:
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
                found.append(key)
        reached = self.number if end == len(self._numbers) else self._numbers[end - 1]
        return self._cut(found, reached, max_bytes)

    def _pick(self, interest: Interest, place: _Place, max_bytes: int) -> tuple[list[Record], int]:
        """Return the records of some keys behind a place."""
        found = [key for key in interest.keys if key in self._kept and self._kept[key].number > place.number]
        return self._cut(sorted(found, key=lambda key: self._kept[key].number), self.number, max_bytes)

    def _cut(self, found: Iterable[str], reached: int, max_bytes: int) -> tuple[list[Record], int]:
        """Return the records of as many keys as a page takes, and the number that is reached so."""
        records: list[Record] = []
        size = 0
        for record in map(self._record, found):
            size += record.size
            if records and (size > max_bytes or len(records) >= MAX_RECORDS):
                return records, records[-1].generation.age
            records.append(record)
        return records, reached
