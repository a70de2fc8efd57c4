"""Several processes on one file."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

import pytest

from perdure import open_backend
from perdure_sqlite import _schema

_WRITER = """
import asyncio, sys
from perdure import open_backend
from perdure.abc import LastKey, Put, WriteGroup


async def main(url, writer, count):
    backend = await open_backend(url)
    print("open", flush=True)
    sys.stdin.readline()
    for number in range(count):
        while True:
            after = await backend.last("events", "shared")
            value = f"{writer}/{number}".encode()
            put = Put("events", "shared", after + 1, value)
            own = Put("events", f"own/{writer}", number + 1, value)
            group = WriteGroup((put, own), (LastKey("events", "shared", after),))
            [conflict] = await backend.commit([group])
            if conflict is None:
                break
            assert conflict.actual > after, conflict
        print(after + 1, value.decode(), flush=True)
    await backend.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def start(url: str, writer: str, count: int) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, url, writer, f"{count}", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


async def acknowledged(process: Process) -> dict[int, bytes]:
    """Let a writer that has opened the file begin, and return what it was told is written."""
    output, errors = await process.communicate(b"\n")
    assert process.returncode == 0, errors.decode()
    lines = [line.split() for line in output.decode().splitlines(keepends=True) if line.endswith("\n")]
    return {int(words[0]): words[1].encode() for words in lines if words[0] != "open"}


async def make(url: str) -> None:
    """Make a file."""
    await (await open_backend(url)).close()


async def test_processes_that_race_never_fork_a_log(tmp_path: Path) -> None:
    """Of processes that append to one log of a new file, all that was acknowledged is there, once, without gaps."""
    url = f"sqlite:///{tmp_path}/store.db?busy_timeout=30"
    writers = [await start(url, f"{number}", 100) for number in range(3)]

    told = await asyncio.gather(*map(acknowledged, writers))

    backend = await open_backend(url)
    log = [entry async for entry in backend.collection("events", "shared").iterate()]
    own = [await backend.last("events", f"own/{number}") for number in range(3)]
    await backend.close()
    assert [entry.key for entry in log] == list(range(1, 301))
    assert set(Counter(entry.value for entry in log).values()) == {1}
    assert {key: value for acknowledgements in told for key, value in acknowledgements.items()} == dict(log)
    assert own == [100, 100, 100]


async def test_many_may_make_a_file_at_once(tmp_path: Path) -> None:
    """A new file that many open at the same moment is made once, and serves them all."""
    url = f"sqlite:///{tmp_path}/store.db"

    backends = await asyncio.gather(*(open_backend(url) for _ in range(8)))

    await asyncio.gather(*(backend.collection("events", f"{n}").put(1, b"") for n, backend in enumerate(backends)))
    assert await backends[0].prefixes("events") == [f"{n}" for n in range(8)]
    for backend in backends:
        await backend.close()


async def test_a_file_that_another_makes_at_this_moment_is_no_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks at a file while another makes it sees it empty or whole."""
    url = f"sqlite:///{tmp_path}/store.db"
    read = _schema._number
    others: list[threading.Thread] = []

    def read_slowly(connection: sqlite3.Connection, query: str) -> int:
        number = read(connection, query)
        if "application_id" in query and not others:
            others.append(threading.Thread(target=lambda: asyncio.run(make(url))))
            others[0].start()
            others[0].join(1)
        return number

    monkeypatch.setattr(_schema, "_number", read_slowly)

    await make(url)

    others[0].join()


async def test_what_a_killed_process_was_told_is_there(tmp_path: Path) -> None:
    """When a writing process is killed, every append that it was told of is in the log, and others go on at once."""
    url = f"sqlite:///{tmp_path}/store.db?busy_timeout=30"
    victim = await start(url, "victim", 100_000)
    assert victim.stdout is not None
    assert victim.stdin is not None
    victim.stdin.write(b"\n")
    lines = [await victim.stdout.readline() for _ in range(200)]

    victim.kill()

    told = dict(line.split() for line in [*lines[1:], *(await acknowledged_lines(victim))])
    survivor = await acknowledged(await start(url, "survivor", 10))
    backend = await open_backend(url)
    log = {entry.key: entry.value async for entry in backend.collection("events", "shared").iterate()}
    await backend.close()
    assert {int(key): value for key, value in told.items()}.items() <= log.items()
    assert survivor.items() <= log.items()
    assert list(log) == list(range(1, len(log) + 1))


async def acknowledged_lines(process: Process) -> list[bytes]:
    """Return the whole lines that are still in the pipe of a process that was killed."""
    output, _ = await process.communicate()
    return [line for line in output.splitlines(keepends=True) if line.endswith(b"\n")]
