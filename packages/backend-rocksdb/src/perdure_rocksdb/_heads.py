"""What the writer knows of the store: heads of logs and versions of states, with what a plan has changed.

The writing process has the folder for itself, so what it remembers stays true. Each log is asked for its head once, as
long as the memory for them suffices.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import msgspec

from perdure.abc import MAX_KEY, check_name, check_prefix
from perdure_rocksdb import _keys as keys
from perdure_rocksdb._database import Database, View
from perdure_rocksdb._reader import key_at, seek, seek_before, value_at

_Place: TypeAlias = tuple[str, str]


class Log(msgspec.Struct):
    """The log of a prefix: its greatest key, what its keys begin with, and the plan's changes in it.

    `changes` has the position in the feed of each entry that the plan has put, and 0 for each that it has removed.
    """

    base: bytes
    path: bytes
    feed: bytes
    head: int = 0
    changes: dict[int, int] = {}


class Version(msgspec.Struct, frozen=True):
    """A state's version, and whether it has a value."""

    version: int
    has_value: bool


class Heads:
    """The heads of as many logs and states as fit."""

    _MOST: ClassVar[int] = 200_000

    def __init__(self) -> None:
        self._database: Database | None = None
        self._seen: View | None = None
        self._logs: dict[_Place, Log] = {}
        self._states: dict[_Place, Version] = {}
        self._changed: list[Log] = []

    def begin(self, database: Database) -> None:
        """Look up in `database` what is not known, from now on."""
        if len(self._logs) + len(self._states) > self._MOST:
            self.clear()
        self._database = database

    def end(self) -> None:
        """Hold nothing of the database any more."""
        self._database = self._seen = None

    def keep(self) -> None:
        """Take the changes of the plan for what the store says: they are written."""
        for log in self._changed:
            log.changes = {}
        self._changed.clear()

    def clear(self) -> None:
        """Forget everything, a plan's changes with it."""
        self._logs.clear()
        self._states.clear()
        self._changed.clear()

    def log(self, name: str, prefix: str) -> Log:
        """Return a log as it is after what was planned. Raises `InvalidIdentifier`."""
        where = (name, prefix)
        log = self._logs.get(where)
        if log is None:
            check_name(name)
            check_prefix(prefix)
            log = Log(keys.log(name, prefix), prefix.encode() + b"\0", name.encode() + b"\0")
            log.head = self.last(log)
            self._logs[where] = log
        return log

    def state(self, name: str, prefix: str) -> Version:
        """Return a state's version as it is after what was planned. Raises `InvalidIdentifier`."""
        where = (name, prefix)
        known = self._states.get(where)
        if known is None:
            check_name(name)
            check_prefix(prefix)
            stored = value_at(self._view.states, keys.state(name, prefix))
            version, value = (0, None) if stored is None else keys.unpack_state(stored)
            known = self._states[where] = Version(version, value is not None)
        return known

    def set_state(self, name: str, prefix: str, version: int, *, has_value: bool) -> None:
        self.state(name, prefix)  # so that its names are looked at
        self._states[name, prefix] = Version(version, has_value)

    def note(self, log: Log, key: int, position: int) -> None:
        """Remember that the plan has put an entry at a position, or with 0 that it has removed it."""
        if not log.changes:
            self._changed.append(log)
        log.changes[key] = position

    def position(self, log: Log, key: int) -> int:
        """Return the position of an entry in the feed, or 0 where there is none."""
        if (changed := log.changes.get(key)) is not None:
            return changed
        stored = value_at(self._view.entries, log.base + keys.number(key))
        return 0 if stored is None else keys.number_at_start(stored)

    def positions(self, log: Log, start: int, stop: int) -> dict[int, int]:
        """Return the entries with `start <= key < stop` and their positions."""
        if start >= stop:
            return {}
        found: dict[int, int] = {}
        it, end = self._view.entries, log.base + keys.number(stop)
        at = seek(it, log.base + keys.number(start))
        while at is not None and at < end:
            found[keys.number_at_end(at)] = keys.number_at_start(it.value())
            it.next()
            at = key_at(it)
        found.update((key, position) for key, position in log.changes.items() if start <= key < stop)
        return {key: position for key, position in found.items() if position}

    def last(self, log: Log) -> int:
        """Return the greatest key of a log, or 0."""
        planned = max((key for key, position in log.changes.items() if position), default=0)
        it = self._view.entries
        at = seek_before(it, log.base + keys.number(MAX_KEY + 1))
        while at is not None and at >= log.base:
            number = keys.number_at_end(at)
            if log.changes.get(number) != 0:
                return max(planned, number)
            it.prev()
            at = key_at(it)
        return planned

    @property
    def _view(self) -> View:
        """The store before the plan, from the first look on: nothing is written meanwhile."""
        if self._seen is None:
            assert self._database is not None
            self._seen = self._database.view()
        return self._seen
