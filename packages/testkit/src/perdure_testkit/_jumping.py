"""Time that jumps to the next timer whenever an event loop has nothing else to do.

Before it sleeps, an asyncio loop asks its selector to wait: with a timeout of 0 while any callback is ready, otherwise
until its own next timer. So the question "does everything wait?" has an exact answer in one place, and while time may
jump we stand there, in place of `select`. Nothing polls, no turns are counted, and the loop really sleeps while threads
work, which a loop that spins would starve.

What is not in the loop cannot be asked. Jobs of the stores' threads can be seen all the same: while one is out, their
`Worker` has a timer of the loop due within half a millisecond, and the loop's own timers come first when they are near.
For others (an executor, a socket) there is the grace: where the process has more threads, or the loop has files to
watch, time jumps only after so many real seconds in which nothing came. Without them it jumps at once, and a test is
deterministic.

Rejected: counting turns of the loop (32 quiet ones say nothing of a thread); looking at what tasks wait for (callbacks
have no task); replacing `loop.time` (the timers of libraries would jump as well, their connections' time-outs first).
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from perdure_testkit._clock import VirtualClock


class Stalled(AssertionError):
    """Time could not jump: everything waits and no timer is set, or the next one is beyond what was allowed."""


class Jumps:
    """Stands between an event loop and its selector as long as any block lets the time of a clock jump."""

    PATIENCE: ClassVar[float] = 5.0
    """Real seconds without any timer after which a loop is stalled that a thread or a socket might still wake."""

    NEAR: ClassVar[float] = 0.002
    """A timer of the loop itself that is due within so many real seconds comes before a jump, or within the grace."""

    def __init__(self, clock: VirtualClock) -> None:
        self.blocks: list[Jumping] = []
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._selector = _selector_of(self._loop)
        self._select = self._selector.select
        self._unheard: BaseException | None = None
        self._selector.select = self._wait

    def end(self) -> None:
        del self._selector.select

    def fail(self, error: BaseException) -> None:
        """Have the innermost block raise, or else the loop itself, when it waits next."""
        if not self.blocks or not self.blocks[-1].fail(error):
            self._unheard = error

    def _wait(self, timeout: float | None = None) -> Any:
        """Wait as `select` does, unless time can jump instead."""
        if self._unheard is not None:
            error, self._unheard = self._unheard, None
            raise error
        block = self.blocks[-1]
        when = self._clock._next_time()
        if timeout is not None and (when is None or timeout <= max(self.NEAR, block.grace)):
            return self._select(timeout)
        patience = block.grace if when is not None else self.PATIENCE
        came = self._select(patience if self._may_be_woken() else 0)
        if not came and not self._loop._ready:  # type: ignore[attr-defined]
            self._loop.call_soon(self._jump, context=block.context)
        return came

    def _jump(self) -> None:
        if not self.blocks:
            return
        when = self._clock._next_time()
        if when is None:
            self.fail(Stalled(f"everything waits for ever, for no timer is set{_waiting(self._loop)}"))
        elif when > self.blocks[-1].end:
            text = f"the next timer is at {when:g} s, and time was to jump to {self.blocks[-1].end:g} s at most"
            self.fail(Stalled(f"{text}: look why it waits so long, or give at_most{_waiting(self._loop)}"))
        else:
            self._fire()

    def _fire(self) -> None:
        try:
            self._clock._fire_next()
        except Exception as error:
            self.fail(error)

    def _may_be_woken(self) -> bool:
        """Tell whether anything outside of the loop could give it something to do; its own wake-up pipe aside."""
        files = getattr(self._selector, "get_map", lambda: None)()
        return threading.active_count() > 1 or files is None or len(files) > 1


class Jumping:
    """A block in which time jumps; see `VirtualClock.jumping`."""

    def __init__(self, clock: VirtualClock, at_most: float, grace: float) -> None:
        self.context = copy_context()
        self.end = clock.monotonic() + at_most
        self.grace = grace
        self._clock = clock
        self._failure: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0

    async def __aenter__(self) -> VirtualClock:
        self._task = asyncio.current_task()
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        if self._clock._jumps is None:
            self._clock._jumps = Jumps(self._clock)
        self._clock._jumps.blocks.append(self)
        return self._clock

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        jumps = self._clock._jumps
        assert jumps is not None
        jumps.blocks.remove(self)
        if not jumps.blocks:
            self._clock._jumps = None
            jumps.end()
        if self._failure is None or self._task is None:
            return
        others = self._task.uncancel() > self._cancelling
        if error is None or (isinstance(error, asyncio.CancelledError) and not others):
            raise self._failure from None

    def fail(self, error: BaseException) -> bool:
        """End the body, so that the block raises `error`; False when that was done before, or the body is no more."""
        if self._failure is not None or self._task is None or self._task.done():
            return False
        self._failure = error
        self._task.cancel()
        return True


def _selector_of(loop: asyncio.AbstractEventLoop) -> Any:
    selector = getattr(loop, "_selector", None)
    if selector is None:
        raise RuntimeError(f"time jumps in asyncio's own event loops, not in {type(loop).__module__}: use advance")
    if "select" in vars(selector):
        raise RuntimeError("the time of another clock jumps in this event loop")
    return selector


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    return "".join(f"\n  {task.get_name()} waits{_place(task.get_coro())}" for task in tasks)


def _place(waiting: Any) -> str:
    """Return where a coroutine waits: the innermost place that is not in asyncio itself."""
    place = ""
    while inspect.iscoroutine(waiting) and waiting.cr_frame is not None:
        code = waiting.cr_frame.f_code
        if Path(code.co_filename).parent.name != "asyncio":
            place = f" in {code.co_qualname}, {Path(code.co_filename).name}:{waiting.cr_frame.f_lineno}"
        waiting = waiting.cr_await
    return place
