"""Deadlines of many waits, with one timer for each duration.

Waits of one duration end in the order in which they began, so a dictionary in order of insertion is their queue, and
a timer for its first entry serves them all: an ask costs two dictionary operations, not a heap and a handle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from perdure.actors._clock import Clock

_Future: TypeAlias = "asyncio.Future[Any]"


class Deadlines:
    """Fails futures that are not done in time."""

    def __init__(self, clock: Clock, error: Callable[[float], BaseException]) -> None:
        self._clock = clock
        self._error = error
        self._waits: dict[float, dict[_Future, float]] = {}

    def add(self, future: _Future, seconds: float) -> None:
        """Fail `future` with `error(seconds)` in `seconds` from now, unless it is discarded before."""
        waits = self._waits.get(seconds)
        if waits is None:
            waits = self._waits[seconds] = {}
            self._arm(seconds, self._clock.monotonic() + seconds)
        waits[future] = self._clock.monotonic() + seconds

    def discard(self, future: _Future, seconds: float) -> None:
        """Forget a future that was added with this duration, if it is still known."""
        waits = self._waits.get(seconds)
        if waits is not None:
            waits.pop(future, None)

    def _arm(self, seconds: float, when: float) -> None:
        self._clock.call_at(when, lambda: self._expire(seconds))

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
            del self._waits[seconds]
        for future in late:
            waits.pop(future, None)
            if not future.done():
                future.set_exception(self._error(seconds))
