"""Asks of a library that blocks its caller: so many under way, and always a wait for the oldest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Generic, TypeVar

T = TypeVar("T")


class Window(Generic[T]):
    """`send` begins an ask, `wait` returns when it is answered."""

    def __init__(self, in_flight: int, send: Callable[[], T], wait: Callable[[T], object]) -> None:
        self._in_flight = in_flight
        self._send = send
        self._wait = wait

    async def __call__(self, seconds: float) -> float:
        """Ask for so long; return the answers a second. The loop stands still meanwhile."""
        started = now = perf_counter()
        pending = deque(self._send() for _ in range(self._in_flight))
        count = 0
        while pending:
            self._wait(pending.popleft())
            count += 1
            now = perf_counter()
            if now < started + seconds:
                pending.append(self._send())
        return count / (now - started)
