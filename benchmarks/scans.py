"""Scans of all that there is: how fast, beside the bare driver, and how flat memory stays meanwhile."""

from __future__ import annotations

import gc
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Literal, NamedTuple, TypeAlias

from benchmarks.apart import apart, resident
from benchmarks.report import Table
from benchmarks.rounds import in_turns
from benchmarks.run import Run
from benchmarks.stored import store_all
from perdure import open_backend
from perdure.abc import Backend, MachineProfile, MachineSpec, Put
from perdure_sqlite._settings import Settings

What: TypeAlias = Literal["log", "feed", "prefixes"]

Scan: TypeAlias = Callable[[What, int], Awaitable[float]]
"""Returns the seconds that a bare driver takes to read all of something, of which there is so much."""

BYTES = 120
EACH = 10
LONG = "long"
MANY = "many"
MACHINE = MachineSpec.of(MachineProfile.NANO)

_LOOK = 1_000
_MIB = 1 << 20
_MORE_MIB = 16  # which caches may still take in the second half; what grows with a log has 60 more by then

_SELECT: dict[What, str] = {
    "log": f"""SELECT key, value FROM collection_{LONG}
    WHERE prefix = (SELECT id FROM prefixes WHERE collection = '{LONG}' AND prefix = '{LONG}') ORDER BY key""",
    "feed": f"""SELECT p.prefix, e.key, e.value FROM collection_{MANY} AS e
    CROSS JOIN prefixes AS p ON p.id = e.prefix ORDER BY e.position""",
    "prefixes": f"SELECT prefix FROM prefixes WHERE collection = '{MANY}' ORDER BY prefix",
}

_NOTE = f"""Entries a second, medians, warm file cache; random records of {BYTES} bytes. log: one, by `iterate`. feed:
{EACH} records of each prefix, in turn. MiB: the memory (RSS) of a process of its own that opens the store with
machine="nano", whose caches are small, and scans once; the most that it had within the first half, and within all.
raw: {{}}."""


class Resident(NamedTuple):
    """MiB before a scan, and at the most within its first half and within all of it."""

    before: float
    half: float
    all: float


async def tables(run: Run) -> AsyncIterator[Table]:
    path = run.file("scans")
    yield await table(run, "Scans", f"sqlite:///{path}", partial(_select, path), "sqlite3's rows, one by one")


async def table(run: Run, title: str, store: str, raw: Scan, how: str) -> Table:
    """Fill a new store and scan it."""
    total = entries(run)
    await store_all(store, _puts(total))
    counts: dict[What, int] = {"log": total, "feed": total, "prefixes": total // EACH}
    rows = [(what, count, *await _compare(run, store, raw, what, count)) for what, count in counts.items()]
    columns = ("what", "entries", "perdure", "best", "raw", "/ raw", "MiB before", "half", "all")
    return Table(title, columns, rows, _NOTE.format(how))


def entries(run: Run) -> int:
    """Return how many entries a log has, and how many a feed."""
    return run.pick(1_000_000, 20_000)


def records(entries: int) -> Iterator[bytes]:
    """Yield random records, the same ones each time."""
    chance = random.Random(entries)
    return (chance.randbytes(BYTES) for _ in range(entries))


def _puts(entries: int) -> Iterator[Put]:
    """Yield a log of so many, and as many in turn among many logs."""
    for number, record in enumerate(records(entries)):
        yield Put(LONG, LONG, number + 1, record)
    logs = entries // EACH
    for number, record in enumerate(records(entries)):
        yield Put(MANY, f"log-{number % logs}", number // logs + 1, record)


async def _compare(run: Run, store: str, raw: Scan, what: What, count: int) -> tuple[float, ...]:
    memory = apart(watched, store, what, count)
    check(what, memory)

    async def own(seconds: float) -> float:
        return count / await _scan(store, what, count)

    async def bare(seconds: float) -> float:
        return count / await raw(what, count)

    rates = await in_turns({"own": own, "raw": bare}, run.pick(3, 1), 0)
    rate, other = rates["own"], rates["raw"].median
    return rate.median, rate.best, other, rate.median / other, *memory


def check(what: What, memory: Resident) -> None:
    """Raise `RuntimeError` when memory grows with the length of a scan."""
    if memory.all > memory.half + _MORE_MIB:
        raise RuntimeError(f"memory grows with the length of a scan of the {what}: {memory}")


async def watched(store: str, what: What, count: int) -> Resident:
    """Scan once, and look at the memory of this process after each so many entries."""
    backend = await open_backend(store, machine=MACHINE)
    gc.collect()
    seen = [resident()]
    scanned = 0
    async for _ in _SCANS[what](backend):
        scanned += 1
        if scanned % _LOOK == 0:
            seen.append(resident())
    await backend.close()
    half = count // _LOOK // 2
    return Resident(seen[0] / _MIB, max(seen[: half + 1]) / _MIB, max(seen) / _MIB)


async def _scan(store: str, what: What, count: int) -> float:
    """Return the seconds that it takes to scan."""
    backend = await open_backend(store, machine=MACHINE)
    started = perf_counter()
    scanned = 0
    async for _ in _SCANS[what](backend):
        scanned += 1
    elapsed = perf_counter() - started
    await backend.close()
    assert scanned == count
    return elapsed


async def _log(backend: Backend) -> AsyncIterator[object]:
    async for entry in backend.collection(LONG, LONG).iterate():
        yield entry


async def _feed(backend: Backend) -> AsyncIterator[object]:
    page = await backend.feed(MANY)
    while page.records:
        for record in page.records:
            yield record
        page = await backend.feed(MANY, page.offset)


async def _prefixes(backend: Backend) -> AsyncIterator[object]:
    page = await backend.prefixes(MANY)
    while page:
        for prefix in page:
            yield prefix
        page = await backend.prefixes(MANY, page[-1])


_SCANS: dict[What, Callable[[Backend], AsyncIterator[object]]] = {"log": _log, "feed": _feed, "prefixes": _prefixes}


async def _select(path: Path, what: What, count: int) -> float:
    with closing(sqlite3.connect(path)) as connection:
        for pragma in Settings(path=path, machine=MACHINE).pragmas():
            connection.execute(pragma)
        started = perf_counter()
        assert sum(1 for _ in connection.execute(_SELECT[what])) == count
        return perf_counter() - started
