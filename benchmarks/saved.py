"""Accounts with events and a snapshot, and what the bare driver does to read them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter

import msgspec

from benchmarks import recovery
from benchmarks.account import snapshot_record
from benchmarks.stored import log_of
from perdure.abc import Put
from perdure.snapshots import SNAPSHOTS

_PREFIX = "(SELECT id FROM prefixes WHERE collection = '{0}' AND prefix = ?)"
_NEWEST = f"""
SELECT key, value FROM collection_snapshots
WHERE prefix = {_PREFIX.format("snapshots")} ORDER BY key DESC LIMIT 1"""
_TAIL = f"""
SELECT value FROM collection_events
WHERE prefix = {_PREFIX.format("events")} AND key > ? ORDER BY key"""

_decode = msgspec.msgpack.Decoder(tuple[str, int, int, int, dict[str, int]]).decode


def snapshots_of(names: Iterable[str], number: int) -> Iterator[Put]:
    """Yield the snapshot of each account after so many deposits of 1."""
    record = snapshot_record(number, number)
    return (Put(SNAPSHOTS, log_of(name), number, record) for name in names)


def fetch(path: Path, names: Sequence[str], balance: int) -> float:
    """Return the seconds that sqlite3 and msgspec take to read and decode snapshots, and the events after them."""
    with closing(sqlite3.connect(path)) as connection:
        _read(connection, "warm-up")
        started = perf_counter()
        balances = {_read(connection, log_of(name)) for name in names}
        elapsed = perf_counter() - started
    assert balances == {balance}
    return elapsed


def _read(connection: sqlite3.Connection, log: str) -> int:
    """Return the balance, without any checks."""
    number, record = connection.execute(_NEWEST, (log,)).fetchone() or (0, None)
    balance = 0 if record is None else _decode(memoryview(record)[recovery.HEADER :])[3]
    rows = connection.execute(_TAIL, (log, number)).fetchall()
    return balance + sum(recovery.decode(memoryview(event)[recovery.HEADER :])[3].amount for (event,) in rows)
