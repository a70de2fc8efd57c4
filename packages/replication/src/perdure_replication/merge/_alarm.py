"""A moment for which a task waits."""

from __future__ import annotations

import asyncio
from typing import Any

from perdure import Clock


class Alarm:
    """A moment for which one task waits; the earliest that was set stands."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()
        self._timer: Any = None
        self._at = 0.0

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, unless that is to be sooner already."""
        at = self._clock.monotonic() + seconds
        if self._timer is None or at < self._at:
            self.cancel()
            self._at, self._timer = at, self._clock.call_at(at, self._ring)

    def cancel(self) -> None:
        """Forget what was set."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    async def wait(self) -> None:
        """Wait until it rings; at once, where it has rung since."""
        await self._rung.wait()
        self._rung.clear()

    def _ring(self) -> None:
        self._timer = None
        self._rung.set()
