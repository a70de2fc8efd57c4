"""How soon an actor comes back whose log is long and has a snapshot near its end, beside the bare driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

from benchmarks import saved
from benchmarks.recovery import recover
from benchmarks.report import Cell, Table
from benchmarks.rounds import in_turns
from benchmarks.run import Run
from benchmarks.stored import events_of, store_all

_NAME = "long"
_TAILS = (100, 0)

_NOTE = """Milliseconds of one ask in a new system, medians, warm file cache.
raw: sqlite3 and msgspec on the row of the snapshot and those of the events after it, without checksum.
The log was written in {:.0f} seconds, and the file has {:,.0f} MiB."""


async def tables(run: Run) -> AsyncIterator[Table]:
    events = run.pick(10_000_000, 20_000)
    path = run.file("long-log")
    store = f"sqlite:///{path}"
    try:
        started = perf_counter()
        await store_all(store, events_of([_NAME], events), at_once=10_000)
        note = _NOTE.format(perf_counter() - started, path.stat().st_size / (1 << 20))
        rows = [await _row(run, path, events, tail) for tail in _TAILS]
    finally:
        path.unlink(missing_ok=True)
    columns = ("events after the snapshot", "perdure ms", "best", "raw ms", "/ raw")
    yield Table(f"Recovery of one actor with {events:,} events and a snapshot", columns, rows, note)


async def _row(run: Run, path: Path, events: int, tail: int) -> tuple[Cell, ...]:
    store = f"sqlite:///{path}"
    await store_all(store, saved.snapshots_of([_NAME], events - tail))

    async def own(seconds: float) -> float:
        return 1 / await recover(store, [_NAME], events)

    async def raw(seconds: float) -> float:
        return 1 / saved.fetch(path, [_NAME], events)

    rates = await in_turns({"own": own, "raw": raw}, run.pick(21, 5), 0)
    rate, bare = rates["own"], rates["raw"].median
    return tail, 1000 / rate.median, 1000 / rate.best, 1000 / bare, bare / rate.median
