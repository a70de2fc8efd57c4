"""How many of the waiting groups a commit takes.

Writers that all wait for one commit also go on together, so the store rests while the loop works, and the loop while
the store does. Where a commit is shorter than the loop's own work between two commits, half of the groups at a time
keep both busy; where it is longer, as on a slow disk, all of them share the sync. Measured, not configured.
"""

from __future__ import annotations

from typing import ClassVar


class Pace:
    """Watches how long commits take, and how long none is under way although there is work."""

    _FEW: ClassVar[int] = 32  # groups not worth a second sync

    def __init__(self, most: int) -> None:
        self._most = most
        self._began = 0.0
        self._ended = 0.0
        self._commit = 0.0
        self._gap = 0.0

    def take(self, waiting: int, now: float, *, after_gap: bool) -> int:
        """Return how many groups the commit that begins now takes; `after_gap`: the queue was idle before."""
        if after_gap:
            self._gap = now - self._ended
        self._began = now
        if self._commit < self._gap:
            waiting = max(self._FEW, waiting // 2)
        return min(waiting, self._most)

    def ended(self, now: float) -> None:
        """Note the end of the commit."""
        self._ended = now
        self._commit = now - self._began
