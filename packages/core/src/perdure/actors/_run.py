"""Running a program: a loop, its signals, and what makes it faster on request."""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

T = TypeVar("T")

_THRESHOLD = 50_000  # new objects between two collections


def run(
    main: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T],
    *,
    signals: Collection[signal.Signals] = (signal.SIGTERM,),
    uvloop: bool = False,
    tune_gc: bool = False,
    debug: bool | None = None,
) -> T:
    """Run a program like `asyncio.run`, and return what it returns.

    One of the `signals` cancels it, so that its `async with` blocks end as they should; then `SystemExit` is raised
    with the code 0. The same signal again has its usual effect. A system that crashed has raised `SystemCrashed`,
    which, like any error that nobody catches, ends the process with the code 1.

    `uvloop` uses uvloop's event loop if it is installed. `tune_gc` collects garbage once, then leaves everything that
    is there alone (`gc.freeze`) and looks for more only after 50,000 new objects, until the program ends.
    """
    program = _Program(main, signals)
    with (
        _tuned_gc() if tune_gc else nullcontext(),
        asyncio.Runner(debug=debug, loop_factory=_loop_factory(uvloop)) as runner,
    ):
        result: T = runner.run(program.run())
    if program.was_told_to_stop:
        raise SystemExit(0)
    return result


class _Program:
    """A coroutine that signals cancel."""

    def __init__(self, main: Any, signals: Collection[signal.Signals]) -> None:
        self.was_told_to_stop = False
        self._main = main
        self._signals = signals

    async def run(self) -> Any:
        task = asyncio.current_task()
        assert task is not None
        with self._listening(task):
            try:
                return await (self._main() if callable(self._main) else self._main)
            except asyncio.CancelledError:
                if not self.was_told_to_stop:
                    raise
        return None

    @contextmanager
    def _listening(self, task: asyncio.Task[Any]) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread hears signals
            return
        for number in self._signals:
            loop.add_signal_handler(number, self._stop, task)
        try:
            yield
        finally:
            self._forget(loop)

    def _stop(self, task: asyncio.Task[Any]) -> None:
        self.was_told_to_stop = True
        self._forget(task.get_loop())
        task.cancel()

    def _forget(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in self._signals:
            loop.remove_signal_handler(number)


@contextmanager
def _tuned_gc() -> Iterator[None]:
    threshold = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_THRESHOLD, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


def _loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if uvloop:
        try:
            factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
        except ImportError:
            return None
        return factory
    return None
