"""The read model: what was posted to whom, and how far each transfer is, in tables made for asking.

It follows the events of all actors, and writes what it makes of one, and how far it has come, in one transaction: so
each event counts once, whatever is killed when. Delete the file, and it is made again from the events.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from examples.payments.accounts import Posted
from examples.payments.transfers import Ordered, Reached

from perdure.query import FeedEvent

T = TypeVar("T")

_BATCH = 500
"""Events that are entered at a time when there are many."""

_SCHEMA = """
    PRAGMA journal_mode = wal;
    PRAGMA synchronous = normal;  -- what a power loss takes is made again from the events
    CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), after TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS entries (
        number INTEGER PRIMARY KEY, account TEXT NOT NULL, transfer TEXT NOT NULL, leg TEXT NOT NULL,
        amount INTEGER NOT NULL, balance INTEGER NOT NULL, at REAL NOT NULL
    );
    CREATE INDEX IF NOT EXISTS entries_of ON entries (account, number);
    CREATE TABLE IF NOT EXISTS transfers (
        id TEXT PRIMARY KEY, source TEXT NOT NULL, target TEXT NOT NULL, amount INTEGER NOT NULL,
        stage TEXT NOT NULL, reason TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS transfers_by_stage ON transfers (stage);
"""


class Statements:
    """The tables in a file. One thread works on them, so the event loop never waits for the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "statements")

    async def __aenter__(self) -> Self:
        self._tables = await self._work(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._work(self._tables.close)
        self._thread.shutdown()

    async def position(self) -> str | None:
        """Return the offset behind which to go on; None is the beginning."""
        rows = await self._ask("SELECT after FROM position")
        return rows[0]["after"] if rows else None

    async def write(self, *events: FeedEvent) -> None:
        """Enter events, all or none."""
        await self._work(lambda: self._enter(events))

    async def catch_up(self, stored: AsyncIterable[FeedEvent]) -> None:
        """Enter all events, many at a time."""
        events = []
        async for event in stored:
            events.append(event)
            if len(events) == _BATCH:
                await self.write(*events)
                events = []
        await self.write(*events)

    async def entries(self, account: str, after: int, limit: int) -> list[dict[str, Any]]:
        """Return what was posted to an account, in that order, behind an entry's number."""
        select = "SELECT * FROM entries WHERE account = ? AND number > ? ORDER BY number LIMIT ?"
        return await self._ask(select, account, after, limit)

    async def unfinished(self) -> list[str]:
        """Return the ids of the transfers that have not ended."""
        rows = await self._ask("SELECT id FROM transfers WHERE stage NOT IN ('completed', 'refused')")
        return [row["id"] for row in rows]

    async def overview(self) -> dict[str, int]:
        """Return how many transfers are at each stage."""
        rows = await self._ask("SELECT stage, count(*) AS number FROM transfers GROUP BY stage")
        return {row["stage"]: row["number"] for row in rows}

    async def _ask(self, select: str, *values: object) -> list[dict[str, Any]]:
        return await self._work(lambda: [dict(row) for row in self._tables.execute(select, values)])

    async def _work(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> sqlite3.Connection:
        tables = sqlite3.connect(self._path)
        tables.row_factory = sqlite3.Row
        tables.executescript(_SCHEMA)
        return tables

    def _enter(self, events: Sequence[FeedEvent]) -> None:
        with self._tables:
            for event in events:
                _enter(self._tables, event)


def _enter(tables: sqlite3.Connection, stored: FeedEvent) -> None:
    key = stored.persistence_id.partition("/")[2]
    match stored.event:
        case Posted(transfer, leg, amount, balance):
            tables.execute(
                "INSERT INTO entries (account, transfer, leg, amount, balance, at) VALUES (?, ?, ?, ?, ?, ?)",
                (key, transfer, leg, amount, balance, stored.timestamp.timestamp()),
            )
        case Ordered(order):
            row = (key, order.source, order.target, order.amount, "ordered", "")
            tables.execute("INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?)", row)
        case Reached(stage, reason):
            tables.execute("UPDATE transfers SET stage = ?, reason = reason || ? WHERE id = ?", (stage, reason, key))
    tables.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (stored.offset,))
