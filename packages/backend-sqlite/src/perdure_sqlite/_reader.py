"""The queries, each answered in one row.

SQLite lets go of the interpreter lock once for each row that it yields. Beside a busy loop a page of a thousand rows
would have to win the lock a thousand times, so each page is gathered within SQLite into one row: the keys and the
lengths as JSON, the values as one blob.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate, pairwise, repeat
from typing import Any

import msgspec

from perdure.abc import Entry, FeedPage, FeedRecord, Page
from perdure.errors import StoreError
from perdure_sqlite._errors import translated

_LOG = """
collection_{name} WHERE prefix = (SELECT id FROM prefixes WHERE collection = '{name}' AND prefix = :prefix)
AND key BETWEEN :start AND :last"""
_SIZES = f"SELECT key, length(value) AS size FROM {_LOG} ORDER BY key {{order}} LIMIT :limit"
_PAGE = f"""
SELECT json_group_array(key), json_group_array(size), CAST(group_concat(value, '') AS BLOB),
    (SELECT count(*) FROM (SELECT 1 FROM {_LOG} LIMIT :limit + 1))
FROM (
    SELECT key, length(value) AS size, value FROM {_LOG} ORDER BY key {{order}} LIMIT CASE
    WHEN (SELECT total(size) FROM ({_SIZES})) <= :max_bytes THEN :limit
    ELSE (
        SELECT max(1, count(*)) FROM (
            SELECT sum(size) OVER (ORDER BY key {{order}} ROWS UNBOUNDED PRECEDING) AS total FROM ({_SIZES})
        ) WHERE total <= :max_bytes
    ) END
)"""

_LAST = """
SELECT coalesce(max(key), 0) FROM collection_{name}
WHERE prefix = (SELECT id FROM prefixes WHERE collection = '{name}' AND prefix = ?)"""

_PREFIXES = """
SELECT json_group_array(prefix) FROM (
    SELECT p.prefix FROM prefixes AS p
    WHERE p.collection = '{name}' AND p.prefix > ? AND EXISTS (SELECT 1 FROM collection_{name} WHERE prefix = p.id)
    ORDER BY p.prefix LIMIT ?
)"""

_RECORDS = (
    "FROM (SELECT position, prefix, key, value FROM collection_{name} WHERE position > ? ORDER BY position LIMIT ?)"
)
_RECORD_SIZES = "SELECT json_group_array(length(value)) " + _RECORDS
_GATHER_RECORDS = """
SELECT json_group_array(json_array(c.position, p.prefix, c.key, c.size)), CAST(group_concat(c.value, '') AS BLOB)
FROM (SELECT position, prefix, key, length(value) AS size, value FROM collection_{name}
      WHERE position > ? ORDER BY position LIMIT ?) AS c CROSS JOIN prefixes AS p ON p.id = c.prefix"""

_IN_CATALOG = "SELECT 1 FROM catalog WHERE kind = ? AND name = ?"

_FEED_BYTES = 4 * 1024 * 1024


class Reader:
    """Reads from one connection, in one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._tables: set[tuple[str, str]] = set()  # those that were seen in the catalog

    def page(self, name: str, prefix: str, start: int, stop: int, limit: int, max_bytes: int, reverse: bool) -> Page:
        if start >= stop:
            return Page([], False)
        query = _page_query(name, "DESC" if reverse else "ASC")
        bounds = {"prefix": prefix, "start": start, "last": stop - 1, "limit": limit, "max_bytes": max_bytes}
        row = self._row("collection", name, query, bounds)
        if row is None:
            return Page([], False)
        keys, sizes, blob, present = row
        entries = _entries(keys, sizes, blob)
        return Page(entries, present > len(entries))

    def last(self, name: str, prefix: str) -> int:
        row = self._row("collection", name, _LAST.format(name=name), (prefix,))
        return row[0] if row is not None else 0

    def read_state(self, name: str, prefix: str) -> tuple[int, bytes | None]:
        row = self._row(
            "state", name, f"SELECT version, CAST(value AS BLOB) FROM state_{name} WHERE prefix = ?", (prefix,)
        )
        return (row[0], row[1]) if row is not None else (0, None)

    def prefixes(self, name: str, after: str, limit: int) -> list[str]:
        row = self._row("collection", name, _PREFIXES.format(name=name), (after, limit))
        return msgspec.json.decode(row[0], type=list[str]) if row is not None else []

    def feed(self, name: str, after: int, limit: int) -> FeedPage:
        row = self._row("collection", name, _RECORD_SIZES.format(name=name), (after, limit))
        if row is None or row[0] == "[]":
            return FeedPage([], str(after))
        count = _fitting(msgspec.json.decode(row[0]), _FEED_BYTES)
        row = self._row("collection", name, _GATHER_RECORDS.format(name=name), (after, count))
        if row is None or row[0] == "[]":
            return FeedPage([], str(after))
        places = msgspec.json.decode(row[0])
        values = _cut(row[1], [size for _, _, _, size in places])
        records = [FeedRecord(prefix, key, value) for (_, prefix, key, _), value in zip(places, values, strict=True)]
        return FeedPage(records, str(places[-1][0]))

    def close(self) -> None:
        self._connection.close()

    def _row(self, kind: str, name: str, query: str, parameters: tuple[Any, ...] | dict[str, Any]) -> Any:
        """Return the first row, or None where there is none or the table was never made."""
        try:
            if (kind, name) not in self._tables:
                if self._connection.execute(_IN_CATALOG, (kind, name)).fetchone() is None:
                    return None
                self._tables.add((kind, name))
            return self._connection.execute(query, parameters).fetchone()
        except sqlite3.Error as error:
            raise translated(f"read {name}", error) from error


def _fitting(sizes: Iterable[int], max_bytes: int) -> int:
    """Return how many values fit into so many bytes; the first always does."""
    return max(1, sum(total <= max_bytes for total in accumulate(sizes)))


@lru_cache(256)
def _page_query(name: str, order: str) -> str:
    return _PAGE.format(name=name, order=order)


def _entries(keys: str, sizes: str, blob: bytes | None) -> list[Entry]:
    pairs = zip(msgspec.json.decode(keys), _cut(blob, msgspec.json.decode(sizes)), strict=True)
    return list(map(tuple.__new__, repeat(Entry), pairs))  # Entry(key, value), without a Python call for each


def _cut(blob: bytes | None, sizes: list[int]) -> list[bytes]:
    """Return the values that were joined, by their sizes."""
    joined = blob or b""
    ends = list(accumulate(sizes, initial=0))
    if ends[-1] != len(joined):
        raise StoreError("read", f"values of {ends[-1]} bytes came back as {len(joined)}: the file is damaged")
    return [joined[start:end] for start, end in pairwise(ends)]
