"""Persistent actors in a real folder."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from perdure import ActorSystem
from perdure.errors import CreateStoreError
from perdure_testkit import ActorContract
from perdure_testkit._contract._actors import Tape, Write


class TestActors(ActorContract):
    lacks = {  # noqa: RUF012  as the contract declares it
        "openers": "RocksDB lets one object write a folder; a second opener is refused",
        "processes": "RocksDB lets one process write a folder; a second opener is refused",
    }
    largest = 64 * 1024 * 1024

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"rocksdb:///{tmp_path}/tapes"


async def test_the_folder_is_made(tmp_path: Path) -> None:
    """A store may be named before its folder exists (AVE-46)."""
    place = tmp_path / "deep" / "down" / "tapes"

    async with ActorSystem(store=f"rocksdb:///{place}") as system:
        await system.ref(Tape, "a").ask(Write((1,)))

    assert place.is_dir()


async def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The system does not start, and the error shows the path (AVE-46, AVE-101)."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(CreateStoreError, match=r"file/tapes"):
        async with ActorSystem(store=f"rocksdb:///{tmp_path}/file/tapes"):
            pass


async def test_handles_and_threads_do_not_grow_with_actors(tmp_path: Path) -> None:
    """A thousand actors hold what one holds (W-36)."""
    async with ActorSystem(store=f"rocksdb:///{tmp_path}/tapes") as system:

        async def use(first: int, last: int) -> tuple[int, int]:
            await asyncio.gather(*(system.ref(Tape, str(n)).ask(Write((n,))) for n in range(first, last)))
            return len(os.listdir("/proc/self/fd")), threading.active_count()

        files, threads = await use(0, 1)

        more_files, more_threads = await use(1, 1000)

        assert more_threads == threads
        assert more_files - files <= 4  # of RocksDB's own
