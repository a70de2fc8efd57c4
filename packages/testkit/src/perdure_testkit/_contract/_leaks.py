"""What closing leaves behind: nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeAlias

import pytest
import pytest_asyncio

from perdure import open_backend
from perdure.abc import Backend, Durability
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import EVENTS, STATES, append, keys_of
from perdure_testkit._contract._stores import Reopen

Belongings: TypeAlias = tuple[set[threading.Thread], "set[asyncio.Task[object]]"]


class Before:
    @pytest_asyncio.fixture
    async def before(self) -> Belongings:
        """Return the threads and tasks that there are before the store is opened."""
        return set(threading.enumerate()), asyncio.all_tasks()


class LeakRules(Before):
    durability: Durability
    patience: ClassVar[float]

    async def test_close_leaves_no_thread(self, before: Belongings, backend: Backend) -> None:
        """When close has returned, the threads of the store end (GAP-29)."""
        await _use(backend)

        await backend.close()

        await soon(self.patience, lambda: {thread for thread in threading.enumerate() if thread.is_alive()} - before[0])

    async def test_close_leaves_no_task(self, before: Belongings, backend: Backend) -> None:
        """When close has returned, the tasks of the store end (GAP-29)."""
        await _use(backend)

        await backend.close()

        own = asyncio.current_task()
        await soon(self.patience, lambda: asyncio.all_tasks() - before[1] - {own})

    @needs("reopening")
    async def test_close_leaves_no_handle(self, backend: Backend, reopen: Reopen) -> None:
        """However often a store is opened and closed, no file and no socket stays open (GAP-29)."""
        if handles() is None:
            pytest.skip("this system does not tell what a process has open")
        await _use(backend)
        await backend.close()
        backend = await reopen()
        await backend.close()
        before = handles()

        for _ in range(4):
            backend = await reopen()
            await _use(backend)
            await backend.close()

        await soon(self.patience, lambda: (handles() or 0) > (before or 0))

    async def test_a_close_that_was_cancelled_can_be_repeated(self, backend: Backend) -> None:
        """Closing again finishes a close that was cancelled (GAP-06, GAP-29)."""
        await _use(backend)
        closing = asyncio.ensure_future(backend.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])

        async with asyncio.timeout(self.patience):
            await backend.close()

    @needs("loops")
    async def test_one_event_loop_after_another(self, url: str) -> None:
        """A store that was closed in one event loop opens in the next, and goes on (GAP-30)."""

        async def go_on(after: int) -> list[int]:
            backend = await open_backend(url, durability=self.durability)
            try:
                assert await backend.commit([append("a", after, b"")]) == [None]
                return await keys_of(backend.collection(EVENTS, "a"))
            finally:
                await backend.close()

        for after in range(3):
            assert await asyncio.to_thread(asyncio.run, go_on(after)) == list(range(1, after + 2))


async def _use(backend: Backend) -> None:
    await asyncio.gather(*(backend.commit([append(f"{number}", 0, b"")]) for number in range(5)))
    await asyncio.gather(
        *(backend.collection(EVENTS, f"{number}").last() for number in range(5)),
        backend.read_state(STATES, "a"),
        backend.prefixes(EVENTS),
    )


async def soon(patience: float, what_is_left: Callable[[], object]) -> None:
    """Wait a little until nothing is left."""
    end = asyncio.get_running_loop().time() + min(patience, 5)
    while left := what_is_left():
        assert asyncio.get_running_loop().time() < end, left
        await asyncio.sleep(0.005)


def handles() -> int | None:
    """Return how many files and sockets this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.is_dir() else None
