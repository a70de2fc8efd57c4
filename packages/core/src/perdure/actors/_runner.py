"""The tasks that lend themselves to actors.

A task for each message costs more than the message. So tasks are shared: a runner takes one turn of a cell at a time,
a message say, and is that turn's current task from its first line to its last: timeouts, task groups and cancellation
work as ever. Each turn runs in a context of its own, that of the message.

Most turns wait for nothing, or for the store. These are stepped by hand, by the dispatcher, while the runner is entered
as the current task; a step costs no turn of the loop. Only where a turn waits for anything else (a lock, a socket, a
task) its steps are left to asyncio, until it waits for the store again or is over.

How both fit together: the task believes that it runs the runner, a coroutine, which waits for the runner, a future.
While turns are stepped by hand that future is never done. It is where a cancellation of the task arrives, and the
runner treats it as a task would: whatever the turn waits for is cancelled, or the next step raises. To leave a turn to
asyncio, the runner wakes its task, and gives it what the turn waits for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from perdure._prompt import Prompt

if TYPE_CHECKING:
    from perdure.actors._cell import Cell
    from perdure.actors._dispatcher import Dispatcher

_enter_task = asyncio.tasks._enter_task
_leave_task = asyncio.tasks._leave_task


class Runner(Coroutine[Any, Any, None]):
    """What a task of the dispatcher runs, and what it waits for."""

    __slots__ = (
        "_asyncio_future_blocking",
        "_began",
        "_by_hand",
        "_cancel",
        "_cell",
        "_context",
        "_dispatcher",
        "_end",
        "_handed_over",
        "_loop",
        "_turn",
        "_waits_for",
        "_wakeup",
        "_was_cancelled",
        "task",
    )

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._asyncio_future_blocking = False
        self._began = 0.0  # when the turn did
        self._by_hand = True
        self._cancel: asyncio.CancelledError | None = None  # what the next step raises
        self._cell: Cell
        self._context: Context
        self._dispatcher = dispatcher
        self._end: BaseException | None = None  # what the task ends with
        self._handed_over = False  # but the task does not have it yet
        self._loop = dispatcher.loop
        self._turn: Coroutine[Any, Any, None] | None = None
        self._waits_for: Any = None  # unless the task has it
        self._wakeup: Callable[[Any], object] | None = None
        self._was_cancelled = False  # or may have been
        self.task = self._loop.create_task(self, name="perdure-runner", context=dispatcher.context)

    @property
    def is_waiting(self) -> bool:
        """True while a turn is under way."""
        return self._turn is not None

    @property
    def waiting(self) -> tuple[Cell, float] | None:
        """Whose turn waits here for something, and when it began; None while no turn waits."""
        return (self._cell, self._began) if self._waits_for is not None or not self._by_hand else None

    # Steps by hand.

    def take(self, ready: deque[Cell], most: int) -> int:
        """Take turns of cells until one waits or they are so many; return how many were not taken."""
        task = self.task
        _enter_task(self._loop, task)
        try:
            while ready and most and self._end is None:
                most -= 1
                cell = ready.popleft()
                context, turn = cell.turn(task)
                self._turn = turn
                try:
                    waits_for = context.run(turn.send, None)
                except StopIteration:
                    self._turn = None
                    if cell.ended_turn():
                        ready.append(cell)
                    if self._was_cancelled:
                        self._forget_cancel()
                except BaseException as error:
                    self._turn = None
                    cell.break_off(error)
                    self._end = error
                else:
                    self._cell, self._context, self._began = cell, context, self._dispatcher.began
                    break
        finally:
            _leave_task(self._loop, task)
        if self._turn is not None:
            if not self._waits_by_hand(waits_for):
                self._hand_over(waits_for)
        elif self._end is None:
            self._dispatcher.rest(self)
        else:
            self._wake()
        return most

    def go_on(self, _: object) -> None:
        """Step the turn that has waited."""
        turn: Any = self._turn
        self._waits_for = None
        _enter_task(self._loop, self.task)
        try:
            if self._cancel is None:
                waits_for = self._context.run(turn.send, None)
            else:
                waits_for = self._context.run(turn.throw, self._take_cancel())
        except StopIteration:
            _leave_task(self._loop, self.task)
            self._over()
        except BaseException as error:
            _leave_task(self._loop, self.task)
            self._break_off(error)
            self._end = error
            self._wake()
        else:
            _leave_task(self._loop, self.task)
            if not self._waits_by_hand(waits_for):
                self._hand_over(waits_for)

    def _waits_by_hand(self, waits_for: Any) -> bool:
        """Have the turn go on when it has what it waits for; False if that is not ours."""
        if not isinstance(waits_for, Prompt) or not waits_for._asyncio_future_blocking:
            return False
        waits_for._asyncio_future_blocking = False
        waits_for.then(self)
        self._waits_for = waits_for
        if self._cancel is not None and waits_for.cancel(*self._cancel.args):
            self._cancel = None
        return True

    def _over(self) -> None:
        """End the turn that has waited."""
        self._turn = None
        if self._cell.ended_turn():
            self._dispatcher.schedule(self._cell)
        if self._was_cancelled:
            self._forget_cancel()
        if self._end is None:
            self._dispatcher.rest(self)
        else:
            self._loop.call_soon(self._wake)

    def _break_off(self, error: BaseException) -> None:
        self._turn = None
        self._cell.break_off(error)

    def end(self) -> None:
        """Let the task end, when no turn is under way."""
        self._end = StopIteration()
        self._loop.call_soon(self._wake)

    def _forget_cancel(self) -> None:
        """End the task, if the turn has not heeded that it was cancelled: no other shall."""
        self._was_cancelled = False
        self._cancel = None
        if self.task.cancelling():
            self._end = StopIteration()

    # Steps of the task.

    def _hand_over(self, waits_for: Any) -> None:
        """Leave the turn to asyncio."""
        self._by_hand = False
        self._handed_over = True
        self._was_cancelled = True
        self._waits_for = waits_for
        if self._cancel is not None and asyncio.isfuture(waits_for) and waits_for.cancel(*self._cancel.args):
            self._cancel = None
        self._wake()

    def send(self, value: None) -> Any:
        """Return what to wait for, as the task is to see it."""
        if self._end is not None:
            raise self._end
        if self._handed_over:
            self._handed_over = False
            waits_for, self._waits_for = self._waits_for, None
            return waits_for
        if self._by_hand:
            return self._park()
        if self._cancel is not None:
            return self._step(self._turn.throw, self._take_cancel())  # type: ignore[union-attr]
        return self._step(self._turn.send, value)  # type: ignore[union-attr]

    def throw(self, *error: Any) -> Any:
        """Do as `send` does, with an error, such as a cancellation, at the point where the turn waits."""
        if self._by_hand or self._handed_over:  # the task was cancelled before its first step
            self.cancel()
            return self.send(None)
        return self._step(self._turn.throw, *error)  # type: ignore[union-attr]

    def close(self) -> None:
        """Give up the turn that waits, for the loop is gone."""
        if self._turn is not None:
            self._turn.close()

    @property
    def cr_await(self) -> Coroutine[Any, Any, None] | None:
        """The turn that waits, for those who look into tasks; as in coroutines of Python's own."""
        return self._turn

    def __await__(self) -> Any:
        raise TypeError("a runner is run by its task alone")

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            waits_for = self._context.run(step, *arguments)
        except StopIteration:
            self._by_hand = True
            self._over()
        except BaseException as error:
            self._break_off(error)
            raise
        else:
            if not self._waits_by_hand(waits_for):
                return waits_for
            self._by_hand = True
        return self.send(None)

    def _park(self) -> Runner:
        self._asyncio_future_blocking = True
        return self

    def _take_cancel(self) -> asyncio.CancelledError:
        error, self._cancel = self._cancel, None
        assert error is not None
        return error

    # The future for which the task waits while turns are stepped by hand.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, wakeup: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._wakeup = wakeup

    def done(self) -> bool:
        return False

    def result(self) -> None:
        """Say what the task is to go on with: `send` knows."""

    def cancel(self, msg: object = None) -> bool:
        """Cancel what the turn waits for, or have its next step raise; without a turn, end the task."""
        self._was_cancelled = True
        if self._turn is None:
            self._dispatcher.forget(self)
            self._end = asyncio.CancelledError()
            self._loop.call_soon(self._wake)
        elif self._waits_for is None or not self._waits_for.cancel(msg):
            self._cancel = asyncio.CancelledError(*(() if msg is None else (msg,)))
        return True

    def _wake(self) -> None:
        """Have the task step, unless it is yet to make its first step."""
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None:
            wakeup(self)
