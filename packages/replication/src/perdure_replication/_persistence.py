"""Where a node keeps its shards, its keys and its incarnation."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import chain, count
from typing import Any

import msgspec

from perdure.abc import Backend, Put, PutState, Replace, StateVersion, Write, WriteGroup
from perdure.errors import EntryNotFound
from perdure_replication._envelopes import StateObject
from perdure_replication.errors import Fenced

_CLAIMS = "replicas"
"""The name of the backend's state that holds a node's incarnation. Those of its shards are called otherwise."""


class StoredKey(msgspec.Struct, frozen=True, array_like=True):
    """A key of a keyed state as it is stored."""

    number: int
    """Of its last change."""
    key: str
    version: int
    """In which its data is written."""
    data: bytes


class StatePersistence(ABC):
    """Keeps the shards of one node, its keys, and the incarnation of its present life.

    A new life fences the earlier ones: after `claim` has returned, no `save` of an object that claimed before succeeds.
    """

    @abstractmethod
    async def claim(self, at_least: int) -> int:
        """Begin a life: return its incarnation, at least so much and greater than all that were returned before.

        It is durable when this returns.
        """

    @abstractmethod
    async def load(self, state: str) -> StateObject | None:
        """Return what was saved last of a state, or None if nothing was. Raises when that cannot be known."""

    @abstractmethod
    async def save(self, record: StateObject, changes: Sequence[Any]) -> None:
        """Keep a shard in place of what was kept of it; it is durable when this returns. The same may be saved again.

        `changes` are those of the mutations that led to it, for those who keep a log rather than a value. Raises
        `Fenced` when a later life has begun, `perdure.errors.OutcomeUnknown` when it may or may not be kept: then it is
        called again with the same record; anything else when it is surely not kept.
        """

    @abstractmethod
    def load_keys(self, state: str) -> AsyncIterator[StoredKey]:
        """Yield what is kept of a keyed state, by ascending number. Raises when that cannot be known.

        It is called before the first `save_keys` of a state.
        """

    @abstractmethod
    async def save_keys(self, state: str, kept: Sequence[StoredKey], gone: Sequence[str]) -> None:
        """Keep some keys of a keyed state, each in place of what is kept of it, and others no more: all, or nothing.

        No key is named twice. The same may be saved again. Raises as `save`.
        """

    async def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Release what was opened for it. May be called again."""


class _Life(msgspec.Struct, frozen=True, array_like=True):
    incarnation: int


_encode = msgspec.msgpack.Encoder().encode


class _Places:
    """Where the keys of a keyed state are: each has a place of its own, which another one takes when it is gone.

    So a change replaces one entry, and nothing is removed between others: there are stores in which that moves all of
    them.
    """

    def __init__(self) -> None:
        self.of: dict[str, int] = {}
        self.last = 0
        self._free: list[int] = []

    def found(self, place: int, stored: StoredKey | None) -> None:
        """Learn what is at a place; the places ascend."""
        self.last = place
        if stored is None:
            self._free.append(place)
        else:
            self.of[stored.key] = place

    def taken(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the places that some keys have, or would take: the same ones until they are taken."""
        free = chain(reversed(self._free), count(self.last + 1))
        return {key: self.of[key] if key in self.of else next(free) for key in keys}

    def take(self, taken: Mapping[str, int], gone: Sequence[str]) -> None:
        """Give some keys their places, and leave those of others."""
        new = sum(key not in self.of for key in taken)
        del self._free[max(0, len(self._free) - new) :]
        self.of.update(taken)
        self.last = max(self.last, *taken.values()) if taken else self.last
        self._free += [self.of.pop(key) for key in gone if key in self.of]


class BackendPersistence(StatePersistence):
    """Keeps a node's shards in any perdure backend, as states of the prefix that is the node's name.

    The keys of its keyed states are entries of collections of that prefix. Each save is a group that
    expects the node's claim to be the own one, so the store itself refuses earlier lives. Closing it does not
    close the backend.
    """

    def __init__(self, backend: Backend, node: str) -> None:
        """Raise `perdure.errors.InvalidIdentifier` for a name that no store can hold."""
        self._backend = backend
        self._node = node
        self._claims = backend.state(_CLAIMS, node)
        self._claimed: int | None = None
        self._places: dict[str, _Places] = {}
        self._turn = asyncio.Lock()

    async def claim(self, at_least: int) -> int:
        async with self._turn:
            while True:
                version, last = await self._last_life()
                incarnation = max(at_least, last + 1)
                value = msgspec.msgpack.encode(_Life(incarnation))
                group = WriteGroup((PutState(_CLAIMS, self._node, value),), (self._expected(version),))
                [conflict] = await self._backend.commit([group])
                if conflict is None:
                    self._claimed = version + 1
                    return incarnation

    async def load(self, state: str) -> StateObject | None:
        try:
            stored = await self._backend.state(_state_of(state), self._node).get()
        except EntryNotFound:
            return None
        return msgspec.msgpack.decode(stored.value, type=StateObject)

    async def save(self, record: StateObject, changes: Sequence[Any]) -> None:
        await self._commit([PutState(_state_of(record.state), self._node, msgspec.msgpack.encode(record))])

    async def load_keys(self, state: str) -> AsyncIterator[StoredKey]:
        places, found = _Places(), list[StoredKey]()
        async for place, value in self._backend.collection(_keys_of(state), self._node).iterate():
            stored = msgspec.msgpack.decode(value, type=StoredKey | None)
            places.found(place, stored)
            if stored is not None:
                found.append(stored)
        self._places[state] = places
        for stored in sorted(found, key=lambda each: each.number):
            yield stored

    async def save_keys(self, state: str, kept: Sequence[StoredKey], gone: Sequence[str]) -> None:
        name, places = _keys_of(state), self._places[state]
        taken = places.taken([each.key for each in kept])
        writes: list[Write] = [
            Replace(name, self._node, places.of[key], _encode(None)) for key in gone if key in places.of
        ]
        for each in kept:
            place = taken[each.key]
            write = Put if place > places.last else Replace
            writes.append(write(name, self._node, place, _encode(each)))
        if writes:
            await self._commit(writes)
        places.take(taken, gone)

    async def _commit(self, writes: Sequence[Write]) -> None:
        """Write as the present life. Raises `Fenced` where there is none, or a later one."""
        async with self._turn:
            if self._claimed is None:
                raise Fenced(self._node, "it has claimed no incarnation")
            group = WriteGroup(tuple(writes), (self._expected(self._claimed),))
            [conflict] = await self._backend.commit([group])
            if conflict is not None:
                raise Fenced(self._node, "a later life of it has begun on the same store")

    def _expected(self, version: int) -> StateVersion:
        return StateVersion(_CLAIMS, self._node, version)

    async def _last_life(self) -> tuple[int, int]:
        try:
            stored = await self._claims.get()
        except EntryNotFound:
            return await self._claims.version(), 0
        return stored.version, msgspec.msgpack.decode(stored.value, type=_Life).incarnation


def _keys_of(state: str) -> str:
    return f"keys_{state}"


def _state_of(name: str) -> str:
    return f"replica_{name}"
