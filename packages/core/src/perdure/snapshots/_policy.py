"""When to take a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

SnapshotPolicy: TypeAlias = Callable[[int], bool]
"""Says of a sequence number, just persisted, whether to take a snapshot at it."""


def every_n_events(n: int) -> SnapshotPolicy:
    """Return the policy that takes a snapshot at each n-th sequence number."""
    if n < 1:
        raise ValueError(f"every_n_events takes 1 or more, not {n}")
    return lambda sequence_number: sequence_number % n == 0


def never(sequence_number: int) -> bool:
    """Take no snapshots."""
    return False
