"""How fast actors come back, beside reading and decoding the same rows with the bare driver."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import msgspec

from benchmarks.account import Account, Balance, Deposited, snapshot_record
from benchmarks.report import Table
from benchmarks.rounds import in_turns
from benchmarks.run import Run
from benchmarks.stored import events_of, log_of, store_all
from perdure import ActorSystem, WarmStates
from perdure.abc import Put

Fetch: TypeAlias = Callable[[Sequence[str], int], Awaitable[float]]
"""Returns the seconds that the bare driver takes to read and decode so many events of each of these accounts."""

HEADER = 6
"""Bytes of a record before its MessagePack."""

_SELECT = """
SELECT e.value FROM collection_events AS e
WHERE e.prefix = (SELECT id FROM prefixes WHERE collection = 'events' AND prefix = ?) ORDER BY e.key"""
_AFTER_SNAPSHOT = 50

decode = msgspec.msgpack.Decoder(tuple[str, int, int, Deposited, None]).decode

_NOTE = """Events a second, medians, warm file cache.
raw: sqlite3's fetchall and msgspec on the same rows, without checksum and fold."""


async def tables(run: Run) -> AsyncIterator[Table]:
    path = run.file("recovery")
    store = f"sqlite:///{path}"
    yield await table(run, "Recovery", store, partial(_fetch, path), _NOTE)
    yield await _from_snapshot(run, store)


async def table(run: Run, title: str, store: str, fetch: Fetch, note: str) -> Table:
    """Fill a new store with one long log and many short ones, and compare with what reads them bare."""
    rows = []
    for names, events in logs(run):
        await store_all(store, events_of(names, events))
        rows.append(await _row(run, store, names, events, fetch))
    return Table(title, ("what", "perdure", "best", "raw", "/ raw", "seconds", "actors a second"), rows, note)


def logs(run: Run) -> list[tuple[list[str], int]]:
    """Return accounts that have as many events each: one long log, and many short ones."""
    many = [f"many-{number}" for number in range(run.pick(10_000, 500))]
    return [(["long"], run.pick(100_000, 5_000)), (many, 20)]


async def _row(run: Run, store: str, names: Sequence[str], events: int, fetch: Fetch) -> tuple[str | float, ...]:
    total = len(names) * events

    async def own(seconds: float) -> float:
        return total / await recover(store, names, events)

    async def raw(seconds: float) -> float:
        return total / await fetch(names, events)

    rates = await in_turns({"own": own, "raw": raw}, run.pick(5, 1), 0)
    rate, bare = rates["own"], rates["raw"].median
    seconds = total / rate.median
    what = f"{len(names):,} x {events:,} events"
    return what, rate.median, rate.best, bare, rate.median / bare, seconds, len(names) / seconds


async def _from_snapshot(run: Run, store: str) -> Table:
    """Compare recoveries of one actor: from a state in memory, from a snapshot, from events alone, and from nothing."""
    events = run.pick(100_000, 5_000)
    saved = events - _AFTER_SNAPSHOT
    await store_all(store, events_of(["saved", "cold"], events))
    await store_all(store, [Put("snapshots", log_of("saved"), saved, snapshot_record(saved, saved))])
    measures = {
        f"a warm state and {_AFTER_SNAPSHOT} of {events:,} events": _once_a_second(
            store, "cold", events, _Warm(saved, saved)
        ),
        f"a snapshot and {_AFTER_SNAPSHOT} of {events:,} events": _once_a_second(store, "saved", events),
        f"all of {events:,} events": _once_a_second(store, "cold", events),
        "nothing": _once_a_second(store, "nobody", 0),
    }
    rates = await in_turns(measures, run.pick(11, 3), 0)
    rows = [(what, 1000 / rate.median, 1000 / rate.best) for what, rate in rates.items()]
    return Table("Recovery of one actor", ("from", "median ms", "best ms"), rows)


class _Warm:
    """Has one account's state in memory."""

    def __init__(self, balance: int, number: int) -> None:
        self._found = balance, number

    def state(self, actor_type: type[Any], persistence_id: str, /) -> tuple[Any, int] | None:
        return self._found if persistence_id == log_of("cold") else None


def _once_a_second(
    store: str, name: str, balance: int, warm: WarmStates | None = None
) -> Callable[[float], Awaitable[float]]:
    async def measure(seconds: float) -> float:
        return 1 / await recover(store, [name], balance, warm)

    return measure


async def recover(store: str, names: Sequence[str], balance: int, warm: WarmStates | None = None) -> float:
    """Return the seconds until all of these actors, asked at once, have answered in a new system."""
    async with ActorSystem(store=store, warm=warm, ask_timeout=300) as system:
        await system.ref(Account, "warm-up").ask(Balance())
        refs = [system.ref(Account, name) for name in names]
        started = perf_counter()
        balances = await asyncio.gather(*(ref.ask(Balance()) for ref in refs))
        elapsed = perf_counter() - started
    assert set(balances) == {balance}
    return elapsed


async def _fetch(path: Path, names: Sequence[str], events: int) -> float:
    with closing(sqlite3.connect(path)) as connection:
        started = perf_counter()
        for name in names:
            rows = connection.execute(_SELECT, (log_of(name),)).fetchall()
            assert len([decode(memoryview(record)[HEADER:]) for (record,) in rows]) == events
        return perf_counter() - started
