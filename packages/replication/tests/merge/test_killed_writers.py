"""A writer of a merged value that is killed under load, and comes back; over TCP and over Redis."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from perdure_replication.merge import MergedReplica
from perdure_testkit.redis import RedisServer

from .writer import Said, Tally, add, opened

WRITER = Path(__file__).with_name("writer.py")
SECRET = bytes(range(32))
PATIENCE = 60.0
OPTIONS = "?beat_interval=0.1&unreachable_after=1&timeout=5"
LATER = 1_000_000
"""The first number of a second life."""


class Writer:
    """The process, and the numbers that it has said are added."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.added: set[int] = set()
        self._process = process

    @classmethod
    async def start(cls, url: str, store: str) -> Writer:
        pipe, environment = asyncio.subprocess.PIPE, {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = (sys.executable, str(WRITER), "writer", url, SECRET.hex(), store)
        writer = cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment))
        await writer._next()
        return writer

    def tell(self, word: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())

    async def shows(self) -> Said:
        """Return what it knows."""
        self.tell("show")
        while (said := await self._next()) is not None and said.number:
            pass
        assert said is not None
        return said

    async def adds(self, numbers: int) -> None:
        """Wait until it has added so many."""
        while len(self.added) < numbers:
            await self._next()

    async def kill(self) -> None:
        """End it as `kill -9` does, and note all that it has said."""
        if self._process.returncode is None:
            self._process.kill()
        while await self._next() is not None:
            pass
        await self._process.wait()

    async def _next(self) -> Said | None:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            return None
        said = msgspec.json.decode(line, type=Said)
        if said.number:
            self.added.add(said.number)
        return said


class Place(NamedTuple):
    """Two nodes that stay, and how to start the writer."""

    here: MergedReplica[Tally]
    there: MergedReplica[Tally]
    start: Callable[[], Awaitable[Writer]]


@pytest.fixture(params=["tcp", "redis"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a broker, or nothing."""
    if request.param == "tcp":
        yield ""
        return
    if importlib.util.find_spec("redis") is None:
        pytest.skip("redis-py is not installed")
    server = RedisServer(tmp_path / "broker").start()
    yield server.url + OPTIONS
    server.kill()


@pytest.fixture(params=["stored", "forgetful"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where the writer keeps its part, or nothing."""
    return f"sqlite:///{tmp_path / 'writer.db'}" if request.param == "stored" else ""


@pytest.fixture
async def place(broker: str, store: str) -> AsyncIterator[Place]:
    writers: list[Writer] = []

    async with opened("here", broker or "tcp://127.0.0.1:0", SECRET) as (node, here):
        url = broker or f"tcp://127.0.0.1:0?seed={node._address}"

        async def start() -> Writer:
            writers.append(await Writer.start(url, store))
            return writers[-1]

        async with opened("there", url, SECRET) as (_, there):
            yield Place(here, there, start)
            for writer in writers:
                await writer.kill()


async def test_what_a_killed_writer_gave_is_there_and_counts_once(place: Place, store: str) -> None:
    """All that it acknowledged, if it comes back with its store; all that anybody has heard of it, if it does not.

    What it gave in its second life is added to that, before it has heard anything; and what was removed while it was
    away stays removed, though its store has it.
    """
    writer = await place.start()
    writer.tell(1)
    await writer.adds(30)
    await until(lambda: len(place.there.value.numbers) > 10)
    await writer.kill()
    heard = {*place.here.value.numbers, *place.there.value.numbers}
    removed = min(place.there.value.numbers)
    await place.there.update(lambda tally: tally.numbers.remove(removed))

    again = await place.start()
    again.tell(LATER)
    await again.adds(10)
    again.tell("rest")
    await place.here.update(lambda tally: add(tally, -1))

    given = (writer.added if store else heard) | again.added | {-1}
    numbers, total = await agreed(place, again, given - {removed})
    assert removed not in numbers
    assert total == len(numbers) + 1


async def agreed(place: Place, writer: Writer, least: set[int]) -> tuple[set[int], int]:
    """Return what all three know, when it is the same, and no less than it must be."""
    async with asyncio.timeout(PATIENCE):
        while True:
            said = await writer.shows()
            known = [(set(tally.value.numbers), int(tally.value.total)) for tally in (place.here, place.there)]
            if known == [(set(said.numbers), said.total)] * 2 and least <= known[0][0]:
                return known[0]
            await asyncio.sleep(0.05)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.01)
