"""A future whose waiters go on at once, not a turn of the loop later.

An asyncio future passes its result on by `call_soon`: a chain of three (the thread's, the commit's, the writer's) costs
three turns, each as long as whatever else runs in the loop. Here callbacks run where the result is set. That must be a
callback of the loop, never the inside of a task, for it steps the tasks that wait; a cancellation, which may come from
a task, therefore takes the usual turn.

Any object with `_asyncio_future_blocking` and these methods is a future to asyncio (see `asyncio.isfuture`); `gather`
also asks a cancelled one for its error and its message. It is a struct because there is one for each event: `__init__`
would cost more than all that is done with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Waiter(Protocol):
    """Whoever waits for a prompt in its own way. Kept as it is: a method of its would be one more object to collect."""

    def go_on(self, prompt: Prompt[Any], /) -> object:
        """Take notice that the outcome is there."""


class Prompt(msgspec.Struct, Generic[T], eq=False, weakref=True):
    """A future of one event loop; `set_result` and `set_exception` step whoever awaits it."""

    _loop: asyncio.AbstractEventLoop
    _asyncio_future_blocking: bool = False
    _callbacks: list[tuple[Callable[[Any], object], Context]] | None = None
    _cancelled: bool = False
    _done: bool = False
    _error: BaseException | None = None
    _result: Any = None
    _then: Waiter | None = None

    _cancel_message: ClassVar[None] = None

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        if self._cancelled or self._error is not None or not self._done:
            return self.result()  # raises
        result: T = self._result
        return result

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return self._cancelled

    def result(self) -> T:
        """Return the result. Raises the exception, or `CancelledError`."""
        if self._error is not None or self._cancelled or not self._done:
            error = self.exception()  # raises where there is no outcome
            assert error is not None
            raise error
        result: T = self._result
        return result

    def exception(self) -> BaseException | None:
        """Return the exception, if any. Raises `CancelledError` after a cancellation."""
        if self._cancelled:
            raise self._make_cancelled_error()
        if not self._done:
            raise asyncio.InvalidStateError("the result is not set")
        return self._error

    def set_result(self, result: T) -> None:
        if self._done:
            raise asyncio.InvalidStateError("the result is set already")
        self._done = True
        self._result = result
        if self._callbacks is not None:
            self._finish()
        elif self._then is not None:
            self._then.go_on(self)

    def set_exception(self, error: BaseException) -> None:
        if self._done:
            raise asyncio.InvalidStateError("the result is set already")
        self._done = True
        self._error = error
        self._finish()

    def cancel(self, msg: object = None) -> bool:
        """Cancel the waiting, unless the result is there."""
        if self._done:
            return False
        self._done = self._cancelled = True
        self._loop.call_soon(self._finish)
        return True

    def then(self, waiter: Waiter) -> None:
        """Have a waiter go on where the result is set, in whatever context that is."""
        if self._done or self._then is not None:
            self.add_done_callback(waiter.go_on)
        else:
            self._then = waiter

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Call `callback(self)` where the result is set, or soon if it is."""
        if context is None:
            context = copy_context()
        if self._done:
            self._loop.call_soon(callback, self, context=context)
        elif self._callbacks is None:
            self._callbacks = [(callback, context)]
        else:
            self._callbacks.append((callback, context))

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Forget a callback; return how often it was there."""
        callbacks = self._callbacks or []
        self._callbacks = [item for item in callbacks if item[0] != callback]
        return len(callbacks) - len(self._callbacks)

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        return asyncio.CancelledError()

    def _finish(self) -> None:
        """Call back, one after the other."""
        then, self._then = self._then, None
        try:
            if then is not None:
                then.go_on(self)
            while self._callbacks:
                callback, context = self._callbacks.pop(0)
                context.run(callback, self)
        finally:  # a callback that ends the process leaves the others their usual turn
            if self._callbacks:
                self._loop.call_soon(self._finish)
