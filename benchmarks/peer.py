"""PyPI's `eventsourcing` on its own SQLite recorder: one save of one event of an aggregate at a time."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from time import perf_counter
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.sqlite import SQLiteApplicationRecorder


class Wallet(Aggregate):
    """The account again."""

    @event("Opened")
    def __init__(self) -> None:
        self.balance = 0

    @event("Deposited")
    def deposit(self, amount: int) -> None:
        self.balance += amount


class Eventsourcing:
    """Aggregates kept in memory and saved in turn, which is its fastest way: it never reads."""

    def __init__(self, path: Path, aggregates: int) -> None:
        env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
        self._application: Application[UUID] = Application(env)
        wallets = [Wallet() for _ in range(aggregates)]
        self._sync_fully()
        self._application.save(*wallets)
        self._wallets = cycle(wallets)

    async def __call__(self, seconds: float) -> float:
        """Save for so long; return the events a second. The loop stands still meanwhile."""
        count = 0
        started = now = perf_counter()
        while now < started + seconds:
            wallet = next(self._wallets)
            wallet.deposit(1)
            self._application.save(wallet)
            count += 1
            now = perf_counter()
        self._check_durable()
        return count / (now - started)

    def close(self) -> None:
        self._application.close()

    def _sync_fully(self) -> None:
        """Set what perdure sets, though it is SQLite's default; the pool keeps the connection for all later saves."""
        self._pragma("synchronous = FULL")
        self._check_durable()

    def _check_durable(self) -> None:
        found = (self._pragma("synchronous"), self._pragma("journal_mode"))
        if found != (2, "wal"):
            raise RuntimeError(f"eventsourcing writes with synchronous, journal_mode = {found}: no fair comparison")

    def _pragma(self, pragma: str) -> object:
        recorder = self._application.recorder
        assert isinstance(recorder, SQLiteApplicationRecorder)
        with recorder.datastore.get_connection(commit=True) as connection:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA {pragma}")
            row = cursor.fetchone()
            return None if row is None else row[0]
