"""A hybrid logical clock: wall time that never goes back, and comes after all that was seen.

Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical physical clocks" (2014).
"""

from __future__ import annotations

from typing import NamedTuple

from perdure import Clock, SystemClock
from perdure_replication.errors import ClockDrift


class Stamp(NamedTuple):
    """A moment of a hybrid logical clock. Of two that are equal, the dots of their facts decide."""

    ms: int
    """Milliseconds since 1970."""
    logical: int = 0
    """Counts within one of them."""


class HybridClock:
    """Gives stamps, each greater than all that it gave and observed."""

    def __init__(self, clock: Clock | None = None, max_drift: float = 60.0) -> None:
        """Take the wall clock, and by how many seconds a foreign stamp may be ahead of it."""
        self._clock = clock or SystemClock()
        self._max_drift = max_drift
        self.last = Stamp(0)
        """The greatest stamp that was given or observed."""

    def stamp(self) -> Stamp:
        """Return the next stamp: the wall clock's time, or one more than the last."""
        self.last = max(Stamp(self._now()), self.last._replace(logical=self.last.logical + 1))
        return self.last

    def observe(self, stamp: Stamp) -> None:
        """Come after a foreign stamp. Raises `ClockDrift`, changing nothing, where it is too far ahead."""
        ahead = (stamp.ms - self._now()) / 1000
        if ahead > self._max_drift:
            raise ClockDrift(ahead, self._max_drift)
        self.resume(stamp)

    def resume(self, stamp: Stamp) -> None:
        """Come after an own stamp of an earlier life, however far it is ahead."""
        self.last = max(self.last, stamp)

    def _now(self) -> int:
        return int(self._clock.time() * 1000)
