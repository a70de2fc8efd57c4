"""A batch of groups, worked out before anything is written: one `WriteBatch`, and what each group's outcome is.

Groups are checked and applied in order against the heads, which hold what the store says and what the plan has done so
far. Nothing is written meanwhile: a plan that fails is thrown away, and the heads with it.

A put above the head of a log, which nearly all are, needs nothing but the head. Any other write has to know what it
meets, because the place that an entry had in the feed goes with it, or stays where its value alone is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence

from rocksdict import WriteBatch

from perdure.abc import (
    MAX_KEY,
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    LastKey,
    Purge,
    PurgeState,
    Put,
    PutState,
    Replace,
    Write,
    WriteGroup,
    check_key,
)
from perdure_rocksdb import _keys as keys
from perdure_rocksdb._database import PROGRESS_KEY, Database, Progress
from perdure_rocksdb._errors import too_large
from perdure_rocksdb._heads import Heads, Log
from perdure_rocksdb._tuning import ENTRIES, FEED, STATES

_MANY = 64
"""Entries from which on a range is removed by one mark; each mark makes every later read of its file a bit slower."""


class Plan:
    """The batch, the outcomes, and the progress that the store makes with them."""

    def __init__(self, database: Database, heads: Heads, progress: Progress, max_value_bytes: int) -> None:
        self.outcomes: list[Conflict | None] = []
        self._batch = WriteBatch(raw_mode=True)
        self._heads = heads
        self._position = progress.position
        self._commits = progress.commits
        self._max_value_bytes = max_value_bytes
        self._to_entries = database.handle(ENTRIES)
        self._to_feed = database.handle(FEED)
        self._to_states = database.handle(STATES)

    @classmethod
    def of(
        cls, groups: Sequence[WriteGroup], database: Database, heads: Heads, progress: Progress, max_value_bytes: int
    ) -> Plan:
        """Work out all groups. Raises `StoreError` or `InvalidIdentifier` for what can never be written."""
        plan = cls(database, heads, progress, max_value_bytes)
        plan.outcomes += map(plan._add, groups)
        return plan

    def finished(self) -> tuple[WriteBatch | None, Progress]:
        """Return the batch, or None where there is nothing to write, and the progress that is noted in it."""
        if self._batch.is_empty():
            return None, Progress(self._position, self._commits)
        progress = Progress(self._position, self._commits + 1)
        self._batch.put(PROGRESS_KEY, progress.packed())
        return self._batch, progress

    def _add(self, group: WriteGroup) -> Conflict | None:
        for expectation in group.expectations:
            if isinstance(expectation, LastKey):
                actual = self._heads.log(expectation.collection, expectation.prefix).head
                expected = expectation.key
            else:
                actual = self._heads.state(expectation.state, expectation.prefix).version
                expected = expectation.version
            if actual != expected:
                return Conflict(expectation, actual)
        for write in group.writes:
            if type(write) is Put:
                self._put(write)
            else:
                self._change(write)
        return None

    def _put(self, put: Put) -> None:
        key, value = put.key, put.value
        log = self._heads.log(put.collection, put.prefix)
        if len(value) > self._max_value_bytes:
            raise too_large(value, self._max_value_bytes)
        if log.head < key <= MAX_KEY:
            log.head = key
        else:
            check_key(key)
            if old := self._heads.position(log, key):
                self._batch.delete(log.feed + keys.number(old), self._to_feed)
        self._position += 1
        place, number = keys.number(self._position), keys.number(key)
        self._batch.put(log.base + number, place + value, self._to_entries)
        self._batch.put(log.feed + place, log.path + number, self._to_feed)
        self._heads.note(log, key, self._position)

    def _replace(self, replace: Replace) -> None:
        key, value = check_key(replace.key), replace.value
        log = self._heads.log(replace.collection, replace.prefix)
        if len(value) > self._max_value_bytes:
            raise too_large(value, self._max_value_bytes)
        if key <= log.head and (position := self._heads.position(log, key)):
            self._batch.put(log.base + keys.number(key), keys.number(position) + value, self._to_entries)

    def _change(self, write: Write) -> None:
        match write:
            case Replace():
                self._replace(write)
            case Delete(collection, prefix, key):
                self._remove(self._heads.log(collection, prefix), key, key + 1)
            case DeleteRange(collection, prefix, start, stop):
                self._remove(self._heads.log(collection, prefix), start, stop)
            case Purge(collection, prefix):
                log = self._heads.log(collection, prefix)
                self._remove(log, 0, log.head + 1)
            case PutState(name, prefix, value):
                if len(value) > self._max_value_bytes:
                    raise too_large(value, self._max_value_bytes)
                self._put_state(name, prefix, value)
            case DeleteState(name, prefix):
                if self._heads.state(name, prefix).has_value:
                    self._put_state(name, prefix, None)
            case PurgeState(name, prefix):
                self._heads.set_state(name, prefix, 0, has_value=False)
                self._batch.delete(keys.state(name, prefix), self._to_states)

    def _remove(self, log: Log, start: int, stop: int) -> None:
        found = self._heads.positions(log, max(start, 1), min(stop, log.head + 1))
        if len(found) >= _MANY:
            self._batch.delete_range(
                log.base + keys.number(min(found)), log.base + keys.number(max(found) + 1), self._to_entries
            )
        for key, position in found.items():
            if len(found) < _MANY:
                self._batch.delete(log.base + keys.number(key), self._to_entries)
            self._batch.delete(log.feed + keys.number(position), self._to_feed)
            self._heads.note(log, key, 0)
        if log.head in found:
            log.head = self._heads.last(log)

    def _put_state(self, name: str, prefix: str, value: bytes | None) -> None:
        version = self._heads.state(name, prefix).version + 1
        self._heads.set_state(name, prefix, version, has_value=value is not None)
        self._batch.put(keys.state(name, prefix), keys.pack_state(version, value), self._to_states)
