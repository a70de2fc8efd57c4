"""What has changed, for one who follows at a pace of his own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """An async iterator over what changes, which ends when the node closes, or by `aclose`.

    A slow reader misses changes, never a key: of each it gets the latest. So what waits is bounded by the keys.
    """

    def __init__(self, forget: Callable[[Latest[Any]], None]) -> None:
        self._waiting: dict[Hashable, T] = {}
        self._came = asyncio.Event()
        self._ended = False
        self._forget = forget

    def put(self, key: Hashable, change: T) -> None:
        """Give out a change, in place of one of the same key that was not taken."""
        self._waiting.pop(key, None)
        self._waiting[key] = change
        self._came.set()

    def end(self) -> None:
        """Give out what waits, and then nothing more."""
        self._ended = True
        self._came.set()

    async def aclose(self) -> None:
        """Follow no longer: iterating ends. May be called again."""
        self._forget(self)
        self._waiting.clear()
        self.end()

    def __aiter__(self) -> Latest[T]:
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        return self._waiting.pop(next(iter(self._waiting)))
