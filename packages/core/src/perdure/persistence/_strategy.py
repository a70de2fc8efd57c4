"""What a persistent actor stores with each event."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from perdure.journal import Compression
from perdure.snapshots import Compact, Predicate, SnapshotPolicy, every_n_events, policy_of


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """Store events; now and then, in the background, a snapshot of the state.

    `snapshot` says when: a policy, several joined with `|`, or a function `(sequence_number, state, event) -> bool`.
    The newest `keep_snapshots` of them are kept, 1 or more, and those that are not older than `keep_snapshots_for`
    seconds, if that is given. With `compact`, events below the oldest kept snapshot are removed, once so many snapshots
    are there, or with `compact="archive"` moved to the system's archive; the event at that snapshot stays, as the head
    of the log. `compression` is that of snapshots.
    """

    snapshot: SnapshotPolicy | Predicate = every_n_events(100)
    keep_snapshots: int = 2
    keep_snapshots_for: float | None = None
    compact: Compact = False
    compression: Compression = Compression()

    def __post_init__(self) -> None:
        policy_of(self.snapshot)
        if self.keep_snapshots < 1:
            raise ValueError(f"keep_snapshots is 1 or more, not {self.keep_snapshots}")
        if self.keep_snapshots_for is not None and not self.keep_snapshots_for > 0:
            raise ValueError(f"keep_snapshots_for is more than 0 seconds, not {self.keep_snapshots_for}")
        if self.compact not in (True, False, "archive"):
            raise ValueError(f"compact is True, False or 'archive', not {self.compact!r}")


class Light(msgspec.Struct, frozen=True, kw_only=True):
    """Store each event and the new state in one group, so that recovery reads one state and no history.

    Good for small states. With `compact`, all events but the last are removed in the same group.
    """

    compact: bool = False


Strategy: TypeAlias = Full | Light
