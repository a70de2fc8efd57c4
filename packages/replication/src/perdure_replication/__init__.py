"""Replicated state: each node owns its part, and reads that of all others at once."""

from perdure_replication import errors
from perdure_replication._actions import (
    Action,
    Answered,
    Claim,
    Deliver,
    Note,
    Notify,
    Persist,
    Retain,
    Send,
    Settled,
    Turnout,
    Wake,
)
from perdure_replication._changes import Changes
from perdure_replication._engine import Engine
from perdure_replication._envelopes import Change, Freshness, StateObject, StateView
from perdure_replication._events import (
    Claimed,
    Event,
    FenceOff,
    Forget,
    Leave,
    Mutate,
    Persisted,
    PersistFailed,
    Post,
    Query,
    Recalled,
    Received,
    Start,
    Tick,
)
from perdure_replication._frames import Frame, decode_frame, encode_frame
from perdure_replication._generation import Generation
from perdure_replication._line import Line, Listen
from perdure_replication._member import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication._membership import Membership, Report
from perdure_replication._memory import MemoryHub
from perdure_replication._messages import (
    Delta,
    Digest,
    Feed,
    Goodbye,
    Hello,
    Letter,
    Message,
    Obsolete,
    Pull,
    Snapshot,
    Standing,
    Unchanged,
    Withheld,
)
from perdure_replication._metrics import Health, Metrics, PeerStatus
from perdure_replication._node import Node
from perdure_replication._outbox import Outbox, Outgoing
from perdure_replication._persistence import BackendPersistence, StatePersistence, StoredKey
from perdure_replication._ports import OpenPorts, Ports, open_ports
from perdure_replication._replica import Answer, Replica
from perdure_replication._restoring import Restored, restore
from perdure_replication._settings import Limits, Settings
from perdure_replication._shard import Shard
from perdure_replication._state import DeltaDistributedState, DistributedState, ReplicatedState
from perdure_replication._strategy import SyncStrategy, SyncUrgency, VersionPolicy
from perdure_replication._transport import Receive, Transport
from perdure_replication.errors import Fenced, ReplicationError
from perdure_replication.keyed import Held, Keyed, KeyedChange, KeyedState, StoredKeyed
from perdure_replication.replicas import HotStandby, Published, Replicas, Replicated, View, ViewChange, replicate
from perdure_replication.topics import Latest, Pace

__all__ = [
    "Action",
    "Answer",
    "Answered",
    "BackendPersistence",
    "Change",
    "Changes",
    "Claim",
    "Claimed",
    "Deliver",
    "Delta",
    "DeltaDistributedState",
    "Digest",
    "DistributedState",
    "Engine",
    "Event",
    "Feed",
    "FenceOff",
    "Fenced",
    "Forget",
    "Frame",
    "Freshness",
    "Generation",
    "Goodbye",
    "Health",
    "Held",
    "Hello",
    "HotStandby",
    "Joined",
    "Keyed",
    "KeyedChange",
    "KeyedState",
    "Latest",
    "Leave",
    "Left",
    "Letter",
    "Limits",
    "Line",
    "Listen",
    "Member",
    "Membership",
    "MembershipEvent",
    "MemoryHub",
    "Message",
    "Metrics",
    "Mutate",
    "Node",
    "Note",
    "Notify",
    "Obsolete",
    "OpenPorts",
    "Outbox",
    "Outgoing",
    "Pace",
    "PeerStatus",
    "Persist",
    "PersistFailed",
    "Persisted",
    "Ports",
    "Post",
    "Published",
    "Pull",
    "Query",
    "Recalled",
    "Receive",
    "Received",
    "Replica",
    "Replicas",
    "Replicated",
    "ReplicatedState",
    "ReplicationError",
    "Report",
    "Restored",
    "Retain",
    "Send",
    "Settings",
    "Settled",
    "Shard",
    "Snapshot",
    "Standing",
    "Start",
    "StateObject",
    "StatePersistence",
    "StateView",
    "StoredKey",
    "StoredKeyed",
    "SyncStrategy",
    "SyncUrgency",
    "Tick",
    "Transport",
    "Turnout",
    "Unchanged",
    "Unreachable",
    "VersionPolicy",
    "View",
    "ViewChange",
    "Wake",
    "Withheld",
    "decode_frame",
    "encode_frame",
    "errors",
    "open_ports",
    "replicate",
    "restore",
]
