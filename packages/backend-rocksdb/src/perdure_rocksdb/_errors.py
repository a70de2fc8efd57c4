"""RocksDB's errors, in perdure's terms. rocksdict raises plain `Exception`s with RocksDB's text."""

from __future__ import annotations

from traceback import clear_frames

from rocksdict import DbClosedError

from perdure.errors import StoreError, StoreUnavailable

_LOCKED = ("lock hold by current process", "While lock file")
_FULL = ("No space left on device", "Disk quota exceeded", "File too large", "Space limit reached")


def too_large(value: bytes, limit: int) -> StoreError:
    """Return the error of a value over the limit."""
    return StoreError("commit", f"a value of {len(value):,} bytes is over the limit of {limit:,}")


def is_drivers(error: BaseException) -> bool:
    """Return whether RocksDB has raised this; all else is a mistake of ours, or the caller's."""
    return type(error) in (Exception, DbClosedError)


def is_locked(error: Exception) -> bool:
    """Return whether somebody else, here or in another process, has the folder open."""
    return any(text in str(error) for text in _LOCKED)


def reason(error: Exception) -> str:
    """Return what RocksDB says, and what to do where it does not say that."""
    text = " ".join(str(error).split())
    if text.startswith("Corruption"):
        return f"{text}: the store is damaged, restore it from a checkpoint"
    if any(full in text for full in _FULL):
        return f"the disk is full: {text}"
    return text


def translated(operation: str, error: Exception) -> StoreError:
    """Return the error of a call that has surely written nothing.

    Lets go of what the failed frames hold: one iterator in a traceback would keep the store open after its close.
    """
    clear_frames(error.__traceback__)
    if isinstance(error, DbClosedError):
        return StoreUnavailable(operation, "the store could not be opened again after a failed write")
    return StoreError(operation, reason(error))
