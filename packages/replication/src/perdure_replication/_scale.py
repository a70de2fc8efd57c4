"""When a peer said something, on our own clock.

A frame says when it was sent on a scale of its sender, whose distance to ours nobody knows. But the frame that
travelled least bounds it: what was sent at `s` and came at `r` says that the distance is at most `r - s`, too large by
the time of the travel alone. So the least difference that was seen is the distance, but for the shortest travel, and
any later frame that took longer is known to be old, by how much it took longer. Clocks drift, so the least difference
is let grow by a thousandth of the time that has passed: quartz is ten times better.

Rejected: the time of arrival (a frame that was held up for a minute would make a view fresh), wall clocks (they are
set).
"""

from __future__ import annotations

DRIFT = 0.001


class Scale:
    """The distance of one peer's scale."""

    __slots__ = ("_distance", "_seen")

    def __init__(self) -> None:
        self._distance: float | None = None
        self._seen = 0.0

    def moment(self, sent: int, now: float) -> float:
        """Return when a frame was sent that has just come: never later than now. `sent` is in milliseconds."""
        distance = now - sent / 1000
        if self._distance is not None:
            distance = min(distance, self._distance + (now - self._seen) * DRIFT)
        self._distance, self._seen = distance, now
        return sent / 1000 + distance
