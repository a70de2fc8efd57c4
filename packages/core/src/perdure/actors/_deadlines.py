"""Deadlines of many waits, with one timer for each duration.

Waits of one duration end in the order in which they began, so a dictionary in order of insertion is their queue, and
a timer for its first entry serves them all: an ask costs two dictionary operations, not a heap and a handle. The queues
of a few durations stay when they are empty; where every wait has a duration of its own, the empty ones are forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from perdure.actors._clock import Clock, Timer

_Future: TypeAlias = "asyncio.Future[Any]"


class Deadlines:
    """Fails futures that are not done in time."""

    _FEW: ClassVar[int] = 16  # durations whose queues stay

    def __init__(self, clock: Clock, error: Callable[[float], BaseException]) -> None:
        self._clock = clock
        self._error = error
        self._timers: dict[float, Timer] = {}
        self._waits: dict[float, dict[_Future, float]] = {}

    def add(self, future: _Future, seconds: float) -> dict[_Future, float]:
        """Fail `future` with `error(seconds)` in `seconds` from now, unless it is taken out of what is returned."""
        waits = self._waits.get(seconds)
        if waits is None:
            if len(self._waits) >= self._FEW:
                self._forget_empty()
            waits = self._waits[seconds] = {}
            self._arm(seconds, self._clock.monotonic() + seconds)
        waits[future] = self._clock.monotonic() + seconds
        return waits

    def _forget_empty(self) -> None:
        for seconds in [seconds for seconds, waits in self._waits.items() if not waits]:
            del self._waits[seconds]
            self._timers.pop(seconds).cancel()

    def _arm(self, seconds: float, when: float) -> None:
        self._timers[seconds] = self._clock.call_at(when, lambda: self._expire(seconds))

    def _expire(self, seconds: float) -> None:
        waits = self._waits[seconds]
        now = self._clock.monotonic()
        late = []
        for future, deadline in waits.items():
            if deadline > now:
                self._arm(seconds, deadline)
                break
            late.append(future)
        else:
            del self._waits[seconds], self._timers[seconds]
        for future in late:
            waits.pop(future, None)
            if not future.done():
                future.set_exception(self._error(seconds))
