"""The one writer of a file.

All expectations are checked inside the write transaction, so that processes that share the file never fork a log. To
check them without a query for each, the writer remembers the heads of the logs and the versions of the states that it
has met. They are true as long as nobody else has written, and the token in the table `writer` says so: every writer
puts its own there, in its transaction, when it finds another's, and forgets what it remembered.

The usual commit, appends to one collection, is a single statement that inserts only if the token is still ours: SQLite
begins, checks, writes, syncs and commits in one call, for which the thread gives up the interpreter lock once. (A
statement for each row lets go of the lock at each, and beside a busy loop has to wait for it as often.) Everything else
is done in a transaction: batched by table if it only appends, puts states, replaces, and removes below a head (`Plan`);
write by write otherwise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from uuid import uuid4

from perdure.abc import Conflict, Put, PutState, Replace, WriteGroup
from perdure.errors import StoreError
from perdure_sqlite import _sql as sql
from perdure_sqlite._errors import commit_error, too_large, translated
from perdure_sqlite._heads import Heads
from perdure_sqlite._plan import Plan
from perdure_sqlite._schema import create_collection, create_state
from perdure_sqlite._single import apply_write, unmet


class Writer:
    """Applies groups to a file through its connection, in one thread."""

    def __init__(self, connection: sqlite3.Connection, max_value_bytes: int) -> None:
        self._connection = connection
        self._max_value_bytes = max_value_bytes
        self._token = uuid4().hex
        self._heads = Heads()
        self._tables: set[tuple[str, str]] = set()

    def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        """Apply the groups whose expectations hold. Raises `StoreError`: nothing was written, or `OutcomeUnknown`."""
        if not any(group.writes or group.expectations for group in groups):
            return [None] * len(groups)
        plan = Plan.of(groups, self._heads, self._max_value_bytes)
        if plan is not None and (append := plan.one_append) is not None and self._insert_at_once(*append):
            plan.remember()
            return plan.outcomes
        return self._transact(groups)

    def close(self) -> None:
        """Bring everything into the main file and close."""
        try:
            self._connection.execute("PRAGMA optimize")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            pass  # the log file stays, and is read at the next opening
        finally:
            self._connection.close()

    def _insert_at_once(self, collection: str, rows: sql.Rows) -> bool:
        """Insert if nobody else has written since; False when somebody has, and nothing was inserted."""
        statement, parameters = sql.insert_if_token(collection, rows, self._token)
        try:
            return self._connection.execute(statement, parameters).rowcount * sql.WIDTH == len(rows)
        except sqlite3.Error as error:
            self._heads.clear()
            raise commit_error(error) from error

    def _transact(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise translated("commit", error) from error
        try:
            self._claim()
            outcomes, plan = self._apply(groups)
        except BaseException as error:
            self._heads.clear()
            self._tables.clear()
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise translated("commit", error) from error
            raise
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._heads.clear()
            self._tables.clear()
            self._roll_back()
            raise commit_error(error) from error
        if plan is not None:
            plan.remember()
        return outcomes

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except sqlite3.Error as error:
            raise StoreError("rollback", str(error)) from error

    def _claim(self) -> None:
        """Make the token ours; where it was not, what we remember may be wrong."""
        [token] = self._connection.execute("SELECT token FROM writer").fetchone()
        if token != self._token:
            self._heads.clear()
            self._tables.clear()
            self._connection.execute("UPDATE writer SET token = ?", (self._token,))
        if not self._heads.next_id:
            [greatest] = self._connection.execute("SELECT coalesce(max(id), 0) FROM prefixes").fetchone()
            self._heads.next_id = greatest + 1

    def _apply(self, groups: Sequence[WriteGroup]) -> tuple[list[Conflict | None], Plan | None]:
        self._create_tables(groups)
        self._heads.learn(self._connection, groups)
        plan = Plan.of(groups, self._heads, self._max_value_bytes)
        if plan is None:
            outcomes = [self._apply_singly(group) for group in groups]
            self._heads.next_id = 0  # prefixes may have been added and removed
            return outcomes, None
        plan.execute(self._connection)
        return plan.outcomes, plan

    def _apply_singly(self, group: WriteGroup) -> Conflict | None:
        self._heads.learn(self._connection, [group])
        for expectation in group.expectations:
            if (conflict := unmet(expectation, self._heads)) is not None:
                return conflict
        for write in group.writes:
            if isinstance(write, Put | PutState | Replace) and len(write.value) > self._max_value_bytes:
                raise too_large(write.value, self._max_value_bytes)
            apply_write(self._connection, write, self._heads)
        return None

    def _create_tables(self, groups: Sequence[WriteGroup]) -> None:
        for kind, name in sql.tables_of(groups) - self._tables:
            (create_collection if kind == "collection" else create_state)(self._connection, name)
            self._tables.add((kind, name))
