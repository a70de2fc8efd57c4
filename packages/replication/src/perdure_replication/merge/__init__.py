"""Merged state: values that several nodes write, without asking each other, and that become equal on all."""

from perdure_replication.merge._add_wins_set import AddWinsSet
from perdure_replication.merge._clock import HybridClock, Stamp
from perdure_replication.merge._counter import Counter
from perdure_replication.merge._knowledge import Dot, Knowledge
from perdure_replication.merge._last_writer import LastWriter
from perdure_replication.merge._mergeable import Mergeable
from perdure_replication.merge._merged_map import MergedMap
from perdure_replication.merge._merged_record import MergedRecord
from perdure_replication.merge._pen import Pen
from perdure_replication.merge._replica import MergedReplica, MergeMetrics, merged
from perdure_replication.merge._state import MergedState

__all__ = [
    "AddWinsSet",
    "Counter",
    "Dot",
    "HybridClock",
    "Knowledge",
    "LastWriter",
    "MergeMetrics",
    "Mergeable",
    "MergedMap",
    "MergedRecord",
    "MergedReplica",
    "MergedState",
    "Pen",
    "Stamp",
    "merged",
]
