"""The backend: what it is asked becomes commands, and their replies answers."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine, Iterable, Sequence
from itertools import accumulate, count, pairwise
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

import msgspec

from perdure.abc import (
    MAX_KEY,
    Backend,
    Conflict,
    Durability,
    Entry,
    FeedPage,
    FeedRecord,
    Page,
    WriteGroup,
    check_name,
    check_prefix,
    pages_within,
    states_within,
)
from perdure.errors import CreateStoreError, OutcomeUnknown, StoreClosed, StoreError
from perdure_redis._command import FEED, OPEN, PAGE, packed
from perdure_redis._courier import Courier, Request
from perdure_redis._feed import Placed, merged
from perdure_redis._guarantee import Barrier, DurabilityWarning, Guarantee, guarantee_of
from perdure_redis._keys import Keys, record_key, slot_of
from perdure_redis._plan import rounds_of
from perdure_redis._settings import Settings
from perdure_redis._topology import Standalone, topology_of

T = TypeVar("T")

SCHEMA = 1
"""The arrangement of the keys that this version writes, and the newest that it reads."""

_CLUSTER_SLICES = 16
_GREATEST_POSITION = 2**63

_strings = msgspec.msgpack.Decoder(list[str]).decode
_numbers = msgspec.msgpack.Decoder(list[int]).decode


class RedisBackend(Backend):
    """A store on Redis or Valkey. Other processes may have the same store open.

    Open it with `await RedisBackend.open(...)` or `perdure.open_backend("redis://localhost:6379")`. `durability` is
    what the servers' settings keep, and `guarantee` says why it may be less than was asked for.
    """

    max_value_bytes = 256 * 1024 * 1024  # a server holds it some three times while a script runs
    _READS: ClassVar[int] = 16
    _TOGETHER: ClassVar[int] = 128
    _FEED_BYTES: ClassVar[int] = 4 * 1024 * 1024

    def __init__(self, settings: Settings, topology: Standalone, keys: Keys, guarantee: Guarantee) -> None:
        self.settings = settings
        self.guarantee = guarantee
        self.durability = guarantee.kept
        self.slices = keys.slices
        self._keys = keys
        self._topology = topology
        self._courier = Courier(topology, settings.timeout)
        self._barrier = Barrier.of(settings)
        self._writer = uuid4().hex[:16]
        self._numbers = count(1)
        self._writing = asyncio.Lock()  # commits are applied in the order in which they were begun
        self._reading = asyncio.Semaphore(self._READS)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing: asyncio.Future[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, url: str | Settings, durability: Durability = "full") -> RedisBackend:
        """Reach the servers, and find or make the store. Warns with `DurabilityWarning` where they keep less.

        Raises `CreateStoreError` naming the place and the reason.
        """
        settings = Settings.of_url(url) if isinstance(url, str) else url
        topology = topology_of(settings)
        try:
            slices = await _open_record(topology, settings)
            guarantee = await guarantee_of(topology, settings, durability)
            for shortfall in guarantee.shortfalls:
                warnings.warn(f"{settings.shown}: {shortfall}", DurabilityWarning, stacklevel=2)
        except BaseException:
            await topology.close()
            raise
        return cls(settings, topology, Keys(settings.namespace, slices), guarantee)

    @classmethod
    async def missing(cls, url: str) -> str | None:
        """Return the place where a store would be made, None where there is one. Raises `CreateStoreError`."""
        settings = Settings.of_url(url)
        topology = topology_of(settings)
        try:
            key = record_key(settings.namespace)
            found = await _ask("look for", topology, settings, packed(b"EXISTS", key))
        finally:
            await topology.close()
        return None if found else f"{settings.shown} (namespace {settings.namespace})"

    def commit(self, groups: Sequence[WriteGroup]) -> asyncio.Future[list[Conflict | None]]:
        return self._begin("commit", self._commit(groups))

    def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> asyncio.Future[Page]:
        return self._begin("page", self._page(collection, prefix, start, stop, limit, max_bytes, reverse))

    def pages(
        self, collection: str, prefixes: Sequence[str], *, limit: int, max_bytes: int
    ) -> asyncio.Future[Sequence[Page]]:
        return self._begin("pages", self._pages(collection, prefixes[: self._TOGETHER], limit, max_bytes))

    def last(self, collection: str, prefix: str) -> asyncio.Future[int]:
        return self._begin("last", self._last(collection, prefix))

    def read_state(self, state: str, prefix: str) -> asyncio.Future[tuple[int, bytes | None]]:
        return self._begin("read_state", self._read_state(state, prefix))

    def read_states(
        self, state: str, prefixes: Sequence[str], *, max_bytes: int
    ) -> asyncio.Future[Sequence[tuple[int, bytes | None]]]:
        return self._begin("read_states", self._read_states(state, prefixes[: self._TOGETHER], max_bytes))

    def prefixes(self, collection: str, after: str = "", limit: int = 1000) -> asyncio.Future[list[str]]:
        return self._begin("prefixes", self._prefixes(collection, after, limit))

    def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> asyncio.Future[FeedPage]:
        """Return records in commit order: in that of each slice, and among slices by the clocks of their servers."""
        return self._begin("feed", self._feed(collection, after, limit))

    async def close(self) -> None:
        """Finish what was begun, and close the connections."""
        if self._closing is None:
            self._closed = True
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._topology.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<RedisBackend {self.settings.shown} {self.settings.namespace}>"

    def _begin(self, operation: str, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Have work done in a task of its own: who gives up waiting for it harms neither it nor a connection."""
        if self._closed:
            work.close()
            raise StoreClosed(operation)
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return asyncio.shield(task)

    async def _commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        outcomes: list[Conflict | None] = [None] * len(groups)
        rounds = rounds_of(groups, self._keys, self.max_value_bytes)
        if not rounds:
            return outcomes
        async with self._writing:
            for turn, plans in enumerate(rounds):
                number = next(self._numbers)
                requests = [Request(plan.slot, plan.command(self._writer, number)) for plan in plans.values()]
                answers = await self._courier.deliver("commit", requests, self._barrier)
                if failures := [answer for answer in answers if isinstance(answer, StoreError)]:
                    raise _commit_error(failures, turn > 0 or len(failures) < len(answers))
                for plan, answer in zip(plans.values(), answers, strict=True):
                    plan.report(answer, outcomes)
        return outcomes

    async def _page(
        self, collection: str, prefix: str, start: int, stop: int, limit: int, max_bytes: int, reverse: bool
    ) -> Page:
        slice, log = self._log(collection, prefix)
        if start >= stop or stop <= 0:
            return Page([], False)
        return _page(await self._read("page", slice, _page_command(log, start, stop, limit, max_bytes, reverse)))

    async def _pages(self, collection: str, prefixes: Sequence[str], limit: int, max_bytes: int) -> Sequence[Page]:
        logs = [self._log(collection, prefix) for prefix in prefixes]
        commands = [(slice, _page_command(log, 1, MAX_KEY + 1, limit, max_bytes, False)) for slice, log in logs]
        return pages_within([_page(answer) for answer in await self._read_all("pages", commands)], limit, max_bytes)

    async def _last(self, collection: str, prefix: str) -> int:
        slice, log = self._log(collection, prefix)
        return int(await self._read("last", slice, packed(b"LINDEX", log, b"-3")) or 0)

    async def _read_state(self, state: str, prefix: str) -> tuple[int, bytes | None]:
        return _state(await self._read("read_state", *self._state_command(state, prefix)))

    async def _read_states(
        self, state: str, prefixes: Sequence[str], max_bytes: int
    ) -> Sequence[tuple[int, bytes | None]]:
        commands = [self._state_command(state, prefix) for prefix in prefixes]
        return states_within([_state(answer) for answer in await self._read_all("read_states", commands)], max_bytes)

    async def _prefixes(self, collection: str, after: str, limit: int) -> list[str]:
        check_name(collection)
        begin = b"(" + after.encode() if after else b"-"
        commands = [
            packed(
                *(b"ZRANGE", self._keys.prefixes(slice, collection), begin, b"+", b"BYLEX"),
                *(b"LIMIT", b"0", b"%d" % max(limit, 0)),
            )
            for slice in range(self.slices)
        ]
        pages = await asyncio.gather(*(self._read("prefixes", *each) for each in enumerate(commands)))
        return [prefix.decode() for prefix in sorted(prefix for page in pages for prefix in page)[: max(limit, 0)]]

    async def _feed(self, collection: str, after: str | None, limit: int) -> FeedPage:
        check_name(collection)
        positions = self._positions(after)

        def read(slice: int, position: int, limit: int) -> Coroutine[Any, Any, tuple[list[Placed], bool]]:
            return self._slice_feed(slice, collection, position, limit)

        records: list[FeedRecord] = []
        left = self._FEED_BYTES
        async for slice, position, record in merged(positions, read, limit):
            left -= len(record.value)
            if left < 0 and records:
                break
            positions[slice] = position
            records.append(record)
        return FeedPage(records, ".".join(map(str, positions)))

    async def _slice_feed(self, slice: int, collection: str, after: int, limit: int) -> tuple[list[Placed], bool]:
        keys = [self._keys.feed(slice, collection), self._keys.numbers(slice, collection)]
        numbers = (after, limit, self._FEED_BYTES // self.slices)
        command = FEED.call(keys, *(b"%d" % number for number in numbers), self._keys.log(slice, collection))
        more, positions, prefixes, logs, sizes, blob = await self._read("feed", slice, command)
        records = map(FeedRecord, _strings(prefixes), map(int, _strings(logs)), _cut(blob, _numbers(sizes)))
        return list(zip(_numbers(positions), records, strict=True)), bool(more)

    def _positions(self, offset: str | None) -> list[int]:
        """Return the position in each slice that an offset stands for. Raises `ValueError`."""
        if offset is None:
            return [0] * self.slices
        parts = offset.split(".")
        if len(parts) != self.slices or not all(part.isascii() and part.isdecimal() for part in parts):
            raise ValueError(f"{offset!r} is no offset of a feed of {self.slices} slices")
        positions = list(map(int, parts))
        if max(positions) >= _GREATEST_POSITION:
            raise ValueError(f"{offset!r} is no offset: a position has 63 bits")
        return positions

    def _log(self, collection: str, prefix: str) -> tuple[int, bytes]:
        encoded = check_prefix(prefix).encode()
        slice = self._keys.slice_of(encoded)
        return slice, self._keys.log(slice, check_name(collection), encoded)

    def _state_command(self, state: str, prefix: str) -> tuple[int, bytes]:
        encoded = check_prefix(prefix).encode()
        slice = self._keys.slice_of(encoded)
        return slice, packed(b"GET", self._keys.state(slice, check_name(state), encoded))

    async def _read(self, operation: str, slice: int, command: bytes) -> Any:
        [answer] = await self._read_all(operation, [(slice, command)])
        return answer

    async def _read_all(self, operation: str, commands: Iterable[tuple[int, bytes]]) -> list[Any]:
        """Return the answers to commands for slices, which go together where the same server has them."""
        requests = [Request(self._keys.slots[slice], command) for slice, command in commands]
        async with self._reading:
            answers = await self._courier.deliver(operation, requests)
        for answer in answers:
            if isinstance(answer, StoreError):
                raise answer
        return answers


async def _open_record(topology: Standalone, settings: Settings) -> int:
    """Return the number of slices of the store, which is made if it is not there."""
    wanted = settings.slices or (_CLUSTER_SLICES if settings.kind == "cluster" else 1)
    key = record_key(settings.namespace)
    answer = await _ask("open", topology, settings, OPEN.call([key], b"%d" % SCHEMA, b"%d" % wanted))
    try:
        schema, slices = map(int, answer)
    except (TypeError, ValueError) as error:
        raise CreateStoreError("open", f"{settings.shown}: the record {key!r} is damaged: {answer}") from error
    if schema > SCHEMA:
        reason = f"has schema {schema}, and this perdure-redis knows up to {SCHEMA}: upgrade it"
        raise CreateStoreError("open", f"{settings.shown}: the store {settings.namespace!r} {reason}")
    if settings.slices not in (None, slices):
        reason = f"was made with {slices} slices, which stay, and {settings.slices} were asked for"
        raise CreateStoreError("open", f"{settings.shown}: the store {settings.namespace!r} {reason}")
    return slices


async def _ask(operation: str, topology: Standalone, settings: Settings, command: bytes) -> Any:
    """Return the answer of the server that has the store's record. Raises `CreateStoreError`."""
    request = Request(slot_of(record_key(settings.namespace)), command)
    [answer] = await Courier(topology, settings.timeout).deliver(operation, [request], patient=False)
    if isinstance(answer, StoreError):
        raise CreateStoreError("open", f"{settings.shown}: {answer.reason}") from answer
    return answer


def _commit_error(failures: list[StoreError], partly: bool) -> StoreError:
    """Return what is known of a whole commit of which these parts failed."""
    unknown = [failure for failure in failures if isinstance(failure, OutcomeUnknown)]
    if unknown:
        return unknown[0]
    return OutcomeUnknown("commit", f"a part was written, another not: {failures[0].reason}") if partly else failures[0]


def _page_command(log: bytes, start: int, stop: int, limit: int, max_bytes: int, reverse: bool) -> bytes:
    numbers = (max(start, 0), stop, max(limit, 0), max(max_bytes, 0), reverse)
    return PAGE.call([log], *(b"%d" % number for number in numbers))


def _page(answer: Any) -> Page:
    more, keys, sizes, blob = answer
    values = _cut(blob, _numbers(sizes))
    return Page([Entry(int(key), value) for key, value in zip(_strings(keys), values, strict=True)], bool(more))


def _state(stored: bytes | None) -> tuple[int, bytes | None]:
    if stored is None:
        return 0, None
    digits = min(place for place in (stored.find(b"+", 0, 24), stored.find(b"-", 0, 24)) if place > 0)
    return int(stored[:digits]), stored[digits + 1 :] if stored[digits : digits + 1] == b"+" else None


def _cut(blob: bytes, sizes: list[int]) -> list[bytes]:
    """Return the values that were joined, by their sizes."""
    return [blob[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]
