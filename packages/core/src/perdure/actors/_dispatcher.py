"""The cells that have something to do, and who sees to it that they do it.

Ready cells stand in one queue. A callback of the loop has them take their turns, a stretch of them at a time, so that
the loop can look after others between. A turn that waits goes on where its wait ends (see `Runner`), outside of the
queue: it has had its place in it.

Who is answered often asks again, in the loop's next turn. So the dispatcher looks once more behind them: what they ask
is done in the turn of the loop in which they ask it, not one later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar

from perdure._stretch import LONG, STRETCH, stretches
from perdure.actors._runner import Runner

if TYPE_CHECKING:
    from perdure.actors._cell import Cell


class Dispatcher:
    """Runs the turns of all cells of a system."""

    _RESTING: ClassVar[int] = 512  # runners that are kept for later: those of two commits, in a third of a MiB

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context, monotonic: Callable[[], float]) -> None:
        self.loop = loop
        self.context = context
        self.began = 0.0
        """When the present stretch of turns began, or the last one."""
        self._monotonic = monotonic
        self._ready: deque[Cell] = deque()
        self._called = False
        self._in_stretch = False
        self._at_end: list[Callable[[], object]] = []
        self._resting: list[Runner] = []
        self._room = self._RESTING
        self._runners: set[Runner] = set()
        self._on_end = self._ended  # one for all: thousands of runners are little work for the collector

    def schedule(self, cell: Cell) -> None:
        """Have the cell take its turn soon. The cell sees to it that it is not scheduled twice."""
        self._ready.append(cell)
        self.expect()

    def expect(self) -> None:
        """Look for ready cells in the loop's next turn, behind all who go on in it already."""
        if not self._called:
            self._called = True
            self.loop.call_soon(self._run, context=self.context)

    def at_end(self, callback: Callable[[], object], /) -> None:
        """Call back when the present stretch of turns is over; soon, if there is none."""
        if self._in_stretch:
            self._at_end.append(callback)
        else:
            self.loop.call_soon(callback, context=self.context)

    def rest(self, runner: Runner) -> None:
        """Keep a runner for later, or let it end."""
        if len(self._resting) < self._room:
            self._resting.append(runner)
        else:
            runner.end()

    def forget(self, runner: Runner) -> None:
        """Keep a runner no more, if it rests."""
        if runner in self._resting:
            self._resting.remove(runner)

    def waiting(self) -> Iterator[tuple[Cell, float]]:
        """Yield the cells whose turn has begun and waits for something, and when it began."""
        return filter(None, [runner.waiting for runner in self._runners])

    async def close(self) -> None:
        """End the runners, when all cells are closed; a turn that is still under way was left to itself."""
        self._room = 0
        while self._resting:
            self._resting.pop().end()
        while tasks := [runner.task for runner in self._runners if not runner.is_waiting]:
            await asyncio.wait(tasks)

    def _run(self) -> None:
        ready = self._ready
        if not ready:
            self._called = False
            return
        answered = False
        self.began = self._monotonic()
        self._in_stretch = True
        try:
            for _ in range(stretches(len(self._runners) - len(self._resting))):
                answered |= self._take_turns()
                if not ready or self._monotonic() - self.began > LONG:
                    break
        finally:  # also where a turn has ended the process
            self._in_stretch = False
            self._called = bool(ready) or answered
            if self._called:
                self.loop.call_soon(self._run, context=self.context)
            while self._at_end:
                self._at_end.pop(0)()

    def _take_turns(self) -> bool:
        """Have cells take their turns, a stretch of them; tell whether any turn is over, and not only waits."""
        ready, resting = self._ready, self._resting
        left, waiting = STRETCH, 0
        while ready and left:
            runner = resting.pop() if resting else self._new_runner()
            left = runner.take(ready, left)
            waiting += runner.is_waiting
        return STRETCH - left > waiting

    def _new_runner(self) -> Runner:
        runner = Runner(self)
        runner.task.add_done_callback(self._on_end)
        self._runners.add(runner)
        return runner

    def _ended(self, task: asyncio.Task[None]) -> None:
        runner: Any = task.get_coro()
        self._runners.discard(runner)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):  # the loop has raised these
            self.loop.call_exception_handler({"message": "an actor ended its task", "exception": error})
