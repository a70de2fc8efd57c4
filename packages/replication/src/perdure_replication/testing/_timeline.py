"""What is to happen when, in simulated time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import TypeAlias

Happening: TypeAlias = Callable[[], object]


class Timeline:
    """Happenings in the order of their moments and, of one moment, in that in which they were added."""

    __slots__ = ("_at", "_moments")

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._at: dict[float, list[Happening]] = {}

    def add(self, at: float, happening: Happening) -> None:
        """Have something happen at a moment, which is not over."""
        together = self._at.get(at)
        if together is None:
            self._at[at] = [happening]
            heappush(self._moments, at)
        else:
            together.append(happening)

    def until(self, end: float) -> Iterator[tuple[float, list[Happening]]]:
        """Yield each moment up to the end, with what happens then: also what is added to it meanwhile."""
        while self._moments and self._moments[0] <= end:
            at = self._moments[0]
            yield at, self._at[at]
            heappop(self._moments)
            del self._at[at]
