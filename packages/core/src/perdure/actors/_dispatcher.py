"""The tasks that lend themselves to actors.

A task for each burst of messages costs more than the messages. So tasks are shared: a runner takes the next cell that
has something to do and runs one turn of it, a message say, then the next cell. A turn that waits for nothing ends where
it began and needs no task of its own. A turn that waits keeps its runner until it is over, and another runner goes on
with the other cells. To the code of a handler all this is one asyncio task from its first line to its last: timeouts,
task groups and cancellation work as ever. Each turn runs in a context of its own, that of the message.

The runners that take cells, or have been called to, are the takers. While any cell is ready there is one: whoever makes
a cell ready when there is none calls one; a taker whose turn waits is none until that is over, and calls others; one
that ends, in whatever way, is replaced. A called runner begins in the loop's next turn, so one at a time would be slow
where every turn waits: each turn in a row that waits doubles how many are called.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from perdure.actors._cell import Cell


class Dispatcher:
    """Runs the turns of all cells of a system."""

    _MOST_WAITS: ClassVar[int] = 2048
    _RESTING: ClassVar[int] = 8  # runners that are kept for later; a busy system's do not come to rest

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self.loop = loop
        self.ready: deque[Cell] = deque()
        self.waits = 0
        self._context = context
        self._resting: list[Runner] = []
        self._runners: set[Runner] = set()
        self.takers: set[Runner] = set()
        self._closed = False
        self._on_end = self._ended  # one for all: thousands of runners are little work for the collector

    def schedule(self, cell: Cell) -> None:
        """Have the cell take its turn soon. The cell sees to it that it is not scheduled twice."""
        self.ready.append(cell)
        if not self.takers:
            self.call()

    async def close(self) -> None:
        """End the runners, when all cells are closed; a turn that is still under way was left to itself."""
        self._closed = True
        while self._resting:
            self._resting.pop().called()
        while tasks := [runner.task for runner in self._runners if not runner.is_waiting]:
            await asyncio.wait(tasks)

    def leave(self, runner: Runner) -> None:
        """Note that a runner takes no cells while its turn waits, and call others."""
        self.takers.discard(runner)
        if self.waits < self._MOST_WAITS:
            self.waits = 2 * self.waits + 1
        if self.ready:
            for _ in range(min(self.waits, len(self.ready)) - len(self.takers)):
                self.call()

    def return_to(self, runner: Runner) -> None:
        """Note that the turn for which a runner had left is over."""
        self.takers.add(runner)

    def rest(self, runner: Runner) -> bool:
        """Keep a runner that has nothing to do; False when it is to end."""
        self.takers.discard(runner)
        if self._closed or runner.task.cancelling() or len(self._resting) >= self._RESTING:
            return False
        self._resting.append(runner)
        return True

    def call(self) -> None:
        """Make a resting runner, or a new one, a taker."""
        while self._resting:
            runner = self._resting.pop()
            if runner.called():
                self.takers.add(runner)
                return
        runner = Runner(self)
        runner.task = self.loop.create_task(runner, name="perdure-runner", context=self._context)
        runner.task.add_done_callback(self._on_end)
        self._runners.add(runner)
        self.takers.add(runner)

    def _ended(self, task: asyncio.Task[None]) -> None:
        runner: Any = task.get_coro()
        self._runners.discard(runner)
        self.takers.discard(runner)
        if self.ready and not self.takers:
            self.call()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):  # the loop has raised these
            self.loop.call_exception_handler({"message": "an actor ended its task", "exception": error})


class Runner(Coroutine[Any, Any, None]):
    """What a task of the dispatcher runs. Written as a coroutine by hand: each step of a turn is one call."""

    _STRETCH: ClassVar[int] = 64  # turns in a row, before the loop may look after others

    __slots__ = ("_cell", "_dispatcher", "_gate", "_lingered", "_run", "_turn", "task")

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.task: asyncio.Task[None]
        self._dispatcher = dispatcher
        self._gate: asyncio.Future[None] | None = None
        self._lingered = False
        self._cell: Cell
        self._run: Callable[..., Any]
        self._turn: Coroutine[Any, Any, None] | None = None

    @property
    def is_waiting(self) -> bool:
        """True while a turn is under way."""
        return self._turn is not None

    @property
    def cr_await(self) -> Coroutine[Any, Any, None] | None:
        """The turn that waits, for those who look into tasks; as in coroutines of Python's own."""
        return self._turn

    def called(self) -> bool:
        """Wake the runner that rests; False when it was cancelled."""
        if self._gate is None or self._gate.done():
            return False
        self._gate.set_result(None)
        return True

    def send(self, value: None) -> Any:
        """Go on: with the turn that waited, then with the cells that are ready. Return what to wait for."""
        if self._turn is None:
            return self._take()
        return self._go_on(self._turn.send, value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error, such as a cancellation, at the point where the turn waited."""
        if self._turn is None:
            raise error[0]
        return self._go_on(self._turn.throw, *error)

    def close(self) -> None:
        """Give up the turn that waits, for the loop is gone."""
        if self._turn is not None:
            self._turn.close()

    def __await__(self) -> Any:
        raise TypeError("a runner is run by its task alone")

    def _go_on(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self._run(step, *arguments)
        except StopIteration:
            pass
        except BaseException as error:
            self._cell.break_off(error)
            raise
        self._turn = None
        self._dispatcher.return_to(self)
        if self._cell.ended_turn():
            self._dispatcher.ready.append(self._cell)
        if self.task.cancelling():  # the turn has not heeded it, and no other shall
            raise StopIteration
        return self._take()

    def _take(self) -> Any:
        """Run turns until one waits, and return what for; or until none is ready, and rest."""
        dispatcher = self._dispatcher
        ready = dispatcher.ready
        task = self.task
        stretch = self._STRETCH
        while ready:
            if not stretch:
                return None
            stretch -= 1
            self._lingered = False
            cell = ready.popleft()
            context, turn = cell.turn(task)
            try:
                waits_for = context.run(turn.send, None)
            except StopIteration:
                dispatcher.waits = 0
                if cell.ended_turn():
                    ready.append(cell)
            except BaseException as error:
                cell.break_off(error)
                raise
            else:
                self._cell, self._run, self._turn = cell, context.run, turn
                dispatcher.leave(self)
                return waits_for
        if not self._lingered:  # who was answered just now may have more to say in the loop's next turn
            self._lingered = True
            return None
        if not dispatcher.rest(self):
            raise StopIteration
        gate = self._gate = dispatcher.loop.create_future()
        gate._asyncio_future_blocking = True
        return gate
