"""Verifying whole stores: how fast, beside reading and decoding the same rows bare, and how flat memory stays."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from benchmarks.account import event_record
from benchmarks.apart import apart, resident
from benchmarks.recovery import HEADER, decode
from benchmarks.report import Table
from benchmarks.rounds import in_turns
from benchmarks.run import Run
from benchmarks.scans import MACHINE
from benchmarks.stored import log_of, store_all
from perdure import Keyring, Sealing, open_backend
from perdure.abc import Put
from perdure.journal import EVENTS
from perdure.security import ORIGIN, Seal, Vault
from perdure.upkeep import verify

_KEY = bytes(range(32))
_MIB = 1 << 20
_MORE_MIB = 16  # which caches may still take in the second half; what grows with a store has more by then

_NAMES = "SELECT id, prefix FROM prefixes WHERE collection = 'events' ORDER BY prefix"
_LOG = "SELECT key, value FROM collection_events WHERE prefix = ? ORDER BY key"

_NOTE = """Events a second, medians, warm file cache. raw: sqlite3's rows, log by log, and msgspec, without checksum;
of sealed ones opened before that, each by its Seal. MiB: the memory (RSS) of a process of its own that opens the store
with machine="nano", whose caches are small, and verifies once; the most that it had within the first half, and within
all. pause: the longest turn of its loop, in milliseconds, beside a task that never waits."""


class Watched(NamedTuple):
    """MiB before, at the most within the first half, and within all; the longest turn of the loop in milliseconds."""

    before: float
    half: float
    all: float
    pause: float


async def tables(run: Run) -> AsyncIterator[Table]:
    total = run.pick(1_000_000, 20_000)
    rows = [await _row(run, total, *case) for case in _cases(run)]
    columns = ("what", "verify", "best", "raw", "/ raw", "MiB before", "half", "all", "pause")
    yield Table(f"Verifying {total:,} events", columns, rows, _NOTE)


def _cases(run: Run) -> list[tuple[str, int]]:
    """Return how the events are sealed, and in how many logs they are."""
    some, many = run.pick(1_000, 20), run.pick(100_000, 2_000)
    return [("plain", 1), ("plain", some), ("plain", many), ("sealed", some), ("chained", some)]


async def _row(run: Run, total: int, how: str, logs: int) -> tuple[str | float, ...]:
    path = run.file(f"verifying-{how}")
    store = f"sqlite:///{path}"
    await _fill(store, how, logs, total // logs)
    memory = apart(watched, store, how, total)
    if memory.all > memory.half + _MORE_MIB:
        raise RuntimeError(f"memory grows with the length of a store that is verified: {memory}")

    async def own(seconds: float) -> float:
        started = perf_counter()
        assert (await verify(store, _sealing(how))).events == total
        return total / (perf_counter() - started)

    async def raw(seconds: float) -> float:
        return total / _read(path, _sealing(how), total)

    rates = await in_turns({"own": own, "raw": raw}, run.pick(3, 1), 0)
    rate, bare = rates["own"], rates["raw"].median
    return f"{how}, {logs:,} x {total // logs:,}", rate.median, rate.best, bare, rate.median / bare, *memory


def _sealing(how: str) -> Sealing | None:
    return None if how == "plain" else Sealing(Keyring({1: _KEY}), chain=how == "chained")


async def _fill(store: str, how: str, logs: int, events: int) -> None:
    sealing = _sealing(how)
    if sealing is not None:
        backend = await open_backend(store)
        await Vault(backend, sealing).open()
        await backend.close()
    await store_all(store, _puts(sealing, logs, events))


def _puts(sealing: Sealing | None, logs: int, events: int) -> Iterator[Put]:
    plain = [event_record(1)] * events
    for log in (log_of(f"{number:07}") for number in range(logs)):
        for number, record in enumerate(plain if sealing is None else _sealed(sealing, log, plain), 1):
            yield Put(EVENTS, log, number, record)


def _sealed(sealing: Sealing, log: str, records: list[bytes]) -> list[bytes]:
    seal = Seal(sealing, EVENTS, log)
    if sealing.chain:
        return seal.seal_chain(0, records, ORIGIN)[0]
    return [seal.seal(number, record) for number, record in enumerate(records, 1)]


def _read(path: Path, sealing: Sealing | None, total: int) -> float:
    """Return the seconds that it takes to read and decode all events."""
    read = 0
    with closing(sqlite3.connect(path)) as connection:
        started = perf_counter()
        for log, name in connection.execute(_NAMES).fetchall():
            rows = connection.execute(_LOG, (log,))
            opened = rows if sealing is None else _opened(Seal(sealing, EVENTS, name), rows)
            for _, record in opened:
                decode(memoryview(record)[HEADER:])
                read += 1
        elapsed = perf_counter() - started
    assert read == total
    return elapsed


def _opened(seal: Seal, rows: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    return ((number, seal.open(number, record)) for number, record in rows)


async def watched(store: str, how: str, total: int) -> Watched:
    """Verify once, and look at the memory of this process meanwhile, and at how long its loop is held."""
    backend = await open_backend(store, machine=MACHINE)
    gc.collect()
    before = resident()
    seen: list[tuple[int, int]] = []
    turns = asyncio.get_running_loop().create_task(_longest_turn())
    await verify(backend, _sealing(how), progress=lambda at: seen.append((at.events, resident())))
    turns.cancel()
    await backend.close()
    half = max(memory for events, memory in seen if events <= total // 2)
    return Watched(before / _MIB, half / _MIB, max(memory for _, memory in seen) / _MIB, await turns * 1000)


async def _longest_turn() -> float:
    """Return, once cancelled, the longest time that a turn of the loop took."""
    longest = 0.0
    now = perf_counter()
    try:
        while True:
            await asyncio.sleep(0)
            before, now = now, perf_counter()
            longest = max(longest, now - before)
    except asyncio.CancelledError:
        return longest
