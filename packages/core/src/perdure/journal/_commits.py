"""Word of commits, for those who read what others write."""

from __future__ import annotations

from collections.abc import Callable


class Commits:
    """Counts the commits of one journal, and wakes those who wait for the next.

    Who reads to the end and then waits notes `count` first, reads, and waits only if it still stands there: so no
    commit falls between.
    """

    __slots__ = ("closed", "count", "waiting")

    def __init__(self) -> None:
        self.closed = False
        """Whether the journal commits nothing more."""
        self.count = 0
        self.waiting: set[Callable[[], object]] = set()
        """What to call at the next commit, and at the end."""

    def tell(self) -> None:
        """Note that something may have been written."""
        self.count += 1
        if self.waiting:
            self._wake()

    def close(self) -> None:
        """Note that this was all. May be called again."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for wake in list(self.waiting):
            wake()
