"""The turns of a loop that always has something to do."""

from __future__ import annotations

import asyncio
from time import perf_counter
from types import TracebackType


class Turns:
    """How long the loop leaves a callback waiting that is always ready: what it does itself, and what threads keep.

    A turn counts from the end of the one before, so that the waits for the interpreter lock are in it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle | None = None
        self._last = 0.0
        self._longest = 0.0

    def __enter__(self) -> Turns:
        self._tick()
        self.restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._next is not None:
            self._next.cancel()

    def restart(self) -> None:
        """Forget the turns so far."""
        self._last = perf_counter()
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """The seconds of the longest turn since the last restart, the present one included."""
        return max(self._longest, perf_counter() - self._last)

    def _tick(self) -> None:
        now = perf_counter()
        self._longest = max(self._longest, now - self._last)
        self._last = now
        self._next = self._loop.call_soon(self._tick)
