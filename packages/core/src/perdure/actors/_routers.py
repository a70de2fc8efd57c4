"""Several actors behind one door."""

from __future__ import annotations

import random
from bisect import bisect, insort
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, TypeVar

from perdure.actors._message import Message
from perdure.actors._ref import ActorRef
from perdure.errors import NoRoutee

R = TypeVar("R")


class Router:
    """Passes each message to one of its actors; subclasses choose which. Those that are over are left out."""

    def __init__(self, refs: Iterable[ActorRef] = ()) -> None:
        self._refs: list[ActorRef] = []
        for ref in refs:
            self.add(ref)

    @property
    def refs(self) -> list[ActorRef]:
        """The actors behind the router, in the order in which they came."""
        return list(self._refs)

    def add(self, ref: ActorRef) -> None:
        """Put an actor behind the router; in the place of its namesake, if that is there."""
        if ref in self._refs:
            self._refs[self._refs.index(ref)] = ref
        else:
            self._refs.append(ref)

    def remove(self, ref: ActorRef) -> None:
        """Take an actor away. Silent when it is not there."""
        if ref in self._refs:
            self._refs.remove(ref)

    async def ask(self, message: Message[R], *, timeout: float | None = None) -> R:
        """Ask one of the actors, as in `ActorRef.ask`. Raises `NoRoutee` when none is left."""
        return await self._route(message).ask(message, timeout=timeout)

    async def tell(self, message: Message[Any], *, timeout: float | None = None) -> None:
        """Tell one of the actors, as in `ActorRef.tell`. Raises `NoRoutee` when none is left."""
        await self._route(message).tell(message, timeout=timeout)

    def _choose(self, message: Message[Any]) -> ActorRef:
        raise NotImplementedError

    def _route(self, message: Message[Any]) -> ActorRef:
        while self._refs:
            ref = self._choose(message)
            if ref._props.virtual or ref.is_live:
                return ref
            self.remove(ref)
        raise NoRoutee(type(message).__name__)


class RoundRobin(Router):
    """Each actor in its turn."""

    def __init__(self, refs: Iterable[ActorRef] = ()) -> None:
        super().__init__(refs)
        self._next = 0

    def remove(self, ref: ActorRef) -> None:
        if ref in self._refs and self._refs.index(ref) < self._next:
            self._next -= 1  # those behind it move up, and keep their turn
        super().remove(ref)

    def _choose(self, message: Message[Any]) -> ActorRef:
        self._next %= len(self._refs)
        ref = self._refs[self._next]
        self._next += 1
        return ref


class RandomChoice(Router):
    """Any actor, by chance; the same ones in the same order for a seed."""

    def __init__(self, refs: Iterable[ActorRef] = (), *, seed: int | None = None) -> None:
        super().__init__(refs)
        self._random = random.Random(seed)

    def _choose(self, message: Message[Any]) -> ActorRef:
        return self._random.choice(self._refs)


class ConsistentHash(Router):
    """The same actor for the same key; when an actor comes or goes, few keys change hands.

    `key` gives the text or bytes by which a message is placed. Each actor stands at `points` places of a ring of
    64-bit hashes (BLAKE2b), and serves the keys before each (Karger et al., 1997).
    """

    def __init__(self, refs: Iterable[ActorRef] = (), *, key: Callable[[Any], str | bytes], points: int = 64) -> None:
        if points < 1:
            raise ValueError(f"points is 1 or more, not {points}")
        self._key = key
        self._points = points
        self._ring: list[tuple[int, str]] = []
        self._by_path: dict[str, ActorRef] = {}
        super().__init__(refs)

    def add(self, ref: ActorRef) -> None:
        if ref.path not in self._by_path:
            for point in self._places(ref):
                insort(self._ring, point)
        self._by_path[ref.path] = ref
        super().add(ref)

    def remove(self, ref: ActorRef) -> None:
        if self._by_path.pop(ref.path, None) is not None:
            places = set(self._places(ref))
            self._ring = [point for point in self._ring if point not in places]
        super().remove(ref)

    def _choose(self, message: Message[Any]) -> ActorRef:
        key = self._key(message)
        place = bisect(self._ring, (_hash(key.encode() if isinstance(key, str) else key), ""))
        return self._by_path[self._ring[place % len(self._ring)][1]]

    def _places(self, ref: ActorRef) -> list[tuple[int, str]]:
        return [(_hash(f"{number} {ref.path}".encode()), str(ref.path)) for number in range(self._points)]


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
