"""Replicas of event-sourced actors: views of them on every node that follows, kept by their journal."""

from perdure_replication.replicas._published import Published
from perdure_replication.replicas._replicated import Replicated, replicate
from perdure_replication.replicas._standby import HotStandby
from perdure_replication.replicas._views import Replicas, View, ViewChange

__all__ = ["HotStandby", "Published", "Replicas", "Replicated", "View", "ViewChange", "replicate"]
