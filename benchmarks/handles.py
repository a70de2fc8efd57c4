"""File descriptors and threads, which must not grow with the number of actors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psutil

from benchmarks.asked import Asked
from benchmarks.report import Table
from benchmarks.run import Run
from perdure import ActorSystem

_LATE = 4  # files that SQLite opens at the first query of a reader, which ten actors may not have needed


async def tables(run: Run) -> AsyncIterator[Table]:
    process = psutil.Process()
    rows = [("before", 0, process.num_fds(), process.num_threads())]
    async with ActorSystem(store=run.url("handles")) as system:
        for actors in (10, run.pick(10_000, 1_000)):
            await Asked.among(system, actors)
            rows.append(("open", system.live, process.num_fds(), process.num_threads()))
    rows.append(("closed", system.live, process.num_fds(), process.num_threads()))
    if rows[2][2] > rows[1][2] + _LATE or rows[2][3] > rows[1][3]:
        raise RuntimeError(f"file descriptors or threads grow with the number of actors: {rows}")
    yield Table("Handles", ("system", "live actors", "file descriptors", "threads"), rows)
