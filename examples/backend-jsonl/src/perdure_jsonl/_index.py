"""What the store holds now, and where in the file: the effect of all writes so far, in memory.

It is made by the same method at opening and at each commit, so the two cannot differ.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from heapq import nsmallest
from operator import itemgetter
from typing import NamedTuple

from perdure.abc import (
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    LastKey,
    Purge,
    PurgeState,
    Put,
    PutState,
    Replace,
    Write,
    WriteGroup,
)


class Place(NamedTuple):
    """A line of the file: where it begins, its length, and the size of the value in it, in bytes."""

    offset: int
    length: int
    size: int


class _Log:
    """The keys of one prefix, in order; of each value the place, and where it was put, which orders the feed."""

    __slots__ = ("keys", "places", "positions")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.places: dict[int, Place] = {}
        self.positions: dict[int, int] = {}


class Index:
    """The places of all values. What `apply` is given must stand in the file in the order in which it is given."""

    def __init__(self) -> None:
        self._logs: dict[str, dict[str, _Log]] = {}
        self._feeds: dict[str, list[tuple[int, str, int]]] = {}
        self._states: dict[tuple[str, str], tuple[int, Place | None]] = {}

    def between(
        self, collection: str, prefix: str, start: int, stop: int, reverse: bool
    ) -> Iterator[tuple[int, Place]]:
        """Yield the keys with `start <= key < stop` and their places."""
        if (log := self._log(collection, prefix)) is not None:
            found = range(bisect_left(log.keys, start), bisect_left(log.keys, stop))
            for number in reversed(found) if reverse else found:
                key = log.keys[number]
                yield key, log.places[key]

    def last(self, collection: str, prefix: str) -> int:
        """Return the greatest key, or 0."""
        log = self._log(collection, prefix)
        return log.keys[-1] if log is not None else 0

    def state(self, state: str, prefix: str) -> tuple[int, Place | None]:
        """Return a state's version, and the place of its value if it has one."""
        return self._states.get((state, prefix), (0, None))

    def prefixes(self, collection: str, after: str, limit: int) -> list[str]:
        """Return the first prefixes greater than `after`: Python compares text by code point, as the contract does."""
        return nsmallest(limit, (prefix for prefix in self._logs.get(collection, {}) if prefix > after))

    def feed(self, collection: str, after: int) -> Iterator[tuple[str, int, Place]]:
        """Yield what begins behind the offset `after` in the file and is still there, in the order of the file."""
        feed = self._feeds.get(collection, [])
        for number in range(bisect_right(feed, after, key=itemgetter(0)), len(feed)):
            offset, prefix, key = feed[number]
            log = self._log(collection, prefix)
            if log is not None and log.positions.get(key) == offset:  # else it was deleted, or put again further on
                yield prefix, key, log.places[key]

    def conflict(self, group: WriteGroup) -> Conflict | None:
        """Return the first expectation of a group that does not hold, and what is in its place."""
        for expectation in group.expectations:
            if isinstance(expectation, LastKey):
                expected, actual = expectation.key, self.last(expectation.collection, expectation.prefix)
            else:
                expected, actual = expectation.version, self.state(expectation.state, expectation.prefix)[0]
            if actual != expected:
                return Conflict(expectation, actual)
        return None

    def apply(self, write: Write, place: Place) -> None:
        """Take in the write whose line is at `place`."""
        match write:
            case Put(collection, prefix, key):
                self._put(collection, prefix, key, place)
            case Replace(collection, prefix, key):
                self._replace(collection, prefix, key, place)
            case Delete(collection, prefix, key):
                self._delete(collection, prefix, key, key + 1)
            case DeleteRange(collection, prefix, start, stop):
                self._delete(collection, prefix, start, stop)
            case Purge(collection, prefix):
                self._delete(collection, prefix, 0, self.last(collection, prefix) + 1)
            case PutState(state, prefix):
                self._states[state, prefix] = (self.state(state, prefix)[0] + 1, place)
            case DeleteState(state, prefix):
                version, old = self.state(state, prefix)
                if old is not None:
                    self._states[state, prefix] = (version + 1, None)
            case PurgeState(state, prefix):
                self._states.pop((state, prefix), None)

    def _log(self, collection: str, prefix: str) -> _Log | None:
        return self._logs.get(collection, {}).get(prefix)

    def _put(self, collection: str, prefix: str, key: int, place: Place) -> None:
        log = self._logs.setdefault(collection, {}).setdefault(prefix, _Log())
        if key not in log.places:
            insort(log.keys, key)
        log.places[key] = place
        log.positions[key] = place.offset
        self._feeds.setdefault(collection, []).append((place.offset, prefix, key))

    def _replace(self, collection: str, prefix: str, key: int, place: Place) -> None:
        log = self._log(collection, prefix)
        if log is not None and key in log.places:
            log.places[key] = place  # and its position stays

    def _delete(self, collection: str, prefix: str, start: int, stop: int) -> None:
        if (log := self._log(collection, prefix)) is None:
            return
        begin, end = bisect_left(log.keys, start), bisect_left(log.keys, stop)
        for key in log.keys[begin:end]:
            del log.places[key]
            del log.positions[key]
        del log.keys[begin:end]
        if not log.keys:
            del self._logs[collection][prefix]
