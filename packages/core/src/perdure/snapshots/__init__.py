"""Snapshots: when they are taken, where they live, which are kept."""

from perdure.snapshots._policy import SnapshotPolicy, every_n_events, never
from perdure.snapshots._snapshots import SNAPSHOTS, Retention

__all__ = ["SNAPSHOTS", "Retention", "SnapshotPolicy", "every_n_events", "never"]
