"""The reference backend: the storage contract in plain dictionaries.

`memory://` is a store of its own; `memory://NAME` is one that all systems of this process share by that name, so
that a test can "restart" on it. Nothing survives the process, whatever the durability says.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from urllib.parse import urlsplit

import pluggy

from perdure.abc import (
    Backend,
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    Durability,
    Entry,
    Expectation,
    FeedPage,
    FeedRecord,
    LastKey,
    MachineSpec,
    Page,
    Purge,
    PurgeState,
    Put,
    PutState,
    Replace,
    StateVersion,
    Write,
    WriteGroup,
)
from perdure.errors import StoreClosed, StoreError

_hookimpl = pluggy.HookimplMarker("perdure")


class _Log:
    """The entries of one prefix, with their keys in order, and the place of each in the feed."""

    __slots__ = ("keys", "positions", "values")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.values: dict[int, bytes] = {}
        self.positions: dict[int, int] = {}

    def between(self, start: int, stop: int) -> range:
        """Return the places in `keys` of those with `start <= key < stop`."""
        return range(bisect_left(self.keys, start), bisect_left(self.keys, stop))


class _Feed:
    """Where each entry of a collection is, in the order of the puts."""

    __slots__ = ("_order", "_places")

    def __init__(self) -> None:
        self._places: dict[int, tuple[str, int]] = {}
        self._order: list[int] = []
        """All positions, ascending: those in `_places`, and at most as many that were removed."""

    def add(self, position: int, prefix: str, key: int) -> None:
        self._places[position] = (prefix, key)
        self._order.append(position)

    def remove(self, position: int) -> None:
        del self._places[position]
        if len(self._order) > 2 * len(self._places):
            self._order = list(self._places)

    def behind(self, position: int, limit: int) -> list[tuple[int, str, int]]:
        """Return position, prefix and key of the first entries behind a position."""
        order, places = self._order, self._places
        later = (order[index] for index in range(bisect_right(order, position), len(order)))
        return [(found, *places[found]) for found in islice((each for each in later if each in places), limit)]


class _Store:
    """What outlives one backend object: the data."""

    def __init__(self) -> None:
        self.logs: dict[str, dict[str, _Log]] = {}
        self.feeds: dict[str, _Feed] = defaultdict(_Feed)
        self.position = 0
        self.states: dict[tuple[str, str], tuple[int, bytes | None]] = {}

    def log(self, collection: str, prefix: str) -> _Log | None:
        return self.logs.get(collection, {}).get(prefix)

    def last(self, collection: str, prefix: str) -> int:
        log = self.log(collection, prefix)
        return 0 if log is None else log.keys[-1]

    def actual(self, expectation: Expectation) -> int:
        if isinstance(expectation, LastKey):
            return self.last(expectation.collection, expectation.prefix)
        return self.states.get((expectation.state, expectation.prefix), (0, None))[0]

    def put(self, collection: str, prefix: str, key: int, value: bytes) -> None:
        log = self.log(collection, prefix)
        if log is None:
            log = self.logs.setdefault(collection, {})[prefix] = _Log()
        feed = self.feeds[collection]
        if key in log.values:
            feed.remove(log.positions[key])
        elif not log.keys or key > log.keys[-1]:
            log.keys.append(key)
        else:
            log.keys.insert(bisect_left(log.keys, key), key)
        self.position += 1
        log.values[key] = value
        log.positions[key] = self.position
        feed.add(self.position, prefix, key)

    def replace(self, collection: str, prefix: str, key: int, value: bytes) -> None:
        log = self.log(collection, prefix)
        if log is not None and key in log.values:
            log.values[key] = value

    def delete(self, collection: str, prefix: str, start: int, stop: int) -> None:
        log = self.log(collection, prefix)
        if log is None:
            return
        first, end = bisect_left(log.keys, start), bisect_left(log.keys, stop)
        for key in log.keys[first:end]:
            del log.values[key]
            self.feeds[collection].remove(log.positions.pop(key))
        del log.keys[first:end]
        if not log.keys:
            del self.logs[collection][prefix]

    def apply(self, write: Write) -> None:
        if type(write) is Put:  # nearly all are, and a match takes microseconds
            return self.put(write.collection, write.prefix, write.key, write.value)
        match write:
            case Replace(collection, prefix, key, value):
                self.replace(collection, prefix, key, value)
            case Delete(collection, prefix, key):
                self.delete(collection, prefix, key, key + 1)
            case DeleteRange(collection, prefix, start, stop):
                self.delete(collection, prefix, start, stop)
            case Purge(collection, prefix):
                self.delete(collection, prefix, 0, self.last(collection, prefix) + 1)
            case PutState(state, prefix, value):
                self.states[state, prefix] = (self.actual(StateVersion(state, prefix, 0)) + 1, value)
            case DeleteState(state, prefix):
                version, old = self.states.get((state, prefix), (0, None))
                if old is not None:
                    self.states[state, prefix] = (version + 1, None)
            case PurgeState(state, prefix):
                self.states.pop((state, prefix), None)


_shared: dict[str, _Store] = {}


class MemoryBackend(Backend):
    """Keeps everything in dictionaries. With a name, shares them with its namesakes in this process."""

    def __init__(self, name: str = "", durability: Durability = "full") -> None:
        self.durability = durability
        self._store = _shared.setdefault(name, _Store()) if name else _Store()
        self._closed = False

    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        self._check("commit")
        for group in groups:
            for write in group.writes:
                if isinstance(write, (Put, PutState, Replace)) and len(write.value) > self.max_value_bytes:
                    raise StoreError(
                        "commit", f"a value of {len(write.value):,} bytes is over {self.max_value_bytes:,}"
                    )
        return [self._apply(group) for group in groups]

    async def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> Page:
        self._check("page")
        log = self._store.log(collection, prefix)
        if log is None:
            return Page([], False)
        places = log.between(start, stop)
        entries: list[Entry] = []
        for place in islice(reversed(places) if reverse else places, limit):
            key = log.keys[place]
            value = log.values[key]
            max_bytes -= len(value)
            if max_bytes < 0 and entries:
                break
            entries.append(Entry(key, value))
        return Page(entries, len(entries) < len(places))

    async def last(self, collection: str, prefix: str) -> int:
        self._check("last")
        return self._store.last(collection, prefix)

    async def read_state(self, state: str, prefix: str) -> tuple[int, bytes | None]:
        self._check("read_state")
        return self._store.states.get((state, prefix), (0, None))

    async def prefixes(self, collection: str, after: str = "", limit: int = 1000) -> list[str]:
        self._check("prefixes")
        return sorted(prefix for prefix in self._store.logs.get(collection, {}) if prefix > after)[:limit]

    async def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> FeedPage:
        self._check("feed")
        begin = int(after or 0)
        newer = self._store.feeds[collection].behind(begin, limit)
        logs = self._store.logs.get(collection, {})
        records = [FeedRecord(prefix, key, logs[prefix].values[key]) for _, prefix, key in newer]
        return FeedPage(records, str(newer[-1][0] if newer else begin))

    async def close(self) -> None:
        self._closed = True

    def _apply(self, group: WriteGroup) -> Conflict | None:
        for expectation in group.expectations:
            actual = self._store.actual(expectation)
            expected = expectation.key if isinstance(expectation, LastKey) else expectation.version
            if actual != expected:
                return Conflict(expectation, actual)
        for write in group.writes:
            self._store.apply(write)
        return None

    def _check(self, operation: str) -> None:
        if self._closed:
            raise StoreClosed(operation)


@_hookimpl
async def perdure_open(url: str, durability: Durability, machine: MachineSpec | None) -> Backend:
    """Open `memory://` or `memory://NAME`."""
    return MemoryBackend(urlsplit(url).netloc, durability)


@_hookimpl
async def perdure_missing(url: str) -> str | None:
    """Return `memory://`, and `memory://NAME` of which this process has heard nothing."""
    return None if urlsplit(url).netloc in _shared else url
