"""A future whose waiters go on at once, not a turn of the loop later.

An asyncio future passes its result on by `call_soon`: a chain of three (the thread's, the commit's, the writer's) costs
three turns, each as long as whatever else runs in the loop. Here callbacks run where the result is set. That must be a
callback of the loop, never the inside of a task, for it steps the tasks that wait; a cancellation, which may come from
a task, therefore takes the usual turn.

Any object with `_asyncio_future_blocking` and these methods is a future to asyncio (see `asyncio.isfuture`); `gather`
also asks a cancelled one for its error and its message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


class Prompt(Generic[T]):
    """A future of one event loop; `set_result` and `set_exception` step whoever awaits it."""

    __slots__ = (
        "__weakref__",
        "_asyncio_future_blocking",
        "_callbacks",
        "_cancelled",
        "_done",
        "_error",
        "_loop",
        "_result",
    )

    _cancel_message: ClassVar[None] = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._callbacks: list[tuple[Callable[[Any], object], Context]] = []
        self._cancelled = False
        self._done = False
        self._error: BaseException | None = None
        self._loop = loop
        self._result: Any = None

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

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
        self._result = result
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._finish()

    def cancel(self, msg: object = None) -> bool:
        """Cancel the waiting, unless the result is there."""
        if self._done:
            return False
        self._done = self._cancelled = True
        self._call_back_soon()
        return True

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Call `callback(self)` where the result is set, or soon if it is."""
        if context is None:
            context = copy_context()
        if self._done:
            self._loop.call_soon(callback, self, context=context)
        else:
            self._callbacks.append((callback, context))

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Forget a callback; return how often it was there."""
        kept = [item for item in self._callbacks if item[0] != callback]
        removed = len(self._callbacks) - len(kept)
        self._callbacks = kept
        return removed

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        return asyncio.CancelledError()

    def _finish(self) -> None:
        if self._done:
            raise asyncio.InvalidStateError("the result is set already")
        self._done = True
        try:
            while self._callbacks:
                callback, context = self._callbacks.pop(0)
                context.run(callback, self)
        finally:  # a callback that ends the process leaves the others their usual turn
            if self._callbacks:
                self._call_back_soon()

    def _call_back_soon(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback, context in callbacks:
            self._loop.call_soon(callback, self, context=context)
