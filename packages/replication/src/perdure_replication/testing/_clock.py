"""A clock that stands still until a test turns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import ClassVar


class TestClock:
    """A `perdure.Clock` whose two times pass together, in `advance` alone."""

    __test__: ClassVar[bool] = False
    TURNS: ClassVar[int] = 50
    """How often the event loop turns after each timer, so that whoever it woke can act."""

    def __init__(self, time: float = 1_700_000_000.0) -> None:
        self._began = time
        self._now = 0.0
        self._timers: list[_Timer] = []
        self._set = 0

    def time(self) -> float:
        return self._began + self._now

    def monotonic(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], object]) -> _Timer:
        """Call `callback()` in the `advance` that reaches `when`."""
        self._set += 1
        timer = _Timer(when, self._set, callback)
        heappush(self._timers, timer)
        return timer

    async def advance(self, seconds: float = 0.0) -> None:
        """Let time pass: fire what falls due, and let the tasks that wait for it run."""
        end = self._now + seconds
        await self._turn()
        while self._timers and self._timers[0].when <= end:
            timer = heappop(self._timers)
            if timer.callback is not None:
                self._now = max(self._now, timer.when)
                timer.callback()
                await self._turn()
        self._now = end

    async def _turn(self) -> None:
        for _ in range(self.TURNS):
            await asyncio.sleep(0)


class _Timer:
    __slots__ = ("callback", "number", "when")

    def __init__(self, when: float, number: int, callback: Callable[[], object]) -> None:
        self.when = when
        self.number = number
        self.callback: Callable[[], object] | None = callback

    def __lt__(self, other: _Timer) -> bool:
        return (self.when, self.number) < (other.when, other.number)

    def cancel(self) -> None:
        self.callback = None
