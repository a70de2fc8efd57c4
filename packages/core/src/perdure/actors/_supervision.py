"""What happens to an actor that fails, as data."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import msgspec


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before each restart in a window, in seconds.

    It is `first` before the first, `initial` before the second, then grows by `factor` up to `longest`.
    """

    first: float = 0.0
    initial: float = 0.1
    factor: float = 2.0
    longest: float = 10.0

    def delay(self, restart: int) -> float:
        """Return the wait before this restart, counting from 1."""
        if restart <= 1:
            return self.first
        exponent = min(restart - 2, 64)
        return min(self.longest, self.initial * self.factor**exponent)


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the failed instance after a back-off; its mailbox and its refs stay.

    More than `max` failures within `within` seconds stop the actor.
    """

    backoff: Backoff = Backoff()
    max: int = 10
    within: float = 60.0


class Stop(msgspec.Struct, frozen=True):
    """Stop the failed actor; what is queued is answered with `ActorStopped`."""


Supervision: TypeAlias = Restart | Stop


class Failures:
    """The recent failures of one actor."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def delay(self, supervision: Supervision, now: float) -> float | None:
        """Note a failure and return how long to wait before the restart, or None to stop."""
        if isinstance(supervision, Stop):
            return None
        while self._times and self._times[0] <= now - supervision.within:
            self._times.popleft()
        self._times.append(now)
        if len(self._times) > supervision.max:
            return None
        return supervision.backoff.delay(len(self._times))
