"""Putting idle actors away: after a time, and over a cap.

A resting actor notes only when it came to rest. Cells stand in a queue for each period, in the order of the rest at
which they were last looked at; one that has worked since goes to the end when its turn comes. So a rest costs one
look at the clock, a timer finds what is due at the front, and each cell is looked at about once a period.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar

from perdure.actors._clock import Clock

if TYPE_CHECKING:
    from perdure.actors._cell import Cell


class Passivation:
    """Cells that may be put away, by their period in seconds."""

    _AT_ONCE: ClassVar[int] = 500  # looked at in one turn of the loop
    _SOONEST: ClassVar[float] = 0.001  # seconds until the next look, so that a period of 0 lets the loop rest

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[float, OrderedDict[Cell, float]] = {}

    def add(self, cell: Cell, period: float) -> None:
        """Put the cell away when it has been idle for `period` seconds."""
        queue = self._queues.get(period)
        now = self._clock.monotonic()
        if queue is None:
            queue = self._queues[period] = OrderedDict()
            self._arm(period, now + period)
        queue[cell] = now

    def forget(self, cell: Cell, period: float) -> None:
        """Drop a cell that is over."""
        queue = self._queues.get(period)
        if queue is not None:
            queue.pop(cell, None)

    def evict(self, count: int) -> None:
        """Put away up to `count` idle cells, about those first that have been idle longest."""
        looks = min(self._AT_ONCE, 2 * sum(map(len, self._queues.values())))
        while count > 0 and looks > 0 and (queues := list(filter(None, self._queues.values()))):
            looks -= 1
            queue = min(queues, key=lambda queue: next(iter(queue.values())))
            cell, since = next(iter(queue.items()))
            if cell.idle and cell.rested_at <= since:
                cell.passivate()
                count -= 1
            else:
                self._look_later(queue, cell)

    def _arm(self, period: float, when: float) -> None:
        self._clock.call_at(when, lambda: self._expire(period))

    def _expire(self, period: float) -> None:
        queue = self._queues[period]
        now = self._clock.monotonic()
        for _ in range(min(self._AT_ONCE, len(queue))):
            cell, since = next(iter(queue.items()))
            if since + period > now:
                break
            if cell.idle and cell.rested_at + period <= now:
                cell.passivate()
            else:
                self._look_later(queue, cell)
        if queue:
            self._arm(period, max(next(iter(queue.values())) + period, now + self._SOONEST))
        else:
            del self._queues[period]

    def _look_later(self, queue: OrderedDict[Cell, float], cell: Cell) -> None:
        queue[cell] = cell.rested_at if cell.idle else self._clock.monotonic()
        queue.move_to_end(cell)
