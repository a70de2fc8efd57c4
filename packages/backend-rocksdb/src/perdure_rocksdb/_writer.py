"""The one writer of a folder.

A commit is one `WriteBatch`: entries, their places in the feed, states, and the number of the commit, all or nothing.
It is written unsynced, which is quick, and then the log is synced, for which rocksdict gives up the interpreter lock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from traceback import clear_frames

from rocksdict import Rdict, WriteBatch

from perdure.abc import Conflict, WriteGroup
from perdure.errors import OutcomeUnknown, StoreError
from perdure_rocksdb._database import Progress
from perdure_rocksdb._errors import is_drivers, reason, translated
from perdure_rocksdb._heads import Heads
from perdure_rocksdb._plan import Plan
from perdure_rocksdb._store import Store


class Writer:
    """Applies groups to a store, in one thread."""

    def __init__(self, store: Store, max_value_bytes: int) -> None:
        self.store = store
        self._max_value_bytes = max_value_bytes
        self._heads = Heads()
        self._progress = store.database.progress()

    def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        """Apply the groups whose expectations hold. Raises `StoreError`: nothing was written, or `OutcomeUnknown`."""
        if not any(group.writes or group.expectations for group in groups):
            return [None] * len(groups)
        if not self.store.is_writable:
            self._progress = self.store.open_again()
        outcomes, batch, progress = self._planned(groups)
        if batch is not None:
            self._write(batch, progress)
        self._heads.keep()
        return outcomes

    def checkpoint(self, folder: Path) -> None:
        """Make a copy of all that is committed in a new folder. Raises `StoreError` naming it."""
        if folder.exists():
            raise StoreError("checkpoint", f"{folder} exists already: name a new folder")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.store.database.checkpoint(folder)
        except OSError as error:
            raise StoreError("checkpoint", f"{folder} cannot be made: {error.strerror or error}") from error
        except Exception as error:
            if not is_drivers(error):
                raise
            raise translated("checkpoint", error) from error

    def close(self) -> None:
        self.store.close()

    def _planned(self, groups: Sequence[WriteGroup]) -> tuple[list[Conflict | None], WriteBatch | None, Progress]:
        """Return the outcomes, what is to be written if anything is, and the progress with it."""
        self._heads.begin(self.store.database)
        try:
            plan = Plan.of(groups, self.store.database, self._heads, self._progress, self._max_value_bytes)
            return plan.outcomes, *plan.finished()
        except BaseException as error:
            self._heads.clear()
            clear_frames(error.__traceback__)
            if isinstance(error, Exception) and is_drivers(error):
                raise translated("commit", error) from error
            raise
        finally:
            self._heads.end()

    def _write(self, batch: WriteBatch, progress: Progress) -> None:
        main = self.store.database.main
        _wait_for_room(main)
        self.store.begin()
        try:
            main.write(batch)
            if self.store.settings.durability == "full":
                main.flush_wal(True)
        except Exception as error:
            self._look_up(progress, error)
        self._progress = progress
        self.store.publish()

    def _look_up(self, progress: Progress, error: Exception) -> None:
        """Open the store again after a write that failed. Returns if the write is in it, and raises if it is not."""
        self._heads.clear()
        try:
            self._progress = self.store.open_again()
        except StoreError as again:
            raise OutcomeUnknown("commit", f"{reason(error)}; then {again.reason}") from error
        if self._progress != progress:
            raise StoreError("commit", reason(error)) from error


def _wait_for_room(main: Rdict) -> None:
    """Wait while RocksDB has to catch up; within its own wait it would keep the interpreter lock."""
    while main.property_int_value("rocksdb.is-write-stopped"):
        time.sleep(0.001)
