"""A clock that stands still until a test turns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from heapq import heappop, heappush
from typing import ClassVar

from perdure_testkit._jumping import Jumping, Jumps


class VirtualClock:
    """A `perdure.actors.Clock` whose time passes only in `advance`, and in blocks of `jumping`.

    Whatever of this package waits with a `within` on such a clock is such a block as long as it waits.

    Timers fire in the order of their times, those of one time in the order in which they were set, each with the clock
    at its time. The wall time runs along, and can be set, forwards and back, without any timer noticing.
    """

    TURNS: ClassVar[int] = 32
    """How often the event loop turns after each timer, so that whoever it woke can act."""

    def __init__(self, time: float = 1_700_000_000.0) -> None:
        self._wall = time
        self._now = 0.0
        self._timers: list[_Timer] = []
        self._set = 0
        self._jumps: Jumps | None = None

    def time(self) -> float:
        return self._wall + self._now

    def monotonic(self) -> float:
        return self._now

    def set_time(self, seconds: float) -> None:
        """Set the wall time to so many seconds since 1970."""
        self._wall = seconds - self._now

    def call_at(self, when: float, callback: Callable[[], object]) -> _Timer:
        """Call `callback()` in the `advance` that reaches `when`; at the next one, if that time is past."""
        self._set += 1
        timer = _Timer(when, self._set, callback)
        heappush(self._timers, timer)
        return timer

    async def advance(self, seconds: float) -> None:
        """Let time pass: fire what falls due and let the tasks that wait for it run, which may set timers of their own.

        An error in a timer's callback comes out here.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds:g} s: set_time does that to the wall time")
        end = self._now + seconds
        await self._turn()
        while self._timers and self._timers[0].when <= end:
            timer = heappop(self._timers)
            if timer.callback is None:
                continue
            self._now = max(self._now, timer.when)
            timer.callback()
            await self._turn()
        self._now = end

    def jumping(self, *, at_most: float = 3600.0, grace: float = 0.01) -> AbstractAsyncContextManager[VirtualClock]:
        """Let time jump by itself in an `async with`: to the next timer, whenever everything waits.

        So a test awaits what it wants, and never sleeps. One timer fires at a time; whoever it woke acts until
        everything waits again, and a store's commits come first. In a process with other threads, or with open sockets
        in the loop, each jump waits for `grace` real seconds in which nothing comes, and for what the loop itself has
        timed for then (0.002 s at least). What takes longer elsewhere, in an executor say, is overtaken by time: give
        more. Without threads and sockets a jump takes no time.

        Blocks may be nested, and used in a fixture. At the end of the body an error of a timer's callback is raised,
        and the body was cancelled for it; so is `Stalled`, when everything waits and no timer is set (for 5 real
        seconds, where threads or sockets might have something to say), or when the next timer is more than `at_most`
        virtual seconds after the beginning. Raises `RuntimeError` in event loops other than asyncio's own, and where
        another clock jumps already.
        """
        return Jumping(self, at_most, grace)

    def _next_time(self) -> float | None:
        """Return the time of the next timer, if there is one."""
        while self._timers and self._timers[0].callback is None:
            heappop(self._timers)
        return self._timers[0].when if self._timers else None

    def _fire_next(self) -> None:
        timer = heappop(self._timers)
        self._now = max(self._now, timer.when)
        if timer.callback is not None:
            timer.callback()

    async def _turn(self) -> None:
        for _ in range(self.TURNS):
            await asyncio.sleep(0)


class _Timer:
    """A call that is to come, unless it is cancelled."""

    __slots__ = ("callback", "number", "when")

    def __init__(self, when: float, number: int, callback: Callable[[], object]) -> None:
        self.when = when
        self.number = number
        self.callback: Callable[[], object] | None = callback

    def __lt__(self, other: _Timer) -> bool:
        return (self.when, self.number) < (other.when, other.number)

    def cancel(self) -> None:
        self.callback = None
