"""The statements that write many rows at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from perdure_sqlite import _sql as sql
from perdure_sqlite._schema import connect, create_collection
from perdure_sqlite._settings import Settings

MANY = 2_000


def rows(keys: Iterable[int], value: bytes) -> sql.Rows:
    """Return the rows of one log that have the same value under these keys."""
    return [item for key in keys for item in (1, key, value)]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection to a file with a collection that has one log, of which SQLite knows the size."""
    connection = connect(Settings(path=tmp_path / "store.db"))
    create_collection(connection, "events")
    for statement, parameters in sql.insert("events", rows(range(1, MANY + 1), b"old")):
        connection.execute(statement, parameters)
    connection.execute("ANALYZE")
    yield connection
    connection.close()


@pytest.mark.parametrize("count", [1, 3, sql.MOST_VALUES // sql.WIDTH])
def test_what_is_replaced_is_looked_up_by_its_key(connection: sqlite3.Connection, count: int) -> None:
    """However many values a collection holds, only the keys of those that are replaced are searched."""
    [(statement, parameters)] = sql.replace("events", rows(range(1, count + 1), b"new"))

    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]

    assert any("SEARCH c USING" in step and "(prefix=? AND key=?)" in step for step in steps)
    assert not any(step.startswith("SCAN c ") for step in steps)


def test_any_number_of_values_is_replaced_where_they_are(connection: sqlite3.Connection) -> None:
    """Values of more rows than one statement takes change, their positions do not, and what is absent stays absent."""
    places = connection.execute("SELECT position, prefix, key FROM collection_events").fetchall()

    for statement, parameters in sql.replace("events", rows(range(0, 2 * MANY, 2), b"new")):
        connection.execute(statement, parameters)

    assert connection.execute("SELECT position, prefix, key FROM collection_events").fetchall() == places
    values = dict(connection.execute("SELECT key, value FROM collection_events"))
    assert values == {key: b"old" if key % 2 else b"new" for key in range(1, MANY + 1)}
