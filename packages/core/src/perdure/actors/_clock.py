"""Time as a port, so that tests can bring their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Forget the call. May be called again, and after the call."""


class Clock(Protocol):
    """Where actors have their time from."""

    def time(self) -> float:
        """Return the wall-clock time in seconds since 1970, which may jump and go back."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from any beginning."""

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call `callback()` in the event loop when `monotonic()` has reached `when`."""


class SystemClock:
    """The machine's time and the running event loop's timers."""

    monotonic = staticmethod(time.monotonic)  # asking the loop for it costs a system call to find the loop
    time = staticmethod(time.time)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(when - time.monotonic(), callback)


class Pause:
    """A wait for some seconds of a clock; it may be ended before."""

    __slots__ = ("_timer", "over")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the seconds are over or the pause was ended."""
        self._timer = clock.call_at(clock.monotonic() + seconds, self.end)

    def end(self) -> None:
        """Wait no longer. May be called again."""
        self._timer.cancel()
        if not self.over.done():
            self.over.set_result(None)

    def __await__(self) -> Generator[Any, None, None]:
        try:
            yield from self.over
        finally:
            self._timer.cancel()
