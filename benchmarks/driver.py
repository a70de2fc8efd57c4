"""The bare `sqlite3` driver, writing rows like perdure's into a table like perdure's."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from time import perf_counter

from benchmarks.account import event_record
from perdure_sqlite._settings import Settings

_TABLE = """
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, prefix INTEGER NOT NULL, key INTEGER NOT NULL, value BLOB NOT NULL
)"""
_INSERT = "INSERT INTO events (prefix, key, value) VALUES (?, ?, ?)"


class Driver:
    """One connection, set up as perdure's, that appends to some logs in turn, `batch` rows a transaction."""

    def __init__(self, path: Path, logs: int, batch: int) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        for pragma in Settings(path=path).pragmas():
            self._connection.execute(pragma)
        assert self._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        self._connection.execute(_TABLE)
        self._connection.execute("CREATE UNIQUE INDEX events_by_key ON events (prefix, key)")
        self._logs = logs
        self._batch = batch
        self._written = 0
        self._record = event_record(1)
        self.latencies: list[float] = []

    async def __call__(self, seconds: float) -> float:
        """Commit for so long; return the rows a second. The loop stands still meanwhile."""
        self.latencies.clear()
        started = now = perf_counter()
        while now < started + seconds:
            self.commit()
            self.latencies.append(perf_counter() - now)
            now = perf_counter()
        return len(self.latencies) * self._batch / (now - started)

    def commit(self) -> None:
        """Commit one batch."""
        numbers = range(self._written, self._written + self._batch)
        rows = [(number % self._logs, number // self._logs, self._record) for number in numbers]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_INSERT, rows)
        self._connection.execute("COMMIT")
        self._written += self._batch

    def close(self) -> None:
        self._connection.close()
