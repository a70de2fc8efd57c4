"""What the writer remembers of the store, so as not to ask for it at each commit."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

import msgspec

from perdure.abc import DeleteState, Expectation, PurgeState, PutState, StateVersion, Write, WriteGroup

Place: TypeAlias = tuple[str, str]
"""A collection or a state by name, and a prefix."""


# CROSS JOIN keeps the order: without statistics, SQLite might search all prefixes for each that was asked for.
_LOGS = """
SELECT json_group_array(json_array(
    asked.value, p.id, coalesce((SELECT max(key) FROM collection_{name} WHERE prefix = p.id), 0)
))
FROM json_each(?) AS asked CROSS JOIN prefixes AS p ON p.collection = '{name}' AND p.prefix = asked.value
"""
_VERSIONS = """
SELECT json_group_array(json_array(asked.value, s.version))
FROM json_each(?) AS asked CROSS JOIN state_{name} AS s ON s.prefix = asked.value
"""


class Logs:
    """The heads of a collection's logs, by prefix: numbers apart, for a tuple each is work for the collector."""

    __slots__ = ("ids", "lasts")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        """Their numbers in `prefixes`; 0 for one that has none yet."""
        self.lasts: dict[str, int] = {}
        """Their greatest keys; 0 for one that is empty."""


class Heads:
    """Heads of logs and versions of states, as many as fit, and the next free number for a prefix."""

    _MOST: ClassVar[int] = 200_000

    def __init__(self) -> None:
        self.logs: defaultdict[str, Logs] = defaultdict(Logs)
        self.versions: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.next_id = 0

    def clear(self) -> None:
        self.logs.clear()
        self.versions.clear()
        self.next_id = 0

    def learn(self, connection: sqlite3.Connection, groups: Iterable[WriteGroup]) -> None:
        """Ask the store, in one query for each table, for what the groups need and is not known."""
        if self._count() > self._MOST:
            self.logs.clear()
            self.versions.clear()
        logs: dict[str, set[str]] = {}
        states: dict[str, set[str]] = {}
        for group in groups:
            for item in (*group.expectations, *group.writes):
                is_state, (name, prefix) = place(item)
                if prefix not in (self.versions[name] if is_state else self.logs[name].lasts):
                    (states if is_state else logs).setdefault(name, set()).add(prefix)
        for name, prefixes in logs.items():
            known = self.logs[name]
            known.ids.update(dict.fromkeys(prefixes, 0))
            known.lasts.update(dict.fromkeys(prefixes, 0))
            for prefix, id, last in _ask(connection, _LOGS.format(name=name), prefixes):
                known.ids[prefix], known.lasts[prefix] = id, last
        for name, prefixes in states.items():
            versions = self.versions[name]
            versions.update(dict.fromkeys(prefixes, 0))
            for prefix, version in _ask(connection, _VERSIONS.format(name=name), prefixes):
                versions[prefix] = version

    def _count(self) -> int:
        return sum(len(logs.lasts) for logs in self.logs.values()) + sum(map(len, self.versions.values()))

    def forget(self, item: Write) -> None:
        """Drop what is known of the place that a write has changed."""
        is_state, (name, prefix) = place(item)
        if is_state:
            self.versions[name].pop(prefix, None)
        else:
            self.logs[name].ids.pop(prefix, None)
            self.logs[name].lasts.pop(prefix, None)


def place(item: Write | Expectation) -> tuple[bool, Place]:
    """Return whether an item is about a state, and where."""
    if isinstance(item, PutState | DeleteState | PurgeState | StateVersion):
        return True, (item.state, item.prefix)
    return False, (item.collection, item.prefix)


def _ask(connection: sqlite3.Connection, query: str, prefixes: set[str]) -> list[list[Any]]:
    [answer] = connection.execute(query, (msgspec.json.encode(list(prefixes)).decode(),)).fetchone()
    rows: list[list[Any]] = msgspec.json.decode(answer)
    return rows
