"""Where shards are kept in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from perdure_replication._envelopes import StateObject
from perdure_replication._persistence import StatePersistence, StoredKey
from perdure_replication.errors import Fenced


class InMemoryPersistence(StatePersistence):
    """Keeps shards in a dictionary, which outlives the node. `life()` gives the next life of it another object."""

    def __init__(self, node: str = "node") -> None:
        self.node = node
        self.records: dict[str, StateObject] = {}
        self.saved: list[tuple[StateObject, tuple[Any, ...]]] = []
        """Every save that succeeded, with its changes."""
        self.keys: dict[str, dict[str, StoredKey]] = {}
        """The keys of each keyed state."""
        self._claims: list[int] = []
        self._own = 0

    def life(self) -> InMemoryPersistence:
        """Return an object on the same records, for another life."""
        other = InMemoryPersistence(self.node)
        other.records, other.saved, other.keys, other._claims = self.records, self.saved, self.keys, self._claims
        return other

    async def claim(self, at_least: int) -> int:
        self._own = max([at_least, *(claim + 1 for claim in self._claims)])
        self._claims.append(self._own)
        return self._own

    async def load(self, state: str) -> StateObject | None:
        return self.records.get(state)

    async def save(self, record: StateObject, changes: Sequence[Any]) -> None:
        self._check()
        self.records[record.state] = record
        self.saved.append((record, tuple(changes)))

    async def load_keys(self, state: str) -> AsyncIterator[StoredKey]:
        for stored in sorted(self.keys.get(state, {}).values(), key=lambda each: each.number):
            yield stored

    async def save_keys(self, state: str, kept: Sequence[StoredKey], gone: Sequence[str]) -> None:
        self._check()
        keys = self.keys.setdefault(state, {})
        for key in gone:
            keys.pop(key, None)
        keys.update((each.key, each) for each in kept)

    def _check(self) -> None:
        if not self._claims or self._claims[-1] != self._own:
            raise Fenced(self.node, "a later life of it has begun on the same store")


class FailingPersistence(StatePersistence):
    """Fails to load and to save, with an error of your choice; `heal` ends it, and everything goes to another one."""

    def __init__(self, error: Exception | None = None, behind: StatePersistence | None = None) -> None:
        self._error: Exception | None = error or OSError("the disk is gone")
        self._behind = behind or InMemoryPersistence()

    def heal(self) -> None:
        """Fail no more."""
        self._error = None

    def fail(self, error: Exception) -> None:
        """Fail again."""
        self._error = error

    async def claim(self, at_least: int) -> int:
        return await self._behind.claim(at_least)

    async def load(self, state: str) -> StateObject | None:
        self._check()
        return await self._behind.load(state)

    async def save(self, record: StateObject, changes: Sequence[Any]) -> None:
        self._check()
        await self._behind.save(record, changes)

    async def load_keys(self, state: str) -> AsyncIterator[StoredKey]:
        self._check()
        async for stored in self._behind.load_keys(state):
            yield stored

    async def save_keys(self, state: str, kept: Sequence[StoredKey], gone: Sequence[str]) -> None:
        self._check()
        await self._behind.save_keys(state, kept, gone)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
