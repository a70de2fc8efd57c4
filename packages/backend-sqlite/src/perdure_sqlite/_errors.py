"""SQLite's errors, in perdure's terms."""

from __future__ import annotations

import sqlite3

from perdure.errors import OutcomeUnknown, StoreBusy, StoreError

_UNKNOWN = ("SQLITE_IOERR", "SQLITE_FULL", "SQLITE_INTERRUPT", "SQLITE_NOMEM")


def too_large(value: bytes, limit: int) -> StoreError:
    """Return the error of a value over the limit."""
    return StoreError("commit", f"a value of {len(value):,} bytes is over the limit of {limit:,}")


def translated(operation: str, error: sqlite3.Error) -> StoreError:
    """Return the error of a call that has surely written nothing."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusy(operation, f"another writer holds the file: {error}")
    hint = ": restore the file from a backup" if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) else ""
    return StoreError(operation, f"{error} ({name}){hint}")


def commit_error(error: sqlite3.Error) -> StoreError:
    """Return the error of a commit, whose pages may be on disk though the commit failed."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_UNKNOWN):
        return OutcomeUnknown("commit", f"{error} ({name})")
    return translated("commit", error)
