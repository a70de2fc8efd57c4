"""What is to be done when."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import TypeAlias

Task: TypeAlias = tuple[str, ...]


class Agenda:
    """Tasks with one moment each. Setting a task again moves it."""

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[Task, float] = {}
        self._heap: list[tuple[float, Task]] = []

    def __contains__(self, task: Task) -> bool:
        return task in self._due

    def set(self, task: Task, at: float) -> None:
        """Do a task at a moment, and not at the one that it had before."""
        self._due[task] = at
        heappush(self._heap, (at, task))
        if len(self._heap) > 64 + 4 * len(self._due):
            self._heap = [(due, task) for task, due in self._due.items()]
            heapify(self._heap)

    def bring_forward(self, task: Task, at: float) -> None:
        """Do a task at a moment, unless it is due earlier."""
        if at < self._due.get(task, float("inf")):
            self.set(task, at)

    def cancel(self, task: Task) -> None:
        """Do not do it. Silent where nobody wanted it."""
        self._due.pop(task, None)

    def next(self) -> float | None:
        """Return the moment of the first task."""
        heap = self._heap
        while heap and self._due.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> Iterator[Task]:
        """Yield the tasks that are due, in the order of their moments, and forget them."""
        while (at := self.next()) is not None and at <= now:
            _, task = heappop(self._heap)
            del self._due[task]
            yield task
