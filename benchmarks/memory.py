"""What an actor costs in memory while it is idle, and after it was put away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from benchmarks.account import Account, Balance, Deposit
from benchmarks.apart import apart, taken
from benchmarks.report import Table
from benchmarks.run import Run
from perdure import ActorSystem

Row: TypeAlias = tuple[str, str, int, float, float]

_AT_ONCE = 200
_CAP = 1_000

_NOTE = """Growth of a process of its own (RSS, after gc.collect()) and of the objects that its collector tracks.
passivated: put away by max_live. In all is what the store itself holds in this process:
{}."""


async def tables(run: Run) -> AsyncIterator[Table]:
    rows = [
        *_rows(run, "memory, no events", lambda: "memory://", events=False),
        *_rows(run, "SQLite, one event each", lambda: run.url("memory")),
    ]
    yield _table("Memory", rows, "SQLite's cache, and the heads of up to 200,000 logs")


def table(run: Run, title: str, store: str, url: Callable[[], str], held: str) -> Table:
    """Measure actors of one event each, on new stores that `url` names. `held`: what these have in our memory."""
    return _table(title, _rows(run, f"{store}, one event each", url), held)


def _table(title: str, rows: list[Row], held: str) -> Table:
    return Table(title, ("what", "store", "actors", "bytes each", "objects each"), rows, _NOTE.format(held))


def _rows(run: Run, store: str, url: Callable[[], str], *, events: bool = True) -> list[Row]:
    actors = run.pick(100_000, 2_000)
    caps = {"live": None, "passivated": _CAP}
    return [(what, store, actors, *apart(measure, actors, url(), cap, events)) for what, cap in caps.items()]


async def measure(actors: int, store: str, cap: int | None, events: bool) -> tuple[float, float]:
    """Return the bytes and the tracked objects by which a process grows for each actor."""
    async with ActorSystem(store=store, max_live=cap, passivate_after=3600) as system:
        warm_up = (cap or _AT_ONCE) + _AT_ONCE
        await _touch(system, range(warm_up), events)
        bytes_before, objects_before = taken()
        await _touch(system, range(warm_up, warm_up + actors), events)
        bytes_after, objects_after = taken()
        assert system.live == (cap or warm_up + actors)
    return (bytes_after - bytes_before) / actors, (objects_after - objects_before) / actors


async def _touch(system: ActorSystem, numbers: range, events: bool) -> None:
    """Bring accounts to life, some at once, and let them rest."""
    for first in numbers[::_AT_ONCE]:
        some = range(first, min(first + _AT_ONCE, numbers.stop))
        message = Deposit(1) if events else Balance()
        await asyncio.gather(*(system.ref(Account, f"account-{number}").ask(message) for number in some))
