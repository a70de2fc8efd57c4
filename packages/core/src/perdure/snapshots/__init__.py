"""Snapshots: when they are taken, where they live, which are kept."""

from perdure.snapshots._archive import ARCHIVE, Archive, ChunkArchive, CollectionArchive, open_archive
from perdure.snapshots._cache import CachedSnapshots
from perdure.snapshots._collections import SNAPSHOTS, CollectionSnapshots
from perdure.snapshots._objects import ObjectSnapshots
from perdure.snapshots._open import SNAPSHOT_STORES, open_snapshots
from perdure.snapshots._policy import (
    Predicate,
    Since,
    SnapshotPolicy,
    every,
    every_n_bytes,
    every_n_events,
    never,
    on_stop,
    policy_of,
)
from perdure.snapshots._shelf import Compact, Draft, Shelf, Snapshots
from perdure.snapshots._store import Snapshot, SnapshotStore

__all__ = [
    "ARCHIVE",
    "SNAPSHOTS",
    "SNAPSHOT_STORES",
    "Archive",
    "CachedSnapshots",
    "ChunkArchive",
    "CollectionArchive",
    "CollectionSnapshots",
    "Compact",
    "Draft",
    "ObjectSnapshots",
    "Predicate",
    "Shelf",
    "Since",
    "Snapshot",
    "SnapshotPolicy",
    "SnapshotStore",
    "Snapshots",
    "every",
    "every_n_bytes",
    "every_n_events",
    "never",
    "on_stop",
    "open_archive",
    "open_snapshots",
    "policy_of",
]
