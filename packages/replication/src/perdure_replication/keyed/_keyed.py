"""One keyed state in the hands of a program: the own keys, to change, and those of all nodes, to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from perdure_replication._envelopes import Freshness
from perdure_replication._generation import Generation
from perdure_replication._node import Node
from perdure_replication.errors import KeyedClosed, MutationRefused
from perdure_replication.keyed._part import Held, Part
from perdure_replication.keyed._state import KeyedState
from perdure_replication.keyed._views import KeyedChange, KeyedReader, Views
from perdure_replication.topics import Interest, Latest, Pace, check_key, exchange_of, interest

V = TypeVar("V")


class Keys(Generic[V]):
    """What a node has of a keyed state, however its own keys are changed."""

    def __init__(self, node: Node, state: KeyedState[V], part: Part[V], wanted: Interest, pace: Pace) -> None:
        self.name = state.name
        self._node = node
        self._state = state
        self._part = part
        self._exchange = exchange_of(node)
        self._is_closed = False
        self._reader = KeyedReader(self._exchange, state, wanted, pace)
        try:
            self._exchange.publish(self.name, node.name, self._part)
        except BaseException:
            self._exchange.unfollow(self._reader)
            raise
        self._views: Views[V] = Views(node.name, self._part, self._reader.views)

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

    def _withdraw(self) -> None:
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

    def _copy(self, held: V | None) -> V | None:
        """Return a value that may be changed in place."""
        return None if held is None else self._state.own(held)

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

    def _put(self, key: str, value: V, data: bytes) -> Generation:
        generation = self._part.put(key, value, data)
        self._reader.tell(KeyedChange(self._node.name, key, generation, value))
        return generation

    def _delete(self, key: str) -> Generation:
        generation = self._part.delete(key)
        self._reader.tell(KeyedChange(self._node.name, key, generation, None, "removed"))
        return generation


class Keyed(Keys[V]):
    """A node's own keys of a keyed state, in memory, and its views of those of all others. Get it by `Node.keyed`."""

    def __init__(self, node: Node, state: KeyedState[V], wanted: Interest, pace: Pace) -> None:
        ended = exchange_of(node).ended.get(state.name, 0)
        super().__init__(node, state, Part(state.wire, lambda: node.incarnation, ended), wanted, pace)

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
        return self._put(key, self._read_back(key, data), data)

    def mutate(self, key: str, change: Callable[[V | None], V | None]) -> Generation | None:
        """Change an own key: `change` takes its value, None if it has none, and returns the new one, None to delete it.

        A mutable value may be changed in place, for it is a copy. Returns the new generation, None if there was and is
        no value. Where `change` raises, that is raised, and otherwise what `put` raises; nothing has changed then.
        """
        self._check()
        held = self._part.values.get(check_key(key))
        value = change(self._copy(held))
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

    def close(self) -> None:
        """Withdraw the own keys, and follow no others. May be called again."""
        self._withdraw()
