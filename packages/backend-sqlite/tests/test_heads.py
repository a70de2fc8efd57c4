"""What the writer asks of the store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from perdure_sqlite import _heads as heads
from perdure_sqlite._schema import connect, create_collection, create_state
from perdure_sqlite._settings import Settings


@pytest.mark.parametrize("query", [heads._LOGS, heads._VERSIONS])
def test_heads_are_looked_up_one_by_one(tmp_path: Path, query: str) -> None:
    """However many prefixes a file holds, only those that are asked for are searched."""
    connection = connect(Settings(path=tmp_path / "heads.db"))
    create_collection(connection, "events")
    create_state(connection, "events")

    plan = steps(connection, query.format(name="events"))

    assert plan[0].startswith("SCAN asked")
    assert not any(step.startswith("SCAN") for step in plan[1:])
    connection.close()


def steps(connection: sqlite3.Connection, query: str) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", ("[]",))]
