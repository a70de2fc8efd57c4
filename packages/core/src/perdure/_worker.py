"""A few threads that run blocking jobs for one event loop, and that a busy loop cannot starve.

A loop that is never idle holds the interpreter lock nearly always: `select(0)` lets it go and has it back before a
waiting thread wakes, so a thread that needs the lock between two system calls may wait for seconds. Shorter switch
intervals do not help against turns of some microseconds, and they are not ours to set. So the loop itself lends the
lock: when no job has finished for `PATIENCE` seconds, and the loop has used the processor for more than half of them,
it sleeps for `LOAN` seconds. So a loop with time to spare never sleeps for it, and a busy one lends about a tenth of
its time, and only while it waits.

Beside turns of milliseconds each look costs one. So a busy loop lends its lock also where a job is submitted while none
is out, which then begins at once, and at the beginning of its next turn, within which most have come to their end.

Jobs should need the lock seldom: each statement that they execute lets go of it and has to get it back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, ClassVar, Generic, TypeVar

from perdure._prompt import Prompt

R = TypeVar("R")
T = TypeVar("T")


class Worker(Generic[R]):
    """Threads that own one resource each (a connection, say) and run jobs on it, first come, first served.

    Must be made and used in one event loop. Cancelling the future of a job does not stop the job.
    """

    PATIENCE: ClassVar[float] = 0.0005
    LOAN: ClassVar[float] = 0.00005

    def __init__(self, name: str, acquire: Callable[[], R], release: Callable[[R], None], threads: int = 1) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[Callable[[R], Any], Prompt[Any]] | None] = SimpleQueue()
        self._acquire = acquire
        self._release = release
        self._done: deque[tuple[Prompt[Any], Any, BaseException | None]] = deque()
        self._told = False
        self._submitted = 0
        self._finished = 0
        self._lending = False
        self._lent = 0.0
        self._slept = 0.0  # since the loop was looked at last
        self._is_busy = False  # the loop, when it was looked at last
        self._seen = (0, 0.0, 0.0)
        self._closing: asyncio.Future[None] | None = None
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[R], T]) -> Prompt[T]:
        """Queue `job(resource)` and return the future of its result."""
        if self._closing is not None:
            raise RuntimeError("the worker is closed")
        future: Prompt[T] = Prompt(self._loop)
        self._submitted += 1
        self._jobs.put((job, future))
        if not self._lending:
            self._lending = True
            self._look_again()
        if self._is_busy and self._submitted - self._finished == 1 and self._may_lend():
            self._sleep()
            self._loop.call_soon(self._lend_again)
        return future

    async def close(self) -> None:
        """Finish the jobs that are queued, release the resources and end the threads. May be called again."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            for _ in self._threads:
                self._jobs.put(None)
            if not self._lending:
                self._lending = True
                self._look_again()
        await asyncio.shield(self._closing)

    def _look_again(self) -> None:
        self._slept = 0.0
        self._seen = (self._finished, time.monotonic(), time.thread_time())
        self._loop.call_later(self.PATIENCE, self._look)

    def _look(self) -> None:
        """Lend the interpreter lock if the loop has been busy and no job has finished; look again while any is out."""
        if not self._is_out() and (self._closing is None or self._closing.done()):
            self._lending = False
            return
        finished, wall, cpu = self._seen
        self._is_busy = time.thread_time() - cpu > (time.monotonic() - wall - self._slept) / 2
        if self._finished == finished and self._is_busy:
            self._lend()
        self._look_again()

    def _lend(self) -> None:
        """Lend the interpreter lock, and tell of the jobs that have finished with it."""
        self._sleep()
        self._settle()

    def _lend_again(self) -> None:
        if self._is_out() and self._may_lend():
            self._lend()

    def _is_out(self) -> bool:
        return self._finished != self._submitted

    def _may_lend(self) -> bool:
        return time.monotonic() - self._lent > self.PATIENCE

    def _sleep(self) -> None:
        began = time.monotonic()
        time.sleep(self.LOAN)
        self._lent = time.monotonic()
        self._slept += self._lent - began

    def _run(self) -> None:
        try:
            self._serve_all()
        finally:
            self._tell_loop(self._thread_ended, threading.current_thread())

    def _serve_all(self) -> None:
        try:
            resource = self._acquire()
        except Exception as error:
            self._refuse_all(error)
            return
        try:
            self._serve(resource)
        finally:
            self._release(resource)

    def _serve(self, resource: R) -> None:
        while (task := self._jobs.get()) is not None:
            job, future = task
            try:
                self._finish(future, job(resource), None)
            except BaseException as error:
                self._finish(future, None, error)
            del task, job, future  # an idle thread keeps nothing alive

    def _refuse_all(self, error: Exception) -> None:
        while (task := self._jobs.get()) is not None:
            self._finish(task[1], None, error)

    def _finish(self, future: Prompt[Any], result: object, error: BaseException | None) -> None:
        """Leave a result for the loop, and wake the loop unless that was done already and it has not looked yet."""
        self._done.append((future, result, error))
        if not self._told:
            self._told = True
            self._tell_loop(self._settle)

    def _tell_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop was closed under us: nobody is left to tell
            pass

    def _settle(self) -> None:
        self._told = False  # first, so that whatever is left from now on wakes the loop again
        try:
            while self._done:
                future, result, error = self._done.popleft()
                self._finished += 1
                if future.done():
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)
        finally:
            if self._done:  # a waiter ended the process, and the others are still to know
                self._loop.call_soon(self._settle)

    def _thread_ended(self, thread: threading.Thread) -> None:
        thread.join()
        self._threads.remove(thread)
        if not self._threads and self._closing is not None and not self._closing.done():
            self._closing.set_result(None)
