"""The statements that write many rows at once.

SQLite lets go of the interpreter lock once for each statement, so a batch is one statement wherever it can be.
Statements come in few sizes, the rest of the rows being NULL and left out, so that the prepared ones are used again.
Names in them were checked by `perdure.abc.check_name`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from perdure.abc import WriteGroup, check_name
from perdure_sqlite._heads import place

Rows: TypeAlias = list[Any]
"""The values of rows of three columns, one after another: a tuple for each row is work for the collector."""

Statement: TypeAlias = tuple[str, Any]

WIDTH = 3

MOST_VALUES = 512 * WIDTH
"""Values in one statement: preparing a longer one takes milliseconds."""


def insert_if_token(collection: str, rows: Rows, token: str) -> Statement:
    """Return the statement that inserts if the writer's token still stands. The rows are numbers, keys and values."""
    size = _size(len(rows) // WIDTH)
    return _insert_if_token(collection, size), [*_filled(rows, size), token]


def insert(collection: str, rows: Rows) -> Iterator[Statement]:
    yield from _many(f"INSERT INTO collection_{collection} (prefix, key, value)", rows)


def insert_prefixes(rows: Rows) -> Iterator[Statement]:
    yield from _many("INSERT INTO prefixes (id, collection, prefix)", rows)


def put_states(state: str, rows: Rows) -> Iterator[Statement]:
    yield from _many(
        f"INSERT INTO state_{state} (prefix, version, value)",
        rows,
        "ON CONFLICT (prefix) DO UPDATE SET version = excluded.version, value = excluded.value",
    )


def replace(collection: str, rows: Rows) -> Iterator[Statement]:
    """Yield the statements that change values where they are: a row keeps its position, and what is absent stays so."""
    head = f"UPDATE collection_{collection} AS c SET value = r.column3 FROM ("
    yield from _many(head, rows, ") AS r WHERE c.prefix = r.column1 AND c.key = r.column2")


def remove(collection: str, ranges: Sequence[tuple[int, int, int]]) -> Statement:
    """Return the statement that removes ranges of keys: log, start, stop."""
    statement = f"""
        DELETE FROM collection_{collection} WHERE position IN (
            SELECT c.position FROM json_each(?) AS r CROSS JOIN collection_{collection} AS c
            WHERE c.prefix = json_extract(r.value, '$[0]')
            AND c.key >= json_extract(r.value, '$[1]') AND c.key < json_extract(r.value, '$[2]')
        )"""
    return statement, (msgspec.json.encode(ranges).decode(),)


def tables_of(groups: Iterable[WriteGroup]) -> set[tuple[str, str]]:
    """Return the kinds and names of the tables that groups touch. Raises `InvalidIdentifier`."""
    tables = set()
    for group in groups:
        for item in (*group.expectations, *group.writes):
            is_state, (name, _) = place(item)
            tables.add(("state" if is_state else "collection", name))
    return {(kind, check_name(name)) for kind, name in tables}


def _many(head: str, rows: Rows, tail: str = "") -> Iterator[Statement]:
    for start in range(0, len(rows), MOST_VALUES):
        chunk = rows[start : start + MOST_VALUES]
        size = _size(len(chunk) // WIDTH)
        yield _padded(head, tail, size), _filled(chunk, size)


def _size(rows: int) -> int:
    """Return the next size of statement, of 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on."""
    power = 1 << max(0, (rows - 1).bit_length())
    return power * 3 // 4 if power >= 4 and rows <= power * 3 // 4 else power


def _filled(rows: Rows, size: int) -> Rows:
    return rows + [None] * (WIDTH * size - len(rows))


@lru_cache(256)
def _padded(head: str, tail: str, size: int) -> str:
    # `WHERE` also tells the upsert's ON from a join's.
    return f"{head} SELECT column1, column2, column3 FROM ({_values(size)}) WHERE column1 IS NOT NULL {tail}"


@lru_cache(256)
def _insert_if_token(collection: str, size: int) -> str:
    head = f"INSERT INTO collection_{collection} (prefix, key, value)"
    return _padded(head, "AND (SELECT token FROM writer) = ?", size)


def _values(size: int) -> str:
    return "VALUES " + ", ".join(["(?, ?, ?)"] * size)
