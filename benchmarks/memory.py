"""What an actor costs in memory while it is idle, and after it was put away."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor

import psutil

from benchmarks.account import Account, Balance, Deposit
from benchmarks.report import Cell, Table
from benchmarks.run import Run
from perdure import ActorSystem

_AT_ONCE = 200
_CAP = 1_000

_NOTE = """Growth of a process of its own (RSS, after gc.collect()) and of the objects that its collector tracks.
passivated: put away by max_live. After events, SQLite's writer remembers the heads of logs, 200,000 at the most."""


async def tables(run: Run) -> AsyncIterator[Table]:
    actors = run.pick(100_000, 2_000)
    rows: list[tuple[Cell, ...]] = []
    for what, cap in (("live", None), ("passivated", _CAP)):
        rows.append((what, "memory, no events", actors, *_apart(actors, "memory://", cap, False)))
        rows.append((what, "SQLite, one event each", actors, *_apart(actors, run.url("memory"), cap, True)))
    yield Table("Memory", ("what", "store", "actors", "bytes each", "objects each"), rows, _NOTE)


def _apart(actors: int, store: str, cap: int | None, events: bool) -> tuple[float, float]:
    """Measure in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, actors, store, cap, events).result()


def measure(actors: int, store: str, cap: int | None, events: bool) -> tuple[float, float]:
    """Return the bytes and the tracked objects by which a process grows for each actor."""
    return asyncio.run(_growth(actors, store, cap, events))


async def _growth(actors: int, store: str, cap: int | None, events: bool) -> tuple[float, float]:
    async with ActorSystem(store=store, max_live=cap, passivate_after=3600) as system:
        warm_up = (cap or _AT_ONCE) + _AT_ONCE
        await _touch(system, range(warm_up), events)
        bytes_before, objects_before = _taken()
        await _touch(system, range(warm_up, warm_up + actors), events)
        bytes_after, objects_after = _taken()
        assert system.live == (cap or warm_up + actors)
    return (bytes_after - bytes_before) / actors, (objects_after - objects_before) / actors


async def _touch(system: ActorSystem, numbers: range, events: bool) -> None:
    """Bring accounts to life, some at once, and let them rest."""
    for first in numbers[::_AT_ONCE]:
        some = range(first, min(first + _AT_ONCE, numbers.stop))
        message = Deposit(1) if events else Balance()
        await asyncio.gather(*(system.ref(Account, f"account-{number}").ask(message) for number in some))


def _taken() -> tuple[int, int]:
    gc.collect()
    return psutil.Process().memory_info().rss, len(gc.get_objects())
