"""Waiting for something to happen, but not for ever."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from perdure.actors import Clock
from perdure_testkit._clock import VirtualClock


class Bell:
    """Is rung when something has happened; whoever waits looks whether it was that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, condition: Callable[[], object], within: float) -> bool:
        """Wait until `condition()` is true, for `within` seconds of the clock; return whether it is."""
        if condition():
            return True
        over = False

        def end() -> None:
            nonlocal over
            over = True
            self.ring()

        timer = self._clock.call_at(self._clock.monotonic() + within, end)
        try:
            async with _passing(self._clock):
                while not (met := condition()) and not over:
                    await self._rung()
        finally:
            timer.cancel()
        return bool(met)

    async def _rung(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


def _passing(clock: Clock) -> AbstractAsyncContextManager[object]:
    """Let time pass while we wait, as it does on a real clock."""
    return clock.jumping(at_most=math.inf) if isinstance(clock, VirtualClock) else nullcontext()
