"""Threads that run blocking jobs for an event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from perdure.abc import Worker


@asynccontextmanager
async def opened(threads: int = 1) -> AsyncIterator[Worker[str]]:
    worker = Worker("test", lambda: "resource", lambda _: None, threads)
    try:
        yield worker
    finally:
        await worker.close()


def noting(seen: list[Any], number: int) -> Callable[[str], None]:
    return lambda _: seen.append(number)


async def test_a_job_gets_the_resource_and_gives_its_result() -> None:
    """A job is called with the thread's resource, and its result is that of the future."""
    async with opened() as worker:
        assert await worker.submit(lambda resource: f"used {resource}") == "used resource"


async def test_jobs_run_in_another_thread_of_its_name() -> None:
    """Jobs run in a thread that has the worker's name."""
    async with opened() as worker:
        assert await worker.submit(lambda _: threading.current_thread().name) == "test-0"


async def test_jobs_run_in_order() -> None:
    """One thread runs jobs in the order in which they were submitted."""
    seen: list[int] = []

    async with opened() as worker:
        await asyncio.gather(*(worker.submit(noting(seen, number)) for number in range(500)))

    assert seen == list(range(500))


async def test_threads_have_a_resource_each() -> None:
    """Each thread acquires a resource of its own, and they work at the same time."""
    both = threading.Barrier(2, timeout=10)
    worker = Worker("test", threading.current_thread, lambda _: None, threads=2)

    def meet(resource: threading.Thread) -> bool:
        both.wait()
        return resource is threading.current_thread()

    assert all(await asyncio.gather(worker.submit(meet), worker.submit(meet)))
    await worker.close()


async def test_an_error_reaches_who_waits() -> None:
    """An error in a job reaches the future of that job, and the thread goes on."""
    async with opened() as worker:
        with pytest.raises(ZeroDivisionError):
            await worker.submit(lambda _: 1 / 0)

        assert await worker.submit(len) == 8


async def test_an_error_in_acquiring_reaches_every_job() -> None:
    """When the resource cannot be acquired every job gets that error, however late it comes."""

    def acquire() -> str:
        raise OSError("no resource")

    worker = Worker[str]("test", acquire, lambda _: None)

    for _ in range(3):
        with pytest.raises(OSError, match="no resource"):
            await worker.submit(len)
    await worker.close()


async def test_a_cancelled_future_does_not_stop_its_job() -> None:
    """A job whose future was cancelled runs all the same, once, and those after it get their own results."""
    begin, ran = threading.Event(), threading.Event()
    async with opened() as worker:
        worker.submit(lambda _: begin.wait(10))
        cancelled = worker.submit(lambda _: ran.set())
        after = worker.submit(lambda _: "after")

        cancelled.cancel()
        begin.set()

        assert await after == "after"
        assert ran.is_set()


async def test_closing_finishes_what_is_queued() -> None:
    """Jobs that were submitted before close are run, and then the resource is released in its thread."""
    seen: list[Any] = []
    worker = Worker("test", lambda: "resource", lambda _: seen.append(threading.current_thread().name))
    jobs = [worker.submit(noting(seen, number)) for number in range(50)]

    await worker.close()

    assert seen == [*range(50), "test-0"]
    assert all(job.done() for job in jobs)


async def test_closing_twice_is_closing_once() -> None:
    """Closing again, at the same time or later, waits for the same end."""
    released: list[str] = []
    worker = Worker("test", lambda: "resource", released.append, threads=2)

    await asyncio.gather(worker.close(), worker.close())
    await worker.close()

    assert released == ["resource"] * 2


async def test_closing_ends_the_threads() -> None:
    """When close has returned the threads are gone."""
    before = threading.active_count()
    async with opened(threads=3):
        assert threading.active_count() == before + 3

    assert threading.active_count() == before


async def test_a_cancelled_close_goes_on() -> None:
    """Closing goes on when the one who waits for it is cancelled."""
    released = threading.Event()
    worker = Worker("test", lambda: "resource", lambda _: released.set())
    closing = asyncio.ensure_future(worker.close())
    await asyncio.sleep(0)

    closing.cancel()
    await worker.close()

    assert released.is_set()


async def test_a_closed_worker_takes_no_job() -> None:
    """A job submitted after close is refused."""
    async with opened() as worker:
        pass

    with pytest.raises(RuntimeError, match="the worker is closed"):
        worker.submit(len)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_failing_release_does_not_hold_up_closing() -> None:
    """When the resource fails to be released the thread ends all the same."""

    def release(resource: str) -> None:
        raise OSError("cannot be released")

    worker = Worker("test", lambda: "resource", release)

    async with asyncio.timeout(10):
        await worker.close()


@pytest.mark.parametrize("turn", [0.00002, 0.001])
async def test_a_busy_loop_does_not_starve_it(turn: float) -> None:
    """Beside a loop that is never idle, jobs that let go of the interpreter lock are done all the same."""
    stop = asyncio.Event()

    async def compute() -> None:
        while not stop.is_set():
            end = time.perf_counter() + turn
            while time.perf_counter() < end:
                pass
            await asyncio.sleep(0)

    busy = asyncio.ensure_future(compute())
    async with opened() as worker:
        begin = time.perf_counter()
        for _ in range(50):
            await worker.submit(lambda _: time.sleep(0.0001))
        taken = time.perf_counter() - begin
    stop.set()
    await busy

    assert taken < 1


async def test_the_loop_lends_its_lock_while_a_job_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that turns sleeps for a moment again and again while a job takes long, and no more when it is done."""
    loans: list[float] = []
    clocks = {"monotonic": time.monotonic, "thread_time": time.thread_time}
    monkeypatch.setattr("perdure._worker.time", SimpleNamespace(sleep=loans.append, **clocks))
    begin = threading.Event()
    async with opened() as worker:
        job = worker.submit(lambda _: begin.wait(10))
        while len(loans) < 3:  # noqa: ASYNC110  the loop is to be busy
            await asyncio.sleep(0)

        begin.set()
        await job
        while worker._lending:  # noqa: ASYNC110
            await asyncio.sleep(0)

        assert set(loans) == {Worker.LOAN}


async def test_a_busy_loop_lends_its_lock_where_a_job_begins_and_in_the_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that beside turns of milliseconds no job waits for one to begin, nor for one more to be seen to have ended."""
    now = 0.0
    loans: list[float] = []
    end = threading.Event()

    def lend(seconds: float) -> None:
        loans.append(now)
        if len(loans) == 2:
            end.set()
            while len(worker._done) < 2:
                threading.Event().wait(0.001)

    clocks = {"monotonic": lambda: now, "thread_time": lambda: now}
    monkeypatch.setattr("perdure._worker.time", SimpleNamespace(sleep=lend, **clocks))
    async with opened() as worker:
        worker._is_busy = True
        now = 1.0
        jobs = [worker.submit(lambda _: end.wait(10)), worker.submit(len)]
        assert loans == [1.0]  # once for both

        now = 1.1
        await asyncio.sleep(0)

        assert loans == [1.0, 1.1]
        assert all(job.done() for job in jobs)


@pytest.mark.parametrize(("slept", "is_busy"), [(0.0, False), (0.5, True)])
async def test_the_time_of_loans_is_not_time_to_spare(
    monkeypatch: pytest.MonkeyPatch, slept: float, is_busy: bool
) -> None:
    """Or a loop that lends its lock would be taken for an idle one at the next look."""
    clocks = {"monotonic": lambda: 1.0, "thread_time": lambda: 0.3}
    async with opened() as worker:
        end = threading.Event()
        job = worker.submit(lambda _: end.wait(10))
        with monkeypatch.context() as patch:
            patch.setattr("perdure._worker.time", SimpleNamespace(sleep=lambda _: None, **clocks))
            worker._seen, worker._slept = (0, 0.0, 0.0), slept
            worker._look()
        assert worker._is_busy is is_busy
        end.set()
        await job


async def test_a_loop_that_is_idle_lends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that blocks in its selector lets the thread run anyway."""
    loans: list[float] = []
    clocks = {"monotonic": time.monotonic, "thread_time": lambda: 0.0}
    monkeypatch.setattr("perdure._worker.time", SimpleNamespace(sleep=loans.append, **clocks))
    async with opened() as worker:
        await worker.submit(lambda _: threading.Event().wait(0.01))

        assert loans == []


async def test_an_idle_worker_keeps_nothing_alive() -> None:
    """What a job has returned is not kept by the thread that waits for the next."""

    class Result:
        pass

    async with opened() as worker:
        kept = weakref.ref(await worker.submit(lambda _: Result()))
        await worker.submit(len)
        gc.collect()

        assert kept() is None
