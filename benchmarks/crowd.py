"""Many actors that come back at once: how fast, in how much memory, how late others are, beside live actors."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from itertools import chain
from statistics import median
from time import perf_counter
from typing import NamedTuple

from benchmarks import saved
from benchmarks.account import Account, Balance
from benchmarks.apart import apart
from benchmarks.meanwhile import timers
from benchmarks.report import Cell, Table
from benchmarks.rounds import percentile
from benchmarks.run import Run
from benchmarks.stored import events_of, store_all
from perdure import ActorSystem

_EVENTS = 20
_SAVED = 10
_MIB = 1 << 20

_NOTE = """Asks a second, medians. coming back: nobody is live before. live: the same asks again. raw: sqlite3 and
msgspec on the same rows, one actor after the other, without checksum. late: by how many ms timers of 1 ms are late.
MiB: what Python's objects take at the most, in another process, above what they take when all are live and idle."""


class Wave(NamedTuple):
    """Asks of all actors at once: how many a second, and the seconds by which timers were late meanwhile."""

    rate: float
    late: Sequence[float]


async def tables(run: Run) -> AsyncIterator[Table]:
    names = [f"one-{number}" for number in range(run.pick(10_000, 500))]
    path = run.file("crowd")
    store = f"sqlite:///{path}"
    await store_all(store, chain(events_of(names, _EVENTS), saved.snapshots_of(names, _SAVED)))
    rounds = [
        (*await _waves(store, names), len(names) / saved.fetch(path, names, _EVENTS)) for _ in range(run.pick(5, 1))
    ]
    back, live, raw = zip(*rounds, strict=True)
    peaks = apart(peak, store, names)
    rates = median(wave.rate for wave in live), median(raw)
    rows = [_row(*row, *rates) for row in zip(("coming back", "live"), (back, live), peaks, strict=True)]
    columns = ("actors", "asks a second", "best", "raw", "/ raw", "/ live", "MiB", "late p50", "p99", "worst")
    yield Table(f"{len(names):,} actors with {_EVENTS} events and a snapshot, asked at once", columns, rows, _NOTE)


def _row(what: str, waves: Sequence[Wave], mib: float, live: float, raw: float) -> tuple[Cell, ...]:
    rates, late = [wave.rate for wave in waves], list(chain.from_iterable(wave.late for wave in waves))
    rate = median(rates)
    times = (percentile(late, 50), percentile(late, 99), max(late))
    return what, rate, max(rates), raw, rate / raw, rate / live, mib, *(time * 1000 for time in times)


async def _waves(store: str, names: Sequence[str]) -> tuple[Wave, Wave]:
    """Ask all twice in a new system."""
    async with _system(store) as system:
        await system.ref(Account, "warm-up").ask(Balance())
        return await _wave(system, names), await _wave(system, names)


async def _wave(system: ActorSystem, names: Sequence[str]) -> Wave:
    gc.collect()
    async with timers() as late:
        started = perf_counter()
        await _ask(system, names)
        rate = len(names) / (perf_counter() - started)
    return Wave(rate, late)


async def peak(store: str, names: Sequence[str]) -> tuple[float, float]:
    """Return the MiB that Python's objects take at the most while all come back, and while all are asked again."""
    async with _system(store) as system:
        await system.ref(Account, "warm-up").ask(Balance())
        tracemalloc.start()
        peaks = [await _peak(system, names) for _ in range(2)]
        gc.collect()
        idle, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    back, live = ((most - idle) / _MIB for most in peaks)
    return back, live


async def _peak(system: ActorSystem, names: Sequence[str]) -> int:
    gc.collect()
    tracemalloc.reset_peak()
    await _ask(system, names)
    return tracemalloc.get_traced_memory()[1]


async def _ask(system: ActorSystem, names: Sequence[str]) -> None:
    balances = await asyncio.gather(*(system.ref(Account, name).ask(Balance()) for name in names))
    assert set(balances) == {_EVENTS}


def _system(store: str) -> ActorSystem:
    return ActorSystem(store=store, ask_timeout=300, passivate_after=3600)
