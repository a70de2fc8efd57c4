"""The storage contract: what a backend implements, and all that perdure asks of it.

A backend holds *collections* (byte values under ascending integer keys, isolated by prefix) and *states* (one
byte value with a version, by prefix). It changes them by one call, `Backend.commit`: many groups, each atomic on
its own and guarded by expectations, all durable when the call returns. Journals, snapshots, leases and offsets
stand on this alone, so a backend that keeps these few promises has every feature.

Why the head of a log is its last key: compaction keeps the last event, so the expectation `LastKey(n)` refuses
every stale writer, in every backend, with no second record.

Why there is a `Replace` beside `Put`: what rewrites old entries in place (a sweep that seals them anew) goes on beside
compaction and beside readers of the feed. A put would bring back what was removed since it was read, and would show
every reader of the feed an old record as a new one.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from itertools import accumulate
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import msgspec

from perdure._machine import MachineProfile, MachineSpec
from perdure._worker import Worker
from perdure.errors import EntryNotFound, InvalidIdentifier, StoreError

__all__ = [
    "MAX_KEY",
    "Backend",
    "Collection",
    "Conflict",
    "Delete",
    "DeleteRange",
    "DeleteState",
    "Durability",
    "Entry",
    "Expectation",
    "FeedPage",
    "FeedRecord",
    "LastKey",
    "MachineProfile",
    "MachineSpec",
    "Page",
    "Purge",
    "PurgeState",
    "Put",
    "PutState",
    "Replace",
    "State",
    "StateVersion",
    "Versioned",
    "Worker",
    "Write",
    "WriteGroup",
    "check_key",
    "check_name",
    "check_prefix",
    "pages_within",
    "states_within",
]

Durability: TypeAlias = Literal["full", "relaxed"]
"""`full`: an acknowledged write survives power loss. `relaxed`: it survives the crash of the process."""

MAX_KEY = 2**63 - 1
"""The greatest key of a collection; the least is 1."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_PREFIX_BYTES = 1024
_TOGETHER = 16


class Put(msgspec.Struct, frozen=True, gc=False):
    """Store `value` under `key`, whatever is there; its place in the feed is the newest."""

    collection: str
    prefix: str
    key: int
    value: bytes


class Replace(msgspec.Struct, frozen=True, gc=False):
    """Put another value in the place of the one under `key`; its place in the feed stays. Silent when absent."""

    collection: str
    prefix: str
    key: int
    value: bytes


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Remove one key; silent when it is absent."""

    collection: str
    prefix: str
    key: int


class DeleteRange(msgspec.Struct, frozen=True, gc=False):
    """Remove all keys with `start <= key < stop`."""

    collection: str
    prefix: str
    start: int
    stop: int


class Purge(msgspec.Struct, frozen=True, gc=False):
    """Remove everything that a collection holds under a prefix: its last key is 0 again."""

    collection: str
    prefix: str


class PutState(msgspec.Struct, frozen=True, gc=False):
    """Replace a state's value; its version grows by one."""

    state: str
    prefix: str
    value: bytes


class DeleteState(msgspec.Struct, frozen=True, gc=False):
    """Remove a state's value; its version grows by one, so a writer that saw the value is stale. Silent when absent."""

    state: str
    prefix: str


class PurgeState(msgspec.Struct, frozen=True, gc=False):
    """Forget a state with its version: it is 0 again."""

    state: str
    prefix: str


class LastKey(msgspec.Struct, frozen=True, gc=False):
    """Expect the greatest key of a collection's prefix to be `key`; 0 expects it to be empty."""

    collection: str
    prefix: str
    key: int


class StateVersion(msgspec.Struct, frozen=True, gc=False):
    """Expect a state to have this version; 0 expects that it was never put."""

    state: str
    prefix: str
    version: int


Write: TypeAlias = Put | Replace | Delete | DeleteRange | Purge | PutState | DeleteState | PurgeState
Expectation: TypeAlias = LastKey | StateVersion


class WriteGroup(msgspec.Struct, frozen=True, gc=False):
    """Writes that happen together, in order, or not at all, if every expectation holds before the first of them."""

    writes: tuple[Write, ...]
    expectations: tuple[Expectation, ...] = ()


class Conflict(NamedTuple):
    """A group's first expectation that failed, and the key or version found in its place. The group changed nothing."""

    expectation: Expectation
    actual: int


class Entry(NamedTuple):
    """One value of a collection and its key."""

    key: int
    value: bytes


class Versioned(NamedTuple):
    """A state's value and its version."""

    version: int
    value: bytes


class Page(NamedTuple):
    """Entries in the order asked for, and whether there are more behind them."""

    entries: list[Entry]
    more: bool


class FeedRecord(NamedTuple):
    """One value of a collection, with its prefix and key."""

    prefix: str
    key: int
    value: bytes


class FeedPage(NamedTuple):
    """Records in commit order, and the offset from which to read on."""

    records: list[FeedRecord]
    offset: str


class Backend(ABC):
    """A place that keeps bytes durably. Open one with `perdure.open_backend(url)`.

    Every method may be called at any time from the event loop in which the backend was opened, never blocks that
    loop, and may be cancelled without harm to other calls; a cancelled commit goes on. Names match
    `[a-z][a-z0-9_]*` in at most 48 characters; prefixes are any text of 1 to 1,024 bytes in UTF-8 without NUL.

    Raises `StoreClosed` after `close`, `StoreUnavailable` when the store cannot be reached, another `StoreError`
    when a call fails. Nothing is ever reported as not found because reading it failed.
    """

    durability: Durability = "full"
    max_value_bytes: int = 512 * 1024 * 1024

    def collection(self, name: str, prefix: str) -> Collection:
        """Return the handle of a collection's prefix, without touching the store. Raises `InvalidIdentifier`."""
        return Collection(self, check_name(name), check_prefix(prefix))

    def state(self, name: str, prefix: str) -> State:
        """Return the handle of a state, without touching the store. Raises `InvalidIdentifier`."""
        return State(self, check_name(name), check_prefix(prefix))

    @abstractmethod
    def commit(self, groups: Sequence[WriteGroup]) -> Awaitable[Sequence[Conflict | None]]:
        """Apply each group whose expectations hold, in order, and make all of them durable.

        A group sees what the groups before it have written and removed. The result has one place a group: None where it
        was applied, a `Conflict` where it was not. When this returns, all that was applied survives what `durability`
        says. Raises `OutcomeUnknown` when some groups may have been written; any other error means that none was. A
        driver that sends a commit again returns the outcome of the first, or raises `OutcomeUnknown`: the conflict with
        its own write would be taken for somebody else's.
        """

    @abstractmethod
    def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> Awaitable[Page]:
        """Return the first entries with `start <= key < stop`, ascending or, with `reverse`, descending.

        They are as many as there are, but at most `limit` and, after the first, at most `max_bytes` together. One page
        is one moment of the store.
        """

    def pages(
        self, collection: str, prefixes: Sequence[str], *, limit: int, max_bytes: int
    ) -> Awaitable[Sequence[Page]]:
        """Return the first page of each of these prefixes, in their order; or of the first of them, one at least.

        All together have at most `limit` entries and, after the first, at most `max_bytes`; the last page may be cut by
        that. Who reads many short logs asks for as many as a backend gives at once, and for the others again. This one
        asks for a few pages at a time: override it where many can come the same way.
        """
        return _pages(self, collection, prefixes, limit, max_bytes)

    @abstractmethod
    def last(self, collection: str, prefix: str) -> Awaitable[int]:
        """Return the greatest key, or 0 when there is none."""

    @abstractmethod
    def read_state(self, state: str, prefix: str) -> Awaitable[tuple[int, bytes | None]]:
        """Return a state's version (0 if it was never put) and its value (None if it has none)."""

    def read_states(
        self, state: str, prefixes: Sequence[str], *, max_bytes: int
    ) -> Awaitable[Sequence[tuple[int, bytes | None]]]:
        """Return what `read_state` does for each of these prefixes, in order; or for the first of them, one at least.

        The values have, after the first, at most `max_bytes` together. This one asks for a few at a time: override it
        where many can come the same way.
        """
        return _states(self, state, prefixes, max_bytes)

    @abstractmethod
    def prefixes(self, collection: str, after: str = "", limit: int = 1000) -> Awaitable[list[str]]:
        """Return up to `limit` prefixes that hold an entry and are greater than `after`, ascending by code point."""

    @abstractmethod
    def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> Awaitable[FeedPage]:
        """Return records of all prefixes in commit order, from the beginning or after an offset.

        Offsets are opaque and stay valid across processes. No record ever appears behind an offset that was handed out.
        A value that was put again appears at its newest place only, one that was changed by `Replace` at the place that
        it had; one that was deleted does not appear. Raises `ValueError` for what is no offset.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun, release everything and refuse further calls. May be called again."""


class Collection:
    """Byte values under ascending integer keys from 1 to `MAX_KEY`, isolated by prefix from all others."""

    __slots__ = ("_backend", "name", "prefix")
    _PAGE: ClassVar[int] = 512
    _PAGE_BYTES: ClassVar[int] = 4 * 1024 * 1024

    def __init__(self, backend: Backend, name: str, prefix: str) -> None:
        self._backend = backend
        self.name = name
        self.prefix = prefix

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, {self.prefix!r})"

    async def get(self, key: int) -> bytes:
        """Return the value under `key`. Raises `EntryNotFound`."""
        check_key(key)
        page = await self._backend.page(self.name, self.prefix, key, key + 1, limit=1, max_bytes=1)
        if not page.entries:
            raise EntryNotFound(f"{self.name}/{self.prefix}/{key}")
        return page.entries[0].value

    async def put(self, key: int, value: bytes) -> None:
        """Store `value` under `key` durably, replacing what is there."""
        await self._backend.commit([WriteGroup((Put(self.name, self.prefix, check_key(key), value),))])

    async def delete(self, key: int) -> None:
        """Remove `key` durably. Raises `EntryNotFound` when it is absent; two deletes at once may both succeed."""
        await self.get(key)
        await self._backend.commit([WriteGroup((Delete(self.name, self.prefix, key),))])

    async def last(self) -> int:
        """Return the greatest key, or 0 when the collection is empty."""
        return await self._backend.last(self.name, self.prefix)

    async def iterate(
        self, start: int = 1, stop: int | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Entry]:
        """Yield the entries with `start <= key < stop`, all of them by default, ascending unless `reverse`.

        Pages of the store are read as needed: what is written meanwhile ahead of the iteration is seen.
        """
        end = MAX_KEY + 1 if stop is None else stop
        left = MAX_KEY if limit is None else limit
        more = True
        while more and left > 0:
            entries, more = await self._backend.page(
                self.name,
                self.prefix,
                start,
                end,
                limit=min(left, self._PAGE),
                max_bytes=self._PAGE_BYTES,
                reverse=reverse,
            )
            for entry in entries:
                yield entry
            left -= len(entries)
            if more and reverse:
                end = entries[-1].key
            elif more:
                start = entries[-1].key + 1

    async def purge(self) -> None:
        """Remove everything under this prefix durably, and nothing else."""
        await self._backend.commit([WriteGroup((Purge(self.name, self.prefix),))])


class State:
    """One byte value with a version, isolated by prefix from all others."""

    __slots__ = ("_backend", "name", "prefix")

    def __init__(self, backend: Backend, name: str, prefix: str) -> None:
        self._backend = backend
        self.name = name
        self.prefix = prefix

    def __repr__(self) -> str:
        return f"State({self.name!r}, {self.prefix!r})"

    async def get(self) -> Versioned:
        """Return the value and its version. Raises `EntryNotFound`."""
        version, value = await self._backend.read_state(self.name, self.prefix)
        if value is None:
            raise EntryNotFound(f"{self.name}/{self.prefix}")
        return Versioned(version, value)

    async def version(self) -> int:
        """Return the version: 0 if never put, one more after each put and each delete."""
        return (await self._backend.read_state(self.name, self.prefix))[0]

    async def put(self, value: bytes) -> None:
        """Replace the value durably; the version grows by one."""
        await self._backend.commit([WriteGroup((PutState(self.name, self.prefix, value),))])

    async def delete(self) -> None:
        """Remove the value durably; the version grows by one. Raises `EntryNotFound` when there is none."""
        version = (await self.get()).version
        expectation = StateVersion(self.name, self.prefix, version)
        [conflict] = await self._backend.commit([WriteGroup((DeleteState(self.name, self.prefix),), (expectation,))])
        if conflict is not None:
            raise StoreError("delete", f"{self.name}/{self.prefix} changed meanwhile to version {conflict.actual}")

    async def purge(self) -> None:
        """Forget the value and its version durably; silent when there is none."""
        await self._backend.commit([WriteGroup((PurgeState(self.name, self.prefix),))])


async def _pages(
    backend: Backend, collection: str, prefixes: Sequence[str], limit: int, max_bytes: int
) -> Sequence[Page]:
    asked = (
        backend.page(collection, prefix, 1, MAX_KEY + 1, limit=limit, max_bytes=max_bytes)
        for prefix in prefixes[:_TOGETHER]
    )
    return pages_within(await asyncio.gather(*asked), limit, max_bytes)


async def _states(
    backend: Backend, state: str, prefixes: Sequence[str], max_bytes: int
) -> Sequence[tuple[int, bytes | None]]:
    asked = (backend.read_state(state, prefix) for prefix in prefixes[:_TOGETHER])
    return states_within(await asyncio.gather(*asked), max_bytes)


def pages_within(pages: Sequence[Page], limit: int, max_bytes: int) -> Sequence[Page]:
    """Return as many of the first pages as `Backend.pages` may give together, where each keeps the limits by itself."""
    counts = accumulate(len(page.entries) for page in pages)
    sizes = accumulate(sum([len(entry.value) for entry in page.entries]) for page in pages)
    return pages[: max(1, sum(n <= limit and size <= max_bytes for n, size in zip(counts, sizes, strict=True)))]


def states_within(states: Sequence[tuple[int, bytes | None]], max_bytes: int) -> Sequence[tuple[int, bytes | None]]:
    """Return as many of the first states as `Backend.read_states` may give together."""
    sizes = accumulate(len(value or b"") for _, value in states)
    return states[: max(1, sum(size <= max_bytes for size in sizes))]


def check_name(name: str) -> str:
    """Return a collection's or state's name if it is valid everywhere. Raises `InvalidIdentifier`."""
    if _NAME.fullmatch(name) is None:
        raise InvalidIdentifier(
            "name", name, "use a to z, 0 to 9 and _, beginning with a letter, at most 48 characters"
        )
    return name


def check_prefix(prefix: str) -> str:
    """Return a prefix if it is valid everywhere. Raises `InvalidIdentifier`."""
    try:
        size = len(prefix.encode())
    except UnicodeEncodeError as error:
        raise InvalidIdentifier("prefix", ascii(prefix), "it holds half of a surrogate pair") from error
    if not 1 <= size <= _PREFIX_BYTES:
        raise InvalidIdentifier("prefix", prefix, f"it must have 1 to {_PREFIX_BYTES:,} bytes in UTF-8")
    if "\0" in prefix:
        raise InvalidIdentifier("prefix", prefix, "it must not contain NUL")
    return prefix


def check_key(key: int) -> int:
    """Return a key if it is in range. Raises `InvalidIdentifier`."""
    if not 1 <= key <= MAX_KEY:
        raise InvalidIdentifier("key", str(key), "keys are integers from 1 to 2**63 - 1")
    return key
