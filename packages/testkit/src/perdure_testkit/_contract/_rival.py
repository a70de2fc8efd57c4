"""Another process on the same store: this module is both a program for it and the handle that the tests have of it.

The program opens the store, says `ready`, waits for a line, and then says in lines what it was told by the store.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

from perdure import open_backend
from perdure.abc import Backend, LastKey, Put, PutState, Replace, StateVersion, WriteGroup

PATIENCE = 60.0
"""Seconds after which a process that says nothing is taken for dead."""


class Rival:
    """A running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, program: str, url: str, durability: str, *arguments: object) -> Rival:
        """Start a process that runs this file and wait until it has opened the store."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", program, url, durability, *map(str, arguments)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        rival = cls(process)
        try:
            assert await rival.line() == "ready", "another process cannot open the store"
        except BaseException:
            await rival.bury()
            raise
        return rival

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")

    async def line(self) -> str:
        """Return the next whole line that it says, or nothing when it has ended."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = (await self._process.stdout.readline()).decode()
        return line[:-1] if line.endswith("\n") else ""

    async def lines(self) -> AsyncIterator[str]:
        """Yield what it says until it has ended."""
        while line := await self.line():
            yield line

    async def end(self) -> None:
        """Wait until it has ended by itself, without an error."""
        assert await self._process.wait() == 0, "the other process failed: see what it wrote to stderr"

    def kill(self) -> None:
        """End it as `kill -9` does, if it has not ended."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def bury(self) -> None:
        """End it, and release what there is of it."""
        self.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        await self._process.stdout.read()
        await self._process.wait()


def say(*words: object) -> None:
    print(*words, flush=True)


async def heard() -> None:
    """Wait to be let begin."""
    await asyncio.to_thread(sys.stdin.readline)


async def race(backend: Backend, prefix: str, until: str, name: str) -> None:
    """Append to a log, in a race with others, until it has so many entries."""
    say("ready")
    await heard()
    while (after := await backend.last("events", prefix)) < int(until):
        put, head = Put("events", prefix, after + 1, name.encode()), LastKey("events", prefix, after)
        [conflict] = await backend.commit([WriteGroup((put,), (head,))])
        say("won", after + 1) if conflict is None else say("lost", after, conflict.actual)


async def count(backend: Backend, prefix: str, times: str) -> None:
    """Raise a state's version by one so many times, in a race with others."""
    say("ready")
    await heard()
    won = 0
    while won < int(times):
        version, _ = await backend.read_state("states", prefix)
        group = WriteGroup((PutState("states", prefix, b""),), (StateVersion("states", prefix, version),))
        [conflict] = await backend.commit([group])
        if conflict is None:
            won += 1
            say("won", version + 1)


async def fill(backend: Backend, prefix: str, until: str) -> None:
    """Append to a log that nobody else writes to, and say each key when it is there."""
    say("ready")
    await heard()
    for after in range(int(until)):
        put, head = Put("events", prefix, after + 1, b""), LastKey("events", prefix, after)
        assert await backend.commit([WriteGroup((put,), (head,))]) == [None]
        say("wrote", after + 1)


async def replace(backend: Backend, prefix: str, until: str) -> None:
    """Replace each entry of a log, from its first key to its last."""
    say("ready")
    await heard()
    for key in range(1, int(until) + 1):
        assert await backend.commit([WriteGroup((Replace("events", prefix, key, b"new"),))]) == [None]
        say("replaced", key)


async def own(backend: Backend, prefix: str) -> None:
    """Own a log by an epoch; when let go on, write on as if nothing had happened, by head and then by epoch."""
    first = Put("events", prefix, 1, b"owner")
    await backend.commit([WriteGroup((first, PutState("epochs", prefix, b"")), (LastKey("events", prefix, 0),))])
    say("ready")
    await heard()
    second, epoch = Put("events", prefix, 2, b"stale"), StateVersion("epochs", prefix, 1)
    far = Put("events", prefix, 1_000_000, b"stale")
    outcomes = await backend.commit(
        [WriteGroup((second,), (LastKey("events", prefix, 1),)), WriteGroup((far,), (epoch,))]
    )
    say(*("applied" if conflict is None else conflict.actual for conflict in outcomes))


async def write(backend: Backend, writers: str) -> None:
    """Write for ever: each writer groups of an event, a snapshot and a state, which say their number."""
    say("ready")

    async def write(prefix: str) -> None:
        after = await backend.last("events", prefix)
        while True:
            value = b"%d " % (after + 1) * 40
            writes = (
                Put("events", prefix, after + 1, value),
                Put("snapshots", prefix, after + 1, value),
                PutState("states", prefix, value),
            )
            assert await backend.commit([WriteGroup(writes, (LastKey("events", prefix, after),))]) == [None]
            after += 1
            say(prefix, after)

    await asyncio.gather(*(write(f"{number}") for number in range(int(writers))))


PARTS = {"race": race, "count": count, "fill": fill, "replace": replace, "own": own, "write": write}


async def main(url: str, durability: str, part: str, *arguments: str) -> None:
    backend = await open_backend(url, durability="relaxed" if durability == "relaxed" else "full")
    try:
        await PARTS[part](backend, *arguments)  # type: ignore[operator]
    finally:
        await backend.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
