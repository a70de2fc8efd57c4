"""Events that many may follow, and none may hold up.

A publisher never waits. Each subscriber has a bounded buffer of its own, and says what happens when it is full.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Literal, TypeAlias, TypeVar

from perdure.errors import Overflowed

E = TypeVar("E")
Overflow: TypeAlias = Literal["drop_oldest", "drop_newest", "fail"]


class Topic(Generic[E]):
    """Hands events to whoever subscribes, in the order of their coming; `deserted` is called when the last one goes."""

    __slots__ = ("_deserted", "_subscriptions")

    def __init__(self, deserted: Callable[[], object] | None = None) -> None:
        self._deserted = deserted
        self._subscriptions: dict[Subscription[E], None] = {}

    def __bool__(self) -> bool:
        """Tell whether anybody listens."""
        return bool(self._subscriptions)

    def subscribe(self, capacity: int = 1024, overflow: Overflow = "drop_oldest") -> Subscription[E]:
        """Return a subscription to what is published from now on."""
        return Subscription(self, capacity, overflow)

    def publish(self, event: E) -> None:
        for subscription in list(self._subscriptions):
            subscription._put(event)

    def leave(self, subscription: Subscription[E]) -> None:
        """Hand a subscription no more. May be called again."""
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            if not self._subscriptions and self._deserted is not None:
                self._deserted()

    def close(self) -> None:
        """End all subscriptions; what is in their buffers can still be read."""
        for subscription in list(self._subscriptions):
            subscription.close()


class Topics(dict[str, "Topic[E]"], Generic[E]):
    """Topics by name, each there while anybody listens: false while nobody does."""

    def open(self, name: str) -> Topic[E]:
        """Return the topic of a name, for somebody who is about to listen."""
        topic = self.get(name)
        if topic is None:
            topic = self[name] = Topic(lambda: self.pop(name, None))
        return topic

    def close(self) -> None:
        """End all subscriptions; what is in their buffers can still be read."""
        for topic in list(self.values()):
            topic.close()


class Subscription(Generic[E]):
    """An async iterator over events, from the moment it was made. Use it in `async with` or `async for`.

    `dropped`: how many events found the buffer full and were lost. With the overflow policy `fail` the iteration raises
    `Overflowed` instead, after what was in the buffer.
    """

    def __init__(self, topic: Topic[E], capacity: int, overflow: Overflow) -> None:
        if capacity < 1:
            raise ValueError(f"a subscription's capacity is 1 or more, not {capacity}")
        if overflow not in ("drop_oldest", "drop_newest", "fail"):
            raise ValueError(f"overflow is 'drop_oldest', 'drop_newest' or 'fail', not {overflow!r}")
        self.dropped = 0
        self._buffer: deque[E] = deque()
        self._capacity = capacity
        self._closed = False
        self._failed = False
        self._overflow = overflow
        self._topic = topic
        self._waiter: asyncio.Future[None] | None = None
        topic._subscriptions[self] = None

    def __aiter__(self) -> Subscription[E]:
        return self

    async def __anext__(self) -> E:
        while not self._buffer:
            if self._failed:
                raise Overflowed(self._capacity, self.dropped)
            if self._closed:
                raise StopAsyncIteration
            await self._wait()
        return self._buffer.popleft()

    async def __aenter__(self) -> Subscription[E]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no more events. What is in the buffer can still be read."""
        self._closed = True
        self._topic.leave(self)
        self._wake()

    def take_all(self) -> list[E]:
        """Return what is in the buffer now, without waiting."""
        taken = list(self._buffer)
        self._buffer.clear()
        return taken

    def _put(self, event: E) -> None:
        if len(self._buffer) < self._capacity:
            self._buffer.append(event)
            return self._wake()
        self.dropped += 1
        if self._overflow == "drop_oldest":
            self._buffer.popleft()
            self._buffer.append(event)
        elif self._overflow == "fail":
            self._failed = True
            self.close()

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("a subscription has one reader at a time: subscribe twice")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
