"""Greater incarnations of a node, which it claims when peers hold more of an earlier life."""

from __future__ import annotations

from math import inf


class Claims:
    """One at a time, and not again at once: peers that all say the same are answered once."""

    __slots__ = ("_begun", "under_way")

    def __init__(self) -> None:
        self.under_way = False
        self._begun = -inf

    def begin(self, now: float, interval: float) -> bool:
        """Begin a claim. Returns False where one is under way, or was begun less than so many seconds ago."""
        if self.under_way or now - self._begun < interval:
            return False
        self.under_way, self._begun = True, now
        return True

    def end(self) -> None:
        """Let a claim be over."""
        self.under_way = False
