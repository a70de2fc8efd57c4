"""What the writing thread and the reading thread share: the open database, and the moment of it that may be read.

**What is read is durable.** RocksDB shows a write before its log is synced. A reader that saw it, and then lost it with
the power, would have handed out an offset of the feed, or an answer, that comes again with other content. So all
reading is done from a view of a moment at which everything was synced. While there are readers, the writer leaves them
a new one after each commit. While there are none it does not: a reader that finds no view makes one, or waits for the
commit under way.

**A failed write is looked up.** After an error in its log RocksDB refuses all writes until it is opened again. So the
store is; what the folder then says is the truth, and the number of the last commit tells whether the failed one is in
it. Where even that fails (a full disk has no room for a new log), the folder is opened as it stands, so that reading
goes on, and each commit tries again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from traceback import clear_frames
from typing import TypeVar

from rocksdict import Rdict

from perdure.errors import CreateStoreError, StoreError, StoreUnavailable
from perdure_rocksdb._database import Database, Progress, View, open_as_it_stands, open_to_read, open_to_write
from perdure_rocksdb._errors import is_drivers, translated
from perdure_rocksdb._settings import Settings

T = TypeVar("T")


class Store:
    """An open folder. All but `read` is called in the one thread that owns it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_writable = settings.mode == "rw"
        self._changing = threading.Condition()
        self._is_synced = True
        self._is_read = False
        self._is_taken = False
        self._view: View | None = None
        self._database: Database | None = open_to_write(settings) if self.is_writable else open_to_read(settings)

    @property
    def database(self) -> Database:
        assert self._database is not None
        return self._database

    def read(self, operation: str, job: Callable[[View], T]) -> T:
        """Return `job(view)`, with RocksDB's errors translated, and without leaving anything that keeps it open."""
        view: View | None = self._taken(operation)
        try:
            return job(view)  # type: ignore[arg-type]  # it is forgotten below
        except StoreError as error:
            clear_frames(error.__traceback__)
            raise
        except Exception as error:
            if not is_drivers(error):
                raise
            raise translated(operation, error) from error
        finally:
            view = None
            with self._changing:
                self._is_taken = False
                self._changing.notify_all()

    def begin(self) -> None:
        """Tell readers that what RocksDB shows from now on is not durable."""
        with self._changing:
            self._is_synced = False

    def publish(self) -> None:
        """Let readers see what is written by now, which is durable."""
        with self._changing:
            self._is_synced = True
            self._view = self.database.view() if self._is_read else None
            self._is_read = False
            self._changing.notify_all()

    def open_again(self) -> Progress:
        """Open the folder again after a failed write, and return what it says.

        Raises `StoreUnavailable` when it cannot be written yet; then it is read as it stands, if that is possible.
        """
        with self._changing:
            self._let_go()
            try:
                self._database = open_to_write(self.settings)
            except CreateStoreError as error:
                clear_frames(error.__traceback__)
                self._database = _as_it_stands(self.settings)
                raise StoreUnavailable("commit", error.reason) from error
            finally:
                self.is_writable = self._database is not None and self._database.is_writable
                self._is_synced = True
                self._changing.notify_all()
            return self._database.progress()

    def close(self) -> None:
        with self._changing:
            self._let_go()

    def _taken(self, operation: str) -> View:
        """Return a view of what is durable, with all that was acknowledged before this call, and note its use."""
        with self._changing:
            self._is_read = True
            self._changing.wait_for(lambda: self._is_synced or self._view is not None)
            if self._database is None:
                text = f"{self.settings.path} could not be opened again after a failed write"
                raise StoreUnavailable(operation, text)
            if self.settings.mode == "ro":
                _catch_up(self._database.main)
                self._view = None
            if self._view is None:
                self._view = self._database.view()
            self._is_taken = True
            return self._view

    def _let_go(self) -> None:
        """Close the database when the reader has given its view back."""
        self._view = None
        self._changing.wait_for(lambda: not self._is_taken)
        if self._database is not None:
            self._database.close()
            self._database = None


def _as_it_stands(settings: Settings) -> Database | None:
    try:
        return open_as_it_stands(settings)
    except Exception as error:
        if not is_drivers(error):
            raise
        clear_frames(error.__traceback__)
        return None


def _catch_up(main: Rdict, attempts: int = 3) -> None:
    """Take in what the writing process has written; it may remove a file just when it is to be read."""
    for left in reversed(range(attempts)):
        try:
            main.try_catch_up_with_primary()
            return
        except Exception as error:
            if not is_drivers(error) or not left:
                raise
