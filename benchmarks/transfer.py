"""Whole stores copied, written to files and read back: how fast, beside a bare scan, and how flat memory stays."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from benchmarks.apart import apart, resident
from benchmarks.report import Cell, Table
from benchmarks.run import Run
from benchmarks.stored import events_of, store_all
from perdure import open_backend
from perdure.abc import Backend, LastKey, MachineProfile, Put, WriteGroup
from perdure.journal._record import decode
from perdure.transfer import copy, export, import_

LOGS = 1_000
AT_ONCE = 1_024
_MIB = 1 << 20
_MORE_MIB = 64  # which the caches of two stores may still take in the second half; the events would be 150 more

_NOTE = """Events a second, one run each in a process of its own: small deposits of 1,000 accounts in turn. scan: the
feed read to its end, each record decoded. batches: the same events written, a group each, 1,024 a commit. copy: into a
new store, and compared. MiB: the most memory (RSS) in the first half of the events, and in all of the work. / bound: of
half the scan's rate, and for what writes a store also of half the batches': 1 and more is what is wanted."""


class Figure(NamedTuple):
    """How long some work took, and the MiB that it had at the most, in the first half of it and in all."""

    seconds: float
    half: float
    all: float


class Watch:
    """Looks at the memory of this process after each page, and at the clock."""

    def __init__(self, total: int) -> None:
        gc.collect()
        self._total = total
        self._half = self._all = resident()
        self._started = perf_counter()

    def at(self, events: int) -> None:
        self._all = max(self._all, resident())
        if events <= self._total // 2:
            self._half = self._all

    def figure(self) -> Figure:
        seconds = perf_counter() - self._started
        self.at(self._total)
        return Figure(seconds, self._half / _MIB, self._all / _MIB)


async def tables(run: Run) -> AsyncIterator[Table]:
    for scheme in run.pick(("sqlite", "rocksdb"), ("sqlite",)):
        yield await table(run, scheme)


async def table(run: Run, scheme: str) -> Table:
    """Fill a store, and move it."""
    total = run.pick(1_000_000, 5_000)
    source, file = run.url("source", scheme), run.folder / "source.jsonl"
    await store_all(source, _puts(total))
    works: dict[str, tuple[Callable[..., Awaitable[Figure]], str]] = {
        "scan": (_scan, ""),
        "batches": (_batches, run.url("batches", scheme)),
        "copy": (_copy, run.url("copy", scheme)),
        "export": (_export, str(file)),
        "import": (_import, run.url("import", scheme)),
    }
    figures: dict[str, Figure] = {}
    for name, (work, other) in works.items():
        figures[name] = apart(work, str(file) if work is _import else source, other, total)  # type: ignore[arg-type]
        check(name, figures[name])
    rates = {name: total / figure.seconds for name, figure in figures.items()}
    rows = [(name, rates[name], _of_bound(name, rates), *figure[1:]) for name, figure in figures.items()]
    title = f"Stores moved: {scheme}, {total:,} events"
    return Table(title, ("what", "events/s", "/ bound", "MiB half", "all"), rows, _NOTE)


def check(what: str, figure: Figure) -> None:
    """Raise `RuntimeError` when memory grows with what is moved."""
    if figure.all > figure.half + _MORE_MIB:
        raise RuntimeError(f"memory grows with the events in {what}: {figure}")


def _of_bound(name: str, rates: dict[str, float]) -> Cell:
    """Return the share of what is to be reached at least."""
    if name in ("scan", "batches"):
        return ""
    bound = rates["scan"] if name == "export" else min(rates["scan"], rates["batches"])
    return rates[name] / (bound / 2)


def _puts(total: int) -> Iterator[Put]:
    return islice(events_of([f"{name}" for name in range(LOGS)], total // LOGS, in_turn=True), total)


async def _scan(source: str, _: str, total: int) -> Figure:
    async with _opened(source) as backend:
        watch, count = Watch(total), 0
        page = await backend.feed("events")
        while page.records:
            for record in page.records:
                decode(record.value)
            count += len(page.records)
            watch.at(count)
            page = await backend.feed("events", page.offset)
        assert count == total
        return watch.figure()


async def _batches(_: str, target: str, total: int) -> Figure:
    puts = _puts(total)
    async with _opened(target) as backend:
        watch, count = Watch(total), 0
        while some := list(islice(puts, AT_ONCE)):
            await _append(backend, some)
            count += len(some)
            watch.at(count)
        return watch.figure()


@asynccontextmanager
async def _opened(store: str) -> AsyncIterator[Backend]:
    """Open a store with small caches, which are not what is measured."""
    backend = await open_backend(store, machine=MachineProfile.NANO)
    try:
        yield backend
    finally:
        await backend.close()


async def _append(backend: Backend, puts: list[Put]) -> None:
    groups = [WriteGroup((put,), (LastKey("events", put.prefix, put.key - 1),)) for put in puts]
    assert not any(await backend.commit(groups))


async def _copy(source: str, target: str, total: int) -> Figure:
    async with _opened(source) as one, _opened(target) as other:
        watch = Watch(total)
        result = await copy(one, other, progress=lambda at: watch.at(at.events))
        assert (result.events, result.compared) == (total, total)
        return watch.figure()


async def _export(source: str, file: str, total: int) -> Figure:
    async with _opened(source) as store:
        watch = Watch(total)
        result = await export(store, Path(file), progress=lambda at: watch.at(at.events))
        assert result.events == total
        return watch.figure()


async def _import(file: str, target: str, total: int) -> Figure:
    async with _opened(target) as store:
        watch = Watch(total)
        result = await import_(Path(file), store, progress=lambda at: watch.at(at.events))
        assert result.events == total
        return watch.figure()
