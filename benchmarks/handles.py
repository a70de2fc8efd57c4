"""File descriptors, sockets and threads, which must not grow with the number of actors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import psutil

from benchmarks.apart import apart
from benchmarks.asked import Asked
from benchmarks.report import Table
from benchmarks.run import Run
from perdure import ActorSystem

_LATE = 4  # files that a store opens when it is first read, or has some data, which the few may not have come to

_NOTE = """Of a process of its own; each live actor has stored an event. sockets: file descriptors of the network."""


class Held(NamedTuple):
    """What a process has open beside so many live actors."""

    system: str
    live: int
    files: int
    sockets: int
    threads: int

    @classmethod
    def now(cls, system: str, live: int) -> Held:
        process = psutil.Process()
        return cls(system, live, process.num_fds(), len(process.net_connections("inet")), process.num_threads())


async def tables(run: Run) -> AsyncIterator[Table]:
    yield table(run, "Handles", run.url("handles"))


def table(run: Run, title: str, store: str) -> Table:
    """Measure on a new store."""
    before, few, many, closed = apart(measure, store, (100, run.pick(10_000, 1_000)))
    check(few, many)
    columns = ("system", "live actors", "file descriptors", "sockets", "threads")
    return Table(title, columns, [before, few, many, closed], _NOTE)


def check(few: Held, many: Held) -> None:
    """Raise `RuntimeError` when something grows with the number of actors."""
    if many.files > few.files + _LATE or many.sockets > few.sockets or many.threads > few.threads:
        raise RuntimeError(f"file descriptors, sockets or threads grow with the number of actors: {few}, {many}")


async def measure(store: str, numbers: tuple[int, int]) -> list[Held]:
    """Return what is open before there is a system, beside so many live actors, and when it is closed."""
    held = [Held.now("before", 0)]
    async with ActorSystem(store=store) as system:
        for actors in numbers:
            await Asked.among(system, actors)
            held.append(Held.now("open", system.live))
    return [*held, Held.now("closed", system.live)]
