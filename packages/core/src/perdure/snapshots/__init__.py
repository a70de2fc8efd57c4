"""Snapshots: when they are taken, where they live, which are kept."""

from perdure.snapshots._cache import CachedSnapshots
from perdure.snapshots._collections import CollectionSnapshots
from perdure.snapshots._policy import SnapshotPolicy, every_n_events, never
from perdure.snapshots._snapshots import SNAPSHOTS, Retention
from perdure.snapshots._store import Snapshot, SnapshotStore

__all__ = [
    "SNAPSHOTS",
    "CachedSnapshots",
    "CollectionSnapshots",
    "Retention",
    "Snapshot",
    "SnapshotPolicy",
    "SnapshotStore",
    "every_n_events",
    "never",
]
