"""What a killed process leaves behind. The processes are real, and so is the SIGKILL."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from perdure import open_backend

WRITER = """
import asyncio, sys
from perdure import open_backend
from perdure.abc import LastKey, Put, WriteGroup


async def main(url):
    backend = await open_backend(url)

    async def write(prefix):
        after = await backend.last("events", prefix)
        while True:
            put = Put("events", prefix, after + 1, b"%d" % (after + 1))
            assert await backend.commit([WriteGroup((put,), (LastKey("events", prefix, after),))]) == [None]
            after += 1
            sys.stdout.write(f"{prefix} {after}\\n")
            sys.stdout.flush()

    await asyncio.gather(*map(write, "abcdefgh"))


asyncio.run(main(sys.argv[1]))
"""


def write_until_killed(url: str, lines: int) -> dict[str, int]:
    """Run a process that writes, kill it after so many acknowledgements; return the last one of each log."""
    told: dict[str, int] = {}
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if number == lines:
                process.kill()
            if line.endswith("\n"):
                prefix, last = line.split()
                told[prefix] = int(last)
    return told


async def test_what_a_killed_process_was_told_is_there(server: Any) -> None:
    """Killed again and again, a writer leaves each log whole, at least to what it was told is written."""
    told: dict[str, int] = {}
    for lines in (1, 57, 300):
        told |= write_until_killed(server.url, lines)

        backend = await open_backend(server.url)
        for prefix, last in told.items():
            log = [(entry.key, entry.value) async for entry in backend.collection("events", prefix).iterate()]
            assert log == [(key, b"%d" % key) for key in range(1, len(log) + 1)]
            assert len(log) >= last
        await backend.close()
