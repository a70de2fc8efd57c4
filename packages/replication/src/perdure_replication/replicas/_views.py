"""The reader's side: views of actors, and who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import msgspec

from perdure import PersistentActor
from perdure_replication._envelopes import Freshness
from perdure_replication._generation import Generation
from perdure_replication._node import Node
from perdure_replication.errors import NodeClosed
from perdure_replication.replicas._forms import Form, Plain
from perdure_replication.topics import (
    DELTA,
    GONE,
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

NOTHING = Generation(0, 0)
"""Of a view before the first event."""
NOBODY = "nobody"
"""Named as missing where no node is known to publish."""


class View(msgspec.Struct, Generic[V], frozen=True):
    """A view of one actor, and how far it is: its sequence number is the generation's age."""

    key: str
    generation: Generation
    view: V

    @property
    def sequence_number(self) -> int:
        return self.generation.age


class ViewChange(msgspec.Struct, Generic[V], frozen=True):
    """A view has moved on, or is gone."""

    key: str
    generation: Generation
    """Of the view; of the last view, where it is gone."""
    view: V | None
    kind: Literal["updated", "removed"] = "updated"


class Held(Generic[V]):
    """The views of one log."""

    def __init__(self, form: Form[V], tell: Callable[[Held[V], str, Generation, bool], None]) -> None:
        self.values: dict[str, V] = {}
        self.generations: dict[str, Generation] = {}
        self._form = form
        self._tell = tell

    def take(self, record: Record, format: int) -> Verdict:
        if record.kind == GONE:
            self.remove(record.key)
            return "moved"
        held = self.generations.get(record.key)
        if held is not None and _is_old(record.generation, held):
            return "old"
        if format != self._form.version:
            return "unreadable"
        try:
            if record.kind != DELTA:
                value = self._form.view(record.data)
            elif not _is_next(record.generation, held or NOTHING):
                return "gap"
            else:
                base = self._form.initial() if held is None else self.values[record.key]
                value = self._form.moved(base, record.data)
        except Exception:  # what the author wrote may raise anything, and may have changed a mutable view by half
            return self._spoiled(record)
        self.values[record.key] = value
        self.generations[record.key] = record.generation
        self._tell(self, record.key, record.generation, True)
        return "moved"

    def known(self) -> KeysView[str]:
        return self.values.keys()

    def remove(self, key: str) -> None:
        if key in self.values:
            del self.values[key]
            self._tell(self, key, self.generations.pop(key), False)

    def _spoiled(self, record: Record) -> Verdict:
        """Have a view whose delta failed sent whole; leave one of which the whole cannot be read as it is."""
        if record.kind != DELTA:
            return "unreadable"
        if self._form.copies:
            self.remove(record.key)
        return "gap"


def _is_old(generation: Generation, held: Generation) -> bool:
    """Tell whether a view is so far already. A later owner's log may be shorter: it was restored from a copy."""
    return generation.age <= held.age and generation.incarnation <= held.incarnation


def _is_next(generation: Generation, held: Generation) -> bool:
    """Tell whether an event follows what is held: within one log the epoch of the owner never goes down."""
    return generation.age == held.age + 1 and generation.incarnation >= held.incarnation


class _Merged(Mapping[str, V]):
    """The views of all logs by key, as they are when they are read."""

    def __init__(self, logs: dict[str, Held[V]], copy: Callable[[V], V]) -> None:
        self._logs = logs
        self._copy = copy

    def __getitem__(self, key: str) -> V:
        for held in self._logs.values():
            if key in held.values:
                return self._copy(held.values[key])
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(key in held.values for held in self._logs.values())

    def __iter__(self) -> Iterator[str]:
        if len(self._logs) == 1:
            yield from next(iter(self._logs.values())).values
        else:
            yield from dict.fromkeys(key for held in self._logs.values() for key in held.values)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Replicas(Reader, Generic[V]):
    """Views of the actors of one type, wherever they live. Get it by `Replicated.follow`."""

    def __init__(
        self,
        node: Node,
        topic: str,
        actor_type: type[PersistentActor[Any, Any]],
        form: Form[V],
        wanted: Interest,
        pace: Pace,
    ) -> None:
        self.actor_type = actor_type
        self.is_projected = not isinstance(form, Plain)
        self._node = node
        self._form = form
        self._logs: dict[str, Held[V]] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._streams: set[Latest[ViewChange[V]]] = set()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._views = _Merged(self._logs, form.copy)
        super().__init__(exchange_of(node), topic, wanted, pace)

    @property
    def views(self) -> Mapping[str, V]:
        """The views by key, as they are when they are read; mutable ones are copies. Nothing is asked of anybody."""
        return self._views

    def held(self, key: str) -> View[V] | None:
        """Return a view with its generation, None where there is none."""
        for held in self._logs.values():
            if key in held.values:
                return View(key, held.generations[key], self._form.copy(held.values[key]))
        return None

    def of_log(self, log: str, key: str) -> tuple[V, int] | None:
        """Return a view of one log and its sequence number, the very object that is held."""
        held = self._logs.get(log)
        return None if held is None or key not in held.values else (held.values[key], held.generations[key].age)

    async def wait(self, key: str, sequence_number: int = 1, *, timeout: float = 5.0) -> View[V]:
        """Return the view of an actor when it has so many events: so a node reads what was written elsewhere.

        Raises `TimeoutError` after so many seconds, `ValueError` for a key that is not followed, `NodeClosed`.
        """
        self._exchange.check()
        if not self._interest.covers(check_key(key)):
            raise ValueError(f"{key!r} is not followed: name it, or a prefix of it, in follow(…)")
        clock = self._node.clock
        until = clock.monotonic() + timeout
        while (view := self.held(key)) is None or view.sequence_number < sequence_number:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            late = TimeoutError(f"{self.topic} {key!r} has not reached {sequence_number} in {timeout:g} s")
            timer = clock.call_at(until, partial(_fail, future, late))
            waiting = self._waiting.setdefault(key, set())
            waiting.add(future)
            try:
                await future
            finally:
                timer.cancel()
                waiting.discard(future)
                if not waiting:
                    self._waiting.pop(key, None)
        return view

    def follow(self, *, keys: Iterable[str] = (), prefixes: Iterable[str] = ()) -> None:
        """Want these actors from now on, and those whose keys begin so; `("",)` means all.

        What is not wanted any more is removed at once, and only what is newly wanted is sent. Raises `ValueError`.
        """
        self.want(interest(keys, prefixes))

    def changes(self, since: Mapping[str, int] | None = None) -> Latest[ViewChange[V]]:
        """Return an async iterator over the changes of all views.

        It begins with what changes from now on or, given the sequence numbers by key that are known, with each view
        that is past them; an empty mapping gives all views. A slow reader misses changes, never a key.
        """
        latest: Latest[ViewChange[V]] = Latest(self._streams.discard)
        self._streams.add(latest)
        if since is not None:
            for key in self._views:
                view = self.held(key)
                if view is not None and since.get(key, 0) < view.sequence_number:
                    latest.put(key, ViewChange(key, view.generation, view.view))
        if self._node.engine.left:
            latest.end()
        return latest

    def freshness(self, max_staleness: float) -> Freshness:
        """Return the nodes of whose logs the views may be older than so many seconds.

        A log that several nodes publish is fresh by any of them; where it is not, all of them are named. `nobody` is
        missing where none is known. At rest it is confirmed each `Pace.wait` seconds: ask for more than that.
        """
        since = self._exchange.now - max_staleness
        stale, missing, incompatible = set[str](), set[str](), set[str]()
        for log, follower in self.followers.items():
            if not self._interest:
                continue
            if follower.synced_at < since:
                (stale if follower.is_filled else missing).update(self._owners[log])
            elif follower.unreadable:
                incompatible.update(self._owners[log])
        missing.update(name for name, each in self._exchange.neighbours.items() if each.offer is None)
        if not self.followers:
            missing.add(NOBODY)
        named = stale | missing | incompatible
        unreachable = {name for name in named - {NOBODY} if not self._is_known(name)}
        return Freshness(*(tuple(sorted(names)) for names in (stale, missing, incompatible, unreachable)))

    def close(self) -> None:
        """Follow no longer; what is held stays, and grows old. May be called again."""
        self._exchange.unfollow(self)
        self.end()

    def end(self) -> None:
        for stream in list(self._streams):
            stream.end()
        for waiting in self._waiting.values():
            for future in waiting:
                _fail(future, NodeClosed(self._node.name))

    def regard(self) -> None:
        for log, names in self._offers().items():
            self._owners[log] = tuple(names)
        super().regard()

    def _is_known(self, name: str) -> bool:
        return name == self._node.name or (name in self._exchange.neighbours and self._is_reachable(name))

    def _holder(self, log: str) -> Holder:
        held = self._logs[log] = Held(self._form, self._tell)
        return held

    def _lost(self, log: str) -> bool:
        """Keep what is held of a store that no node publishes now: it is not gone with them."""
        return False

    def _tell(self, held: Held[V], key: str, generation: Generation, is_there: bool) -> None:
        if self._streams:
            kind: Literal["updated", "removed"] = "updated" if is_there else "removed"
            for stream in self._streams:
                view = self._form.copy(held.values[key]) if is_there else None
                stream.put(key, ViewChange(key, generation, view, kind))
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(None)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
