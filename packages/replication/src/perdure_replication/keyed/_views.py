"""What is held of the keys of all nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, KeysView, Mapping
from math import inf
from types import MappingProxyType
from typing import Generic, Literal, TypeVar

import msgspec

from perdure_replication._envelopes import Freshness
from perdure_replication._generation import Generation
from perdure_replication.keyed._part import Held, Part
from perdure_replication.keyed._state import KeyedState
from perdure_replication.topics import (
    GONE,
    Exchange,
    Follower,
    Holder,
    Interest,
    Latest,
    Pace,
    Reader,
    Record,
    Verdict,
)

V = TypeVar("V")

MAX_KEYS = 1_000_000
"""The keys that are held of one node."""


class KeyedChange(msgspec.Struct, Generic[V], frozen=True):
    """A key of a node has another value, or is gone."""

    node: str
    key: str
    generation: Generation
    """Of the value; of the last value, where it is gone with its node, or is not followed any more."""
    value: V | None
    kind: Literal["updated", "removed"] = "updated"


class _View(Generic[V]):
    """What is held of one other node."""

    def __init__(self, state: KeyedState[V], node: str, tell: Callable[[KeyedChange[V]], None]) -> None:
        self.values: dict[str, V] = {}
        self.generations: dict[str, Generation] = {}
        self._state = state
        self._node = node
        self._tell = tell

    def take(self, record: Record, format: int) -> Verdict:
        held = self.generations.get(record.key)
        if held is not None and held >= record.generation:
            return "old"
        if record.kind == GONE:
            self._remove(record.key, record.generation)
            return "moved"
        if held is None and len(self.values) >= MAX_KEYS:
            return "unreadable"
        try:
            value = self._state.decode_view(record.data, format)
        except Exception:  # the author's steps from version to version may raise anything
            return "unreadable"
        self.values[record.key] = value
        self.generations[record.key] = record.generation
        self._tell(KeyedChange(self._node, record.key, record.generation, value))
        return "moved"

    def known(self) -> KeysView[str]:
        return self.values.keys()

    def remove(self, key: str) -> None:
        if key in self.values:
            self._remove(key, self.generations[key])

    def clear(self) -> None:
        for key in list(self.values):
            self.remove(key)

    def held(self) -> dict[str, Held[V]]:
        return {key: Held(value, self.generations[key]) for key, value in self.values.items()}

    def _remove(self, key: str, generation: Generation) -> None:
        if self.values.pop(key, None) is not None:
            del self.generations[key]
            self._tell(KeyedChange(self._node, key, generation, None, "removed"))


class Views(Mapping[str, Mapping[str, V]]):
    """The values by node and key, as they are when they are read."""

    def __init__(self, own: str, part: Part[V], others: Mapping[str, _View[V]]) -> None:
        self._own = own
        self._part = part
        self._others = others

    def __getitem__(self, node: str) -> Mapping[str, V]:
        return MappingProxyType(self._part.values if node == self._own else self._others[node].values)

    def __iter__(self) -> Iterator[str]:
        yield self._own
        yield from self._others

    def __len__(self) -> int:
        return 1 + len(self._others)


class KeyedReader(Reader, Generic[V]):
    """Follows the parts of all other nodes."""

    def __init__(self, exchange: Exchange, state: KeyedState[V], wanted: Interest, pace: Pace) -> None:
        self.changes: set[Latest[KeyedChange[V]]] = set()
        self.views: dict[str, _View[V]] = {}
        self._own = exchange.node.name
        self._state = state
        super().__init__(exchange, state.name, wanted, pace)

    def tell(self, change: KeyedChange[V]) -> None:
        for each in self.changes:
            each.put((change.node, change.key), change)

    def end(self) -> None:
        for each in list(self.changes):
            each.end()

    def freshness(self, max_staleness: float) -> Freshness:
        since = self._exchange.now - max_staleness
        stale, missing, incompatible, unreachable = [], [], [], []
        for name, neighbour in self._exchange.neighbours.items():
            follower = self.followers.get(name)
            if follower is None and neighbour.offer is not None:
                continue  # it has no such state
            if follower is None or not (follower.is_filled or self.views[name].values):
                missing.append(name)
            elif follower.unreadable:
                incompatible.append(name)
            elif self._is_stale(follower, since):
                stale.append(name)
            else:
                continue
            if not neighbour.is_reachable:
                unreachable.append(name)
        return Freshness(*(tuple(sorted(names)) for names in (stale, missing, incompatible, unreachable)))

    def _is_stale(self, follower: Follower, since: float) -> bool:
        return bool(self._interest) and follower.synced_at < since

    def _may_offer(self, log: str, peer: str) -> bool:
        """Hear a node of its own keys alone."""
        return log == peer != self._own

    def _holder(self, log: str) -> Holder:
        view = self.views[log] = _View(self._state, log, self.tell)
        return view

    def _lost(self, log: str) -> bool:
        """Forget the keys of a node that left, or withdrew them; of one that begins anew not before it says so."""
        if self._lost_at(log) > self._exchange.now:
            return False
        self.views.pop(log).clear()
        return True

    def _lost_at(self, log: str) -> float:
        """Return when the keys of a node that does not offer them are to be forgotten."""
        neighbour = self._exchange.neighbours.get(log)
        if neighbour is None:
            return -inf
        return inf if neighbour.offer is None else neighbour.settles_at(self.topic)

    @property
    def due(self) -> float:
        return min([super().due, *map(self._lost_at, self._unserved())])

    def tick(self) -> None:
        if any(self._lost_at(log) <= self._exchange.now for log in self._unserved()):
            self.regard()
        else:
            super().tick()

    def _unserved(self) -> list[str]:
        return [log for log, follower in self.followers.items() if follower.server is None and self._is_there(log)]

    def _is_there(self, log: str) -> bool:
        """Tell whether a node is there that does not offer what it did."""
        neighbour = self._exchange.neighbours.get(log)
        return neighbour is not None and neighbour.offer is not None and self.topic not in neighbour.offer.topics
