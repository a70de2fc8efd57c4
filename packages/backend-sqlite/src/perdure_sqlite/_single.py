"""Writes applied one by one, in the transaction under way: the unusual kinds, and the usual ones among them."""

from __future__ import annotations

import sqlite3

from perdure.abc import (
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    Expectation,
    LastKey,
    Purge,
    PurgeState,
    Put,
    PutState,
    Replace,
    Write,
    check_key,
    check_prefix,
)
from perdure_sqlite._heads import Heads


def unmet(expectation: Expectation, heads: Heads) -> Conflict | None:
    """Return the conflict of an expectation with what is known to be in the store."""
    if isinstance(expectation, LastKey):
        actual = heads.logs[expectation.collection].lasts[expectation.prefix]
        expected = expectation.key
    else:
        actual = heads.versions[expectation.state][expectation.prefix]
        expected = expectation.version
    return None if actual == expected else Conflict(expectation, actual)


def apply_write(connection: sqlite3.Connection, write: Write, heads: Heads) -> None:
    """Apply one write, and forget what was known of its place."""
    match write:
        case Put(collection, prefix, key, value):
            statement = f"INSERT OR REPLACE INTO collection_{collection} (prefix, key, value) VALUES (?, ?, ?)"
            connection.execute(statement, (_prefix_id(connection, collection, prefix), check_key(key), value))
        case Replace(collection, prefix, key, value):
            statement = f"UPDATE collection_{collection} SET value = ? WHERE prefix = {_ID} AND key = ?"
            connection.execute(statement, (value, collection, prefix, check_key(key)))
        case Delete(collection, prefix, key):
            _remove(connection, collection, prefix, key, key + 1)
        case DeleteRange(collection, prefix, start, stop):
            _remove(connection, collection, prefix, start, stop)
        case Purge(collection, prefix):
            connection.execute(f"DELETE FROM collection_{collection} WHERE prefix = {_ID}", (collection, prefix))
            connection.execute("DELETE FROM prefixes WHERE collection = ? AND prefix = ?", (collection, prefix))
        case PutState(state, prefix, value):
            statement = f"""
                INSERT INTO state_{state} VALUES (?, 1, ?)
                ON CONFLICT (prefix) DO UPDATE SET version = version + 1, value = excluded.value"""
            connection.execute(statement, (check_prefix(prefix), value))
        case DeleteState(state, prefix):
            statement = (
                f"UPDATE state_{state} SET version = version + 1, value = NULL WHERE prefix = ? AND value NOT NULL"
            )
            connection.execute(statement, (prefix,))
        case PurgeState(state, prefix):
            connection.execute(f"DELETE FROM state_{state} WHERE prefix = ?", (prefix,))
    heads.forget(write)


_ID = "(SELECT id FROM prefixes WHERE collection = ? AND prefix = ?)"


def _prefix_id(connection: sqlite3.Connection, collection: str, prefix: str) -> int:
    names = (collection, check_prefix(prefix))
    connection.execute("INSERT OR IGNORE INTO prefixes (collection, prefix) VALUES (?, ?)", names)
    [number] = connection.execute(f"SELECT {_ID}", names).fetchone()
    return int(number)


def _remove(connection: sqlite3.Connection, collection: str, prefix: str, start: int, stop: int) -> None:
    # A key of SQLite has 63 bits, and `stop` may be one more.
    statement = f"DELETE FROM collection_{collection} WHERE prefix = {_ID} AND key BETWEEN ? AND ?"
    connection.execute(statement, (collection, prefix, start, stop - 1))
