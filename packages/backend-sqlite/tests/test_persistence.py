"""Persistent actors on a real file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from perdure import ActorSystem
from perdure.errors import CreateStoreError
from perdure_testkit import ActorContract
from perdure_testkit._contract._actors import Tape, Write


class TestActors(ActorContract):
    largest = 64 * 1024 * 1024

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/tapes.db"


async def test_the_directory_of_the_file_is_made(tmp_path: Path) -> None:
    """A store may be named before its directory exists (AVE-46)."""
    place = tmp_path / "deep" / "down" / "tapes.db"

    async with ActorSystem(store=f"sqlite:///{place}") as system:
        await system.ref(Tape, "a").ask(Write((1,)))

    assert place.is_file()


async def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The system does not start, and the error shows the path (AVE-46, AVE-101)."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(CreateStoreError, match=r"file/tapes\.db"):
        async with ActorSystem(store=f"sqlite:///{tmp_path}/file/tapes.db"):
            pass


async def test_the_loop_runs_while_the_file_is_locked(tmp_path: Path) -> None:
    """A commit that waits for another process's lock holds up nobody else (W-35)."""
    async with ActorSystem(store=f"sqlite:///{tmp_path}/tapes.db") as system:
        ref = system.ref(Tape, "a")
        await ref.ask(Write((1,)))
        rival = sqlite3.connect(tmp_path / "tapes.db", isolation_level=None)
        rival.execute("BEGIN IMMEDIATE")
        write = asyncio.ensure_future(ref.ask(Write((2,))))
        turns = 0
        while turns < 1000 and not write.done():
            turns += 1
            await asyncio.sleep(0)
        waited = not write.done()
        rival.execute("ROLLBACK")
        rival.close()

        assert (await write, waited, turns) == (2, True, 1000)


async def test_handles_and_threads_do_not_grow_with_actors(tmp_path: Path) -> None:
    """A thousand actors hold what one holds (W-36)."""
    async with ActorSystem(store=f"sqlite:///{tmp_path}/tapes.db") as system:

        async def use(first: int, last: int) -> tuple[int, int]:
            await asyncio.gather(*(system.ref(Tape, str(n)).ask(Write((n,))) for n in range(first, last)))
            return len(os.listdir("/proc/self/fd")), threading.active_count()

        files, threads = await use(0, 1)

        more_files, more_threads = await use(1, 1000)

        assert more_threads == threads
        assert more_files - files <= 4  # the other readers' connections open with their first use
