"""One keyed state in the hands of a program: the own keys, to change, and those of all nodes, to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from types import MappingProxyType
from typing import Generic, Literal, TypeVar

import msgspec

from perdure_replication._envelopes import Freshness
from perdure_replication._generation import Generation
from perdure_replication._node import Node
from perdure_replication.errors import KeyedClosed, MutationRefused
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
    check_key,
    exchange_of,
    interest,
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


class _Views(Mapping[str, Mapping[str, V]]):
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


class _KeyedReader(Reader, Generic[V]):
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
        neighbour = self._exchange.neighbours.get(log)
        if neighbour is not None and neighbour.offer is None:
            return False
        self.views.pop(log).clear()
        return True


class Keyed(Generic[V]):
    """A node's own keys of a keyed state, and its views of those of all others. Get it by `Node.keyed`."""

    def __init__(self, node: Node, state: KeyedState[V], wanted: Interest, pace: Pace) -> None:
        self.name = state.name
        self._node = node
        self._state = state
        self._exchange = exchange_of(node)
        self._part: Part[V] = Part(state.wire, lambda: node.incarnation, self._exchange.ended.get(state.name, 0))
        self._is_closed = False
        self._reader = _KeyedReader(self._exchange, state, wanted, pace)
        try:
            self._exchange.publish(self.name, node.name, self._part)
        except BaseException:
            self._exchange.unfollow(self._reader)
            raise
        self._views: _Views[V] = _Views(node.name, self._part, self._reader.views)

    def put(self, key: str, value: V) -> Generation:
        """Set an own key; a copy is held. Returns its generation, when the change is on its way to those who follow it.

        A value that is equal to the one that is held keeps its generation, and is sent to nobody. Raises `ValueError`
        for a key that cannot be one, `MutationRefused` for a value that is None, cannot be encoded and read back, or is
        too large; nothing has changed then. Raises `KeyedClosed` and `NodeClosed`.
        """
        self._check()
        data = self._encoded(check_key(key), value)
        held = self._part.generation(key)
        if held is not None and self._part.data(key) == data:
            return held
        value = self._read_back(key, data)
        generation = self._part.put(key, value, data)
        self._reader.tell(KeyedChange(self._node.name, key, generation, value))
        return generation

    def mutate(self, key: str, change: Callable[[V | None], V | None]) -> Generation | None:
        """Change an own key: `change` takes its value, None if it has none, and returns the new one, None to delete it.

        A mutable value may be changed in place, for it is a copy. Returns the new generation, None if there was and is
        no value. Where `change` raises, that is raised, and otherwise what `put` raises; nothing has changed then.
        """
        self._check()
        held = self._part.values.get(check_key(key))
        value = change(None if held is None else self._state.own(held))
        if value is not None:
            return self.put(key, value)
        return None if held is None else self._delete(key)

    def delete(self, key: str) -> bool:
        """Remove an own key. Returns False where there is none. Raises `KeyedClosed` and `NodeClosed`."""
        self._check()
        if key not in self._part.values:
            return False
        self._delete(key)
        return True

    @property
    def own(self) -> Mapping[str, V]:
        """The own keys, as they are when this is read. Do not change values in place."""
        return MappingProxyType(self._part.values)

    @property
    def views(self) -> Mapping[str, Mapping[str, V]]:
        """The values by node, this one among them, and key, as they are when they are read.

        Nothing is asked of anybody.
        """
        return self._views

    def of(self, key: str) -> dict[str, V]:
        """Return the values of a key by the nodes that have it."""
        return {node: values[key] for node, values in self._views.items() if key in values}

    def held(self, node: str) -> dict[str, Held[V]]:
        """Return what is held of a node with its generations: nothing of one that is not known."""
        if node == self._node.name:
            return self._part.held()
        view = self._reader.views.get(node)
        return {} if view is None else view.held()

    def follow(self, *, keys: Iterable[str] = (), prefixes: Iterable[str] = ()) -> None:
        """Want these keys of all nodes from now on, and those that begin with these prefixes; `("",)` means all.

        What is not wanted any more is removed from the views at once, and only what is newly wanted is sent. Raises
        `ValueError`.
        """
        self._reader.want(interest(keys, prefixes))

    def changes(self) -> Latest[KeyedChange[V]]:
        """Return an async iterator over what changes from now on: own keys, and those of others that are followed."""
        changes = self._reader.changes
        latest: Latest[KeyedChange[V]] = Latest(changes.discard)
        changes.add(latest)
        if self._node.engine.left:
            latest.end()
        return latest

    def freshness(self, max_staleness: float) -> Freshness:
        """Return whose keys, as far as they are followed, may be older than so many seconds.

        What is held is confirmed each `Pace.wait` seconds, if nothing comes sooner: ask for more than that.
        """
        return self._reader.freshness(max_staleness)

    def close(self) -> None:
        """Withdraw the own keys, and follow no others. May be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        self._exchange.ended[self.name] = self._part.number
        self._exchange.withdraw(self.name)
        self._exchange.unfollow(self._reader)
        self._reader.end()

    def _check(self) -> None:
        self._exchange.check()
        if self._is_closed:
            raise KeyedClosed(self.name)

    def _encoded(self, key: str, value: V) -> bytes:
        try:
            data = self._state.encode_view(value, self._state.wire)
        except Exception as error:  # a type's own encoding, or a step to an older version, may raise anything
            raise MutationRefused(self.name, f"the value of {key!r} cannot be encoded: {error}") from error
        if value is None:
            raise MutationRefused(self.name, f"the value of {key!r} is None, which means no value: delete it")
        if len(data) > self._exchange.record_bytes:
            most = f"{self._exchange.record_bytes:,}: raise Limits.letter_bytes, or cut it up"
            raise MutationRefused(self.name, f"the value of {key!r} has {len(data):,} bytes, over {most}")
        return data

    def _read_back(self, key: str, data: bytes) -> V:
        try:
            return self._state.decode_view(data, self._state.wire)
        except Exception as error:  # as when it is encoded
            raise MutationRefused(self.name, f"the value of {key!r} could not be read back: {error}") from error

    def _delete(self, key: str) -> Generation:
        generation = self._part.delete(key)
        self._reader.tell(KeyedChange(self._node.name, key, generation, None, "removed"))
        return generation
