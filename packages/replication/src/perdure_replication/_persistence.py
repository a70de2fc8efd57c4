"""Where a node keeps its shards, its keys and its incarnation."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from perdure.abc import Backend, Delete, Put, PutState, StateVersion, Write, WriteGroup
from perdure.errors import EntryNotFound
from perdure_replication._envelopes import StateObject
from perdure_replication.errors import Fenced

_CLAIMS = "replicas"
"""The name of the backend's state that holds a node's incarnation. Those of its shards are called otherwise."""


class StoredKey(msgspec.Struct, frozen=True):
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
        """Yield what is kept of a keyed state, by ascending number. Raises when that cannot be known."""

    @abstractmethod
    async def save_keys(self, state: str, kept: Sequence[StoredKey], gone: Sequence[int]) -> None:
        """Keep some keys of a keyed state, and what is under some numbers no more: all of that, or nothing.

        The numbers of `kept` are greater than all that were kept before. The same may be saved again. Raises as `save`.
        """

    async def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Release what was opened for it. May be called again."""


class _Life(msgspec.Struct, frozen=True, array_like=True):
    incarnation: int


class _Key(msgspec.Struct, frozen=True, array_like=True):
    key: str
    version: int
    data: bytes


class BackendPersistence(StatePersistence):
    """Keeps a node's shards in any perdure backend, as states of the prefix that is the node's name.

    The keys of its keyed states are collections of that prefix, in the order of their last changes. Each save is a
    group that expects the node's claim to be the own one, so the store itself refuses earlier lives.
    Closing it does not close the backend.
    """

    def __init__(self, backend: Backend, node: str) -> None:
        """Raise `perdure.errors.InvalidIdentifier` for a name that no store can hold."""
        self._backend = backend
        self._node = node
        self._claims = backend.state(_CLAIMS, node)
        self._claimed: int | None = None
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
        async for number, value in self._backend.collection(_keys_of(state), self._node).iterate():
            stored = msgspec.msgpack.decode(value, type=_Key)
            yield StoredKey(number, stored.key, stored.version, stored.data)

    async def save_keys(self, state: str, kept: Sequence[StoredKey], gone: Sequence[int]) -> None:
        name = _keys_of(state)
        writes: list[Write] = [Delete(name, self._node, number) for number in gone]
        for each in kept:
            value = msgspec.msgpack.encode(_Key(each.key, each.version, each.data))
            writes.append(Put(name, self._node, each.number, value))
        await self._commit(writes)

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
