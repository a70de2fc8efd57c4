"""A batch of groups, worked out before anything is written.

A plan exists for groups that append (a key above the head), put states, remove ranges below a head, and replace values,
which is nearly all that a journal does. Then writes to different tables commute, and so do removals and the appends
above them: each table takes one statement for all the groups. Replacements may come last: what they would change is not
put again in the same plan, so of several under one key the last counts, and one above the head finds nothing. A group
in conflict leaves no trace in the plan, so no group ever has to be rolled back.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence

from perdure.abc import Conflict, DeleteRange, LastKey, Put, PutState, Replace, Write, WriteGroup, check_key
from perdure_sqlite import _sql as sql
from perdure_sqlite._errors import too_large
from perdure_sqlite._heads import Heads, Logs


class Changed:
    """What the logs of one collection get, and what their heads will be."""

    __slots__ = ("heads", "known", "rows")

    def __init__(self, known: Logs) -> None:
        self.known = known
        self.heads = Logs()
        self.rows: sql.Rows = []

    def id(self, prefix: str) -> int:
        return self.known.ids[prefix] or self.heads.ids.get(prefix, 0)

    def last(self, prefix: str) -> int:
        return self.heads.lasts.get(prefix) or self.known.lasts[prefix]

    def remember(self) -> None:
        self.known.ids.update(self.heads.ids)
        self.known.lasts.update(self.heads.lasts)


class Plan:
    """What each table gets, and what the heads will be when it has it."""

    def __init__(self, heads: Heads, max_value_bytes: int) -> None:
        self.outcomes: list[Conflict | None] = []
        self._known = heads
        self._max_value_bytes = max_value_bytes
        self._next_id = heads.next_id
        self._logs: dict[str, Changed] = {}
        self._prefixes: sql.Rows = []
        self._removals: dict[str, list[tuple[int, int, int]]] = {}
        self._replacements: dict[str, dict[tuple[int, int], bytes]] = {}
        self._states: dict[str, dict[str, bytes]] = {}
        self._versions: defaultdict[str, dict[str, int]] = defaultdict(dict)

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
    def one_append(self) -> tuple[str, sql.Rows] | None:
        """The rows, and for which collection, if all that is to be done is to append them to known logs of it.

        None if they are too many for one statement, or anything is in conflict.
        """
        if self._prefixes or self._removals or self._replacements or self._states or any(self.outcomes):
            return None
        appends = list(self._appends())
        return appends[0] if len(appends) == 1 and len(appends[0][1]) <= sql.MOST_VALUES else None

    def execute(self, connection: sqlite3.Connection) -> None:
        """Write the plan in the transaction under way."""
        for statement, parameters in self._statements():
            connection.execute(statement, parameters)

    def remember(self) -> None:
        """Have the heads known, now that they are in the store."""
        for logs in self._logs.values():
            logs.remember()
        for state, versions in self._versions.items():
            self._known.versions[state].update(versions)
        self._known.next_id = self._next_id

    def _appends(self) -> Iterator[tuple[str, sql.Rows]]:
        return ((collection, logs.rows) for collection, logs in self._logs.items() if logs.rows)

    def _statements(self) -> Iterator[sql.Statement]:
        yield from sql.insert_prefixes(self._prefixes)
        for collection, rows in self._appends():
            yield from sql.insert(collection, rows)
        for collection, ranges in self._removals.items():
            yield sql.remove(collection, ranges)
        for collection, values in self._replacements.items():
            yield from sql.replace(collection, [item for place, value in values.items() for item in (*place, value)])
        for state, puts in self._states.items():
            versions = self._versions[state]
            rows = [item for prefix, value in puts.items() for item in (prefix, versions[prefix], value)]
            yield from sql.put_states(state, rows)

    def _add(self, group: WriteGroup) -> Conflict | None:
        for expectation in group.expectations:
            if isinstance(expectation, LastKey):
                logs = self._logs.get(expectation.collection) or self._of(expectation.collection)
                actual, expected = logs.last(expectation.prefix), expectation.key
            else:
                actual, expected = self._version(expectation.state, expectation.prefix), expectation.version
            if actual != expected:
                return Conflict(expectation, actual)
        for write in group.writes:
            if type(write) is Put:
                self._append(write)
            else:
                self._change(write)
        return None

    def _of(self, collection: str) -> Changed:
        logs = self._logs.get(collection)
        if logs is None:
            logs = self._logs[collection] = Changed(self._known.logs[collection])
        return logs

    def _version(self, state: str, prefix: str) -> int:
        return self._versions[state].get(prefix) or self._known.versions[state][prefix]

    def _append(self, put: Put) -> None:
        logs = self._logs.get(put.collection) or self._of(put.collection)
        prefix, key = put.prefix, put.key
        if key <= logs.last(prefix):
            raise _Unusual
        if len(put.value) > self._max_value_bytes:
            raise too_large(put.value, self._max_value_bytes)
        id = logs.id(prefix) or self._number(logs, put)
        logs.heads.lasts[prefix] = key
        logs.rows += (id, key, put.value)

    def _number(self, logs: Changed, put: Put) -> int:
        """Return the number of a new log."""
        id = logs.heads.ids[put.prefix] = self._next_id
        self._next_id += 1
        self._prefixes += (id, put.collection, put.prefix)
        return id

    def _change(self, write: Write) -> None:
        if isinstance(write, PutState):
            if len(write.value) > self._max_value_bytes:
                raise too_large(write.value, self._max_value_bytes)
            self._versions[write.state][write.prefix] = self._version(write.state, write.prefix) + 1
            self._states.setdefault(write.state, {})[write.prefix] = write.value
        elif isinstance(write, Replace):
            logs = self._of(write.collection)
            if len(write.value) > self._max_value_bytes:
                raise too_large(write.value, self._max_value_bytes)
            if check_key(write.key) <= logs.last(write.prefix):
                self._replacements.setdefault(write.collection, {})[logs.id(write.prefix), write.key] = write.value
        elif isinstance(write, DeleteRange):
            logs = self._of(write.collection)
            if write.stop > logs.last(write.prefix):
                raise _Unusual
            if write.start < write.stop:
                self._removals.setdefault(write.collection, []).append((logs.id(write.prefix), write.start, write.stop))
        else:
            raise _Unusual


class _Unusual(Exception):
    """A write that has to be applied by itself."""
