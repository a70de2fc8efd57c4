"""The queries, each answered in one row.

SQLite lets go of the interpreter lock once for each row that it yields. Beside a busy loop a page of a thousand rows
would have to win the lock a thousand times, so each page is gathered within SQLite into one row: the keys and the
lengths as JSON, the values as one blob.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate, pairwise, repeat
from typing import Any

import msgspec

from perdure.abc import Entry, FeedPage, FeedRecord, Page, check_prefix
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

# CROSS JOIN and INDEXED BY keep the order: of the prefixes as they were asked for, and of the keys of each. To sort by
# it SQLite would read all of the logs first.
_LOGS = """
json_each(:asked) AS asked CROSS JOIN prefixes AS p ON p.collection = '{name}' AND p.prefix = asked.value
CROSS JOIN collection_{name} AS c INDEXED BY keys_{name} ON c.prefix = p.id"""
_PLACES = f"""
SELECT json_group_array(place), json_group_array(key), json_group_array(size)
FROM (SELECT asked.key AS place, c.key AS key, length(c.value) AS size FROM {_LOGS} LIMIT :limit)"""
_VALUES = f"SELECT CAST(group_concat(value, '') AS BLOB) FROM (SELECT c.value AS value FROM {_LOGS} LIMIT :limit)"

_LAST = """
SELECT coalesce(max(key), 0) FROM collection_{name}
WHERE prefix = (SELECT id FROM prefixes WHERE collection = '{name}' AND prefix = ?)"""

_VERSIONS = """
SELECT json_group_array(json_array(asked.key, s.version, length(s.value)))
FROM json_each(:asked) AS asked CROSS JOIN state_{name} AS s ON s.prefix = asked.value"""
_STATES = """
SELECT CAST(group_concat(value, '') AS BLOB) FROM (
    SELECT s.value AS value FROM json_each(:asked) AS asked CROSS JOIN state_{name} AS s ON s.prefix = asked.value
    LIMIT :limit
)"""

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
        entries = _entries(msgspec.json.decode(keys), _cut(blob, msgspec.json.decode(sizes)))
        return Page(entries, present > len(entries))

    def pages(self, name: str, prefixes: Sequence[str], limit: int, max_bytes: int) -> list[Page]:
        asked = {"asked": _json(prefixes)}
        with self._moment():
            row = self._row("collection", name, _PLACES.format(name=name), {**asked, "limit": limit + 1})
            places, keys, sizes = map(msgspec.json.decode, row or ("[]", "[]", "[]"))
            count = min(limit, len(places), _fitting(sizes, max_bytes))
            row = self._row("collection", name, _VALUES.format(name=name), {**asked, "limit": count})
        values = _cut(row and row[0], sizes[:count])
        entries = _entries(keys, values)
        if count == len(places):
            return _parted(entries, places, len(prefixes))
        pages = _parted(entries, places[:count], places[count - 1] + 1)
        pages[-1] = Page(pages[-1].entries, places[count] == places[count - 1])
        return pages

    def last(self, name: str, prefix: str) -> int:
        row = self._row("collection", name, _LAST.format(name=name), (prefix,))
        return row[0] if row is not None else 0

    def read_state(self, name: str, prefix: str) -> tuple[int, bytes | None]:
        row = self._row(
            "state", name, f"SELECT version, CAST(value AS BLOB) FROM state_{name} WHERE prefix = ?", (prefix,)
        )
        return (row[0], row[1]) if row is not None else (0, None)

    def read_states(self, name: str, prefixes: Sequence[str], max_bytes: int) -> list[tuple[int, bytes | None]]:
        asked = {"asked": _json(prefixes)}
        states: list[tuple[int, bytes | None]] = [(0, None)] * len(prefixes)
        with self._moment():
            row = self._row("state", name, _VERSIONS.format(name=name), asked)
            found = msgspec.json.decode(row[0]) if row is not None else []
            count = min(len(found), _fitting([size or 0 for _, _, size in found], max_bytes))
            row = self._row("state", name, _STATES.format(name=name), {**asked, "limit": count})
        values = _cut(row and row[0], [size or 0 for _, _, size in found[:count]])
        for (place, version, size), value in zip(found, values, strict=False):
            states[place] = version, None if size is None else value
        return states if count == len(found) else states[: found[count][0]]

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

    @contextmanager
    def _moment(self) -> Iterator[None]:
        """Have queries read one moment of the store."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

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
    return max(1, bisect_right(list(accumulate(sizes)), max_bytes))


@lru_cache(256)
def _page_query(name: str, order: str) -> str:
    return _PAGE.format(name=name, order=order)


def _entries(keys: Iterable[int], values: Iterable[bytes]) -> list[Entry]:
    """Return the entry of each value, under the key in its place."""
    return list(map(tuple.__new__, repeat(Entry), zip(keys, values, strict=False)))  # without a Python call for each


def _parted(entries: list[Entry], places: Iterable[int], count: int) -> list[Page]:
    """Return the pages of so many prefixes, of entries in the order of the places of theirs."""
    sizes = Counter(places)
    ends = accumulate((sizes[place] for place in range(count)), initial=0)
    return [Page(entries[start:end], False) for start, end in pairwise(ends)]


def _json(prefixes: Sequence[str]) -> str:
    """Return prefixes as `json_each` takes them, which ends a text at a NUL. Raises `InvalidIdentifier`."""
    if "\0" in "".join(prefixes):
        list(map(check_prefix, prefixes))
    return msgspec.json.encode(prefixes).decode()


def _cut(blob: bytes | None, sizes: list[int]) -> list[bytes]:
    """Return the values that were joined, by their sizes."""
    joined = blob or b""
    ends = list(accumulate(sizes, initial=0))
    if ends[-1] != len(joined):
        raise StoreError("read", f"values of {ends[-1]} bytes came back as {len(joined)}: the file is damaged")
    return [joined[start:end] for start, end in pairwise(ends)]
