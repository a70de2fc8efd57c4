"""Where a node keeps its shards and its incarnation."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from perdure.abc import Backend, PutState, StateVersion, WriteGroup
from perdure.errors import EntryNotFound
from perdure_replication._envelopes import StateObject
from perdure_replication.errors import Fenced

_CLAIMS = "replicas"
"""The name of the backend's state that holds a node's incarnation. Those of its shards are called otherwise."""


class StatePersistence(ABC):
    """Keeps the shards of one node, and the incarnation of its present life.

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

    async def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Release what was opened for it. May be called again."""


class _Life(msgspec.Struct, frozen=True, array_like=True):
    incarnation: int


class BackendPersistence(StatePersistence):
    """Keeps a node's shards in any perdure backend, as states of the prefix that is the node's name.

    Each save is a group that expects the node's claim to be the own one, so the store itself refuses earlier lives.
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
        async with self._turn:
            if self._claimed is None:
                raise Fenced(self._node, "it has claimed no incarnation")
            write = PutState(_state_of(record.state), self._node, msgspec.msgpack.encode(record))
            [conflict] = await self._backend.commit([WriteGroup((write,), (self._expected(self._claimed),))])
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


def _state_of(name: str) -> str:
    return f"replica_{name}"
