"""How many of the waiting groups a commit takes.

Writers that all wait for one commit also go on together, so the store rests while the loop works, and the loop while
the store does. Where a commit is shorter than the gap in which the loop works alone, the first commit after a gap takes
half of the groups: then one half is stored while the other is worked on. Where it is longer, as on a slow disk, all of
them share the sync. Measured, not configured.
"""

from __future__ import annotations

from typing import ClassVar


class Pace:
    """Watches how long commits take, and how long none is under way."""

    _FEW: ClassVar[int] = 32  # groups not worth a second sync

    def __init__(self, most: int) -> None:
        self._most = most
        self._began = 0.0
        self._ended = 0.0

    def take(self, waiting: int, now: float, *, after_gap: bool) -> int:
        """Return how many groups the commit that begins now takes; `after_gap`: none was under way before it."""
        if after_gap and self._ended - self._began < now - self._ended:
            waiting = max(self._FEW, waiting // 2)
        self._began = now
        return min(waiting, self._most)

    def ended(self, now: float) -> None:
        """Note the end of the commit."""
        self._ended = now
