"""How fast actors come back, beside reading and decoding the same rows with the bare driver."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter

import msgspec

from benchmarks.account import Account, Balance, Deposited, event_record, snapshot_record
from benchmarks.report import Table
from benchmarks.rounds import Rate, in_turns
from benchmarks.run import Run
from perdure import ActorSystem, open_backend
from perdure.abc import Put, WriteGroup

_SELECT = """
SELECT e.value FROM collection_events AS e
WHERE e.prefix = (SELECT id FROM prefixes WHERE collection = 'events' AND prefix = ?) ORDER BY e.key"""
_HEADER = 6  # bytes before a record's MessagePack
_AFTER_SNAPSHOT = 50

_decode = msgspec.msgpack.Decoder(tuple[str, int, int, Deposited, None]).decode

_NOTE = """Events a second, medians, warm file cache.
raw: sqlite3's fetchall and msgspec on the same rows, without checksum and fold."""


async def tables(run: Run) -> AsyncIterator[Table]:
    path = run.file("recovery")
    events = run.pick(100_000, 5_000)
    actors, each = run.pick(10_000, 500), 20
    many = [f"many-{number}" for number in range(actors)]
    await _write(path, ["long", "saved"], events)
    await _write(path, many, each)
    await _save_snapshot(path, "saved", events - _AFTER_SNAPSHOT)
    rows = []
    for keys, count in ((["long"], events), (many, each)):
        own, raw = await _compare(run, path, keys, count)
        title = f"{len(keys):,} x {count:,} events"
        seconds = len(keys) * count / own.median
        rows.append((title, own.median, own.best, raw.median, own.median / raw.median, seconds, len(keys) / seconds))
    columns = ("what", "perdure", "best", "raw", "/ raw", "seconds", "actors a second")
    yield Table("Recovery", columns, rows, _NOTE)
    yield await _from_snapshot(run, path, events)


async def _compare(run: Run, path: Path, keys: Sequence[str], events: int) -> tuple[Rate, Rate]:
    async def own(seconds: float) -> float:
        return len(keys) * events / await _recover(path, keys, events)

    async def raw(seconds: float) -> float:
        return len(keys) * events / _fetch(path, keys, events)

    rates = await in_turns({"own": own, "raw": raw}, run.pick(5, 1), 0)
    return rates["own"], rates["raw"]


async def _from_snapshot(run: Run, path: Path, events: int) -> Table:
    """Compare one recovery from a snapshot and the last 50 events with the recovery of an actor that has no events."""
    recover = {
        f"snapshot and {_AFTER_SNAPSHOT} of {events:,} events": ("saved", events),
        "nothing": ("nobody", 0),
    }
    measures = {name: _once_a_second(path, key, balance) for name, (key, balance) in recover.items()}
    rates = await in_turns(measures, run.pick(11, 3), 0)
    rows = [(name, 1000 / rate.median, 1000 / rate.best) for name, rate in rates.items()]
    return Table("Recovery of one actor", ("from", "median ms", "best ms"), rows)


def _once_a_second(path: Path, key: str, balance: int) -> Callable[[float], Awaitable[float]]:
    async def measure(seconds: float) -> float:
        return 1 / await _recover(path, [key], balance)

    return measure


async def _recover(path: Path, keys: Sequence[str], balance: int) -> float:
    """Return the seconds until all of these actors, asked at once, have answered in a new system."""
    async with ActorSystem(store=f"sqlite:///{path}", ask_timeout=300) as system:
        await system.ref(Account, "warm-up").ask(Balance())
        refs = [system.ref(Account, key) for key in keys]
        started = perf_counter()
        balances = await asyncio.gather(*(ref.ask(Balance()) for ref in refs))
        elapsed = perf_counter() - started
    assert set(balances) == {balance}
    return elapsed


def _fetch(path: Path, keys: Sequence[str], events: int) -> float:
    """Return the seconds to read and decode what these actors would."""
    with closing(sqlite3.connect(path)) as connection:
        started = perf_counter()
        for key in keys:
            rows = connection.execute(_SELECT, (_id(key),)).fetchall()
            decoded = [_decode(memoryview(record)[_HEADER:]) for (record,) in rows]
            assert len(decoded) == events
        return perf_counter() - started


async def _write(path: Path, keys: Sequence[str], events: int) -> None:
    """Give each actor so many events of 1, as it would have stored them."""
    record = event_record(1)
    pages = [range(first, min(first + 500, events + 1)) for first in range(1, events + 1, 500)]
    groups = [
        WriteGroup(tuple(Put("events", _id(key), number, record) for number in page)) for key in keys for page in pages
    ]
    await _commit(path, groups)


async def _save_snapshot(path: Path, key: str, number: int) -> None:
    await _commit(path, [WriteGroup((Put("snapshots", _id(key), number, snapshot_record(number, number)),))])


async def _commit(path: Path, groups: Sequence[WriteGroup]) -> None:
    backend = await open_backend(f"sqlite:///{path}")
    for first in range(0, len(groups), 100):
        assert not any(await backend.commit(groups[first : first + 100]))
    await backend.close()


def _id(key: str) -> str:
    return f"{Account.type_name}/{key}"
