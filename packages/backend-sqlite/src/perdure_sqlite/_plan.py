"""A batch of groups, worked out before anything is written.

A plan exists for groups that append (a key above the head), put states, remove ranges below a head, and replace values,
which is nearly all that a journal does. Then writes to different tables commute, and so do removals and the appends
above them: each table takes one statement for all the groups. Replacements may come last: what they would change is not
put again in the same plan, so of several under one key the last counts, and one above the head finds nothing. A group
in conflict leaves no trace in the plan, so no group ever has to be rolled back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from perdure.abc import Conflict, DeleteRange, LastKey, Put, PutState, Replace, Write, WriteGroup, check_key
from perdure_sqlite import _sql as sql
from perdure_sqlite._errors import too_large
from perdure_sqlite._heads import Head, Heads, Place


class Plan:
    """What each table gets, and what the heads will be when it has it."""

    def __init__(self, heads: Heads, max_value_bytes: int) -> None:
        self.outcomes: list[Conflict | None] = []
        self.appends: dict[str, list[sql.Row]] = {}
        self._known = heads
        self._max_value_bytes = max_value_bytes
        self._next_id = heads.next_id
        self._logs: dict[Place, Head] = {}
        self._prefixes: list[tuple[int, str, str]] = []
        self._removals: dict[str, list[tuple[int, int, int]]] = {}
        self._replacements: dict[str, dict[tuple[int, int], bytes]] = {}
        self._states: dict[str, dict[str, bytes]] = {}
        self._versions: dict[Place, int] = {}

    @classmethod
    def of(cls, groups: Sequence[WriteGroup], heads: Heads, max_value_bytes: int) -> Plan | None:
        """Return the plan of these groups, or None when a head is not known or a write is not of the usual kinds."""
        plan = cls(heads, max_value_bytes)
        try:
            for group in groups:
                plan.outcomes.append(plan._add(group))
        except (KeyError, _Unusual):
            return None
        return plan

    @property
    def is_one_append(self) -> bool:
        """True for appends to known logs of one collection, few enough for one statement, without a conflict."""
        return (
            len(self.appends) == 1
            and not (self._prefixes or self._removals or self._replacements or self._states)
            and all(len(rows) <= sql.MOST_ROWS for rows in self.appends.values())
            and not any(self.outcomes)
        )

    def execute(self, connection: sqlite3.Connection) -> None:
        """Write the plan in the transaction under way."""
        for statement, parameters in self._statements():
            connection.execute(statement, parameters)

    def remember(self, heads: Heads) -> None:
        """Note the heads, now that they are in the store."""
        heads.logs.update(self._logs)
        heads.versions.update(self._versions)
        heads.next_id = self._next_id

    def _statements(self) -> Iterator[sql.Statement]:
        yield from sql.insert_prefixes(self._prefixes)
        for collection, rows in self.appends.items():
            yield from sql.insert(collection, rows)
        for collection, ranges in self._removals.items():
            yield sql.remove(collection, ranges)
        for collection, values in self._replacements.items():
            yield from sql.replace(collection, [(*place, value) for place, value in values.items()])
        for state, puts in self._states.items():
            yield from sql.put_states(
                state, [(prefix, self._versions[state, prefix], value) for prefix, value in puts.items()]
            )

    def _add(self, group: WriteGroup) -> Conflict | None:
        for expectation in group.expectations:
            if isinstance(expectation, LastKey):
                where = (expectation.collection, expectation.prefix)
                _, actual = self._logs.get(where) or self._known.logs[where]
                expected = expectation.key
            else:
                actual = self._version((expectation.state, expectation.prefix))
                expected = expectation.version
            if actual != expected:
                return Conflict(expectation, actual)
        for write in group.writes:
            if type(write) is Put:
                self._append(write)
            else:
                self._change(write)
        return None

    def _head(self, where: Place) -> Head:
        return self._logs.get(where) or self._known.logs[where]  # written out where each event comes by

    def _version(self, where: Place) -> int:
        version = self._versions.get(where)
        return self._known.versions[where] if version is None else version

    def _append(self, put: Put) -> None:
        where = (put.collection, put.prefix)
        id, last = self._logs.get(where) or self._known.logs[where]
        if put.key <= last:
            raise _Unusual
        if len(put.value) > self._max_value_bytes:
            raise too_large(put.value, self._max_value_bytes)
        if id == 0:
            id = self._next_id
            self._next_id += 1
            self._prefixes.append((id, put.collection, put.prefix))
        self._logs[where] = (id, put.key)
        rows = self.appends.get(put.collection)
        if rows is None:
            rows = self.appends[put.collection] = []
        rows.append((id, put.key, put.value))

    def _change(self, write: Write) -> None:
        if isinstance(write, PutState):
            where = (write.state, write.prefix)
            if len(write.value) > self._max_value_bytes:
                raise too_large(write.value, self._max_value_bytes)
            self._versions[where] = self._version(where) + 1
            self._states.setdefault(write.state, {})[write.prefix] = write.value
        elif isinstance(write, Replace):
            id, last = self._head((write.collection, write.prefix))
            if len(write.value) > self._max_value_bytes:
                raise too_large(write.value, self._max_value_bytes)
            if check_key(write.key) <= last:
                self._replacements.setdefault(write.collection, {})[id, write.key] = write.value
        elif isinstance(write, DeleteRange):
            id, last = self._head((write.collection, write.prefix))
            if write.stop > last:
                raise _Unusual
            if write.start < write.stop:
                self._removals.setdefault(write.collection, []).append((id, write.start, write.stop))
        else:
            raise _Unusual


class _Unusual(Exception):
    """A write that has to be applied by itself."""
