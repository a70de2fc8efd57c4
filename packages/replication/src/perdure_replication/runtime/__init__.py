"""Actors that people already run, where replicated state meets them."""

from perdure_replication.runtime._bridge import Bridge
from perdure_replication.runtime._cluster import ClusterEvents
from perdure_replication.runtime._delivery import Delivery
from perdure_replication.runtime._groups import ActorGroups, Group
from perdure_replication.runtime._held import HeldReplica
from perdure_replication.runtime._metrics import RuntimeMetrics
from perdure_replication.runtime._open import OpenRuntime, open_runtime
from perdure_replication.runtime._own import PerdureRuntime
from perdure_replication.runtime._ref import LocalRef, Ref
from perdure_replication.runtime._runtime import ActorRuntime, NewRuntime, Receive
from perdure_replication.runtime._timer import TimerHandle

__all__ = [
    "ActorGroups",
    "ActorRuntime",
    "Bridge",
    "ClusterEvents",
    "Delivery",
    "Group",
    "HeldReplica",
    "LocalRef",
    "NewRuntime",
    "OpenRuntime",
    "PerdureRuntime",
    "Receive",
    "Ref",
    "RuntimeMetrics",
    "TimerHandle",
    "open_runtime",
]
