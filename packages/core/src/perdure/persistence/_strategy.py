"""What a persistent actor stores with each event."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from perdure.snapshots import SnapshotPolicy, every_n_events


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """Store events; now and then, in the background, a snapshot of the state.

    `keep_snapshots` of them are kept, 1 or more. With `compact`, events below the oldest kept snapshot are removed,
    once so many snapshots are there; the event at that snapshot stays, as the head of the log.
    """

    snapshot: SnapshotPolicy = every_n_events(100)
    keep_snapshots: int = 2
    compact: bool = False

    def __post_init__(self) -> None:
        if self.keep_snapshots < 1:
            raise ValueError(f"keep_snapshots is 1 or more, not {self.keep_snapshots}")


class Light(msgspec.Struct, frozen=True, kw_only=True):
    """Store each event and the new state in one group, so that recovery reads one state and no history.

    Good for small states. With `compact`, all events but the last are removed in the same group.
    """

    compact: bool = False


Strategy: TypeAlias = Full | Light
