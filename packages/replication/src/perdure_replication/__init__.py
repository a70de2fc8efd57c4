"""Replicated state: each node owns its part, and reads that of all others at once."""

from perdure_replication import errors
from perdure_replication._frames import Frame, decode_frame, encode_frame
from perdure_replication._generation import Generation
from perdure_replication._member import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication._membership import Membership, Report
from perdure_replication._memory import MemoryHub
from perdure_replication._messages import (
    Delta,
    Digest,
    Feed,
    Goodbye,
    Hello,
    Message,
    Obsolete,
    Pull,
    Snapshot,
    Standing,
    Unchanged,
    Withheld,
)
from perdure_replication._transport import Receive, Transport

__all__ = [
    "Delta",
    "Digest",
    "Feed",
    "Frame",
    "Generation",
    "Goodbye",
    "Hello",
    "Joined",
    "Left",
    "Member",
    "Membership",
    "MembershipEvent",
    "MemoryHub",
    "Message",
    "Obsolete",
    "Pull",
    "Receive",
    "Report",
    "Snapshot",
    "Standing",
    "Transport",
    "Unchanged",
    "Unreachable",
    "Withheld",
    "decode_frame",
    "encode_frame",
    "errors",
]
