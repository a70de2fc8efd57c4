"""A server's errors, in perdure's terms."""

from __future__ import annotations

from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from perdure.errors import OutcomeUnknown, StoreError, StoreUnavailable

_PASSING_TYPES = (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    TryAgainError,
)
_PASSING_CODES = ("BUSY ", "NOREPLICAS ", "UNBLOCKED ")
_NO_RIGHT_IN_6_2 = "The user executing the script can't"


def is_passing(error: ResponseError) -> bool:
    """Tell whether a command that was refused so may be carried out a little later, or elsewhere."""
    return isinstance(error, _PASSING_TYPES) or str(error).startswith(_PASSING_CODES)


def translated(operation: str, error: ResponseError) -> StoreError:
    """Return the error of a command that was refused for good."""
    text = str(error)
    if text.startswith(("PERDUREPARTLY", "PERDURELATE")):
        return OutcomeUnknown(operation, text.partition(" ")[2])
    if text.startswith("PERDURE"):
        return StoreError(operation, text.partition(" ")[2])
    if isinstance(error, OutOfMemoryError) or "-OOM " in text:
        return StoreUnavailable(operation, f"the server is out of memory (maxmemory): {text}")
    if text.startswith("MISCONF"):
        return StoreUnavailable(operation, f"the server takes no writes: {text}")
    if isinstance(error, NoPermissionError) or text.startswith("ACL failure") or _NO_RIGHT_IN_6_2 in text:
        return StoreError(operation, f"the user's ACL does not suffice: {text}")
    return StoreError(operation, text)


def too_large(size: int, limit: int) -> StoreError:
    """Return the error of a value over the limit."""
    return StoreError("commit", f"a value of {size:,} bytes is over the limit of {limit:,}")
