"""What an engine asks its shell to do."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from perdure_replication._envelopes import Change, Freshness, StateObject
from perdure_replication._generation import Generation
from perdure_replication._member import MembershipEvent
from perdure_replication._messages import Message, Snapshot


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message to some members."""

    peers: tuple[str, ...]
    message: Message
    incarnation: int
    """The frame's."""
    sent: int
    """The frame's `sent`: also when it has waited for its link, it says what was true then."""
    everyone: bool = False
    """Whether it is meant for all members that can be reached."""


class Persist(msgspec.Struct, frozen=True, gc=False):
    """Store a shard, then tell `Persisted` or `PersistFailed`. Storing the same again is harmless."""

    token: int
    record: StateObject
    changes: tuple[Any, ...]
    """What the mutations in it returned as their changes; empty for states without deltas."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Get an incarnation of at least so much, store it, and tell `Claimed`."""

    at_least: int


class Retain(msgspec.Struct, frozen=True, gc=False):
    """Give the transport the last snapshot of a state to keep."""

    message: Snapshot
    incarnation: int
    sent: int


class Wake(msgspec.Struct, frozen=True, gc=False):
    """Tell `Tick` at this moment of the monotonic clock; earlier wishes are void."""

    at: float


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A mutation is made, or has failed and changed nothing."""

    token: int
    result: Generation | Exception


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A query is answered: views are as fresh as this."""

    token: int
    freshness: Freshness


class Notify(msgspec.Struct, frozen=True, gc=False):
    """A view has changed, own or other."""

    change: Change[Any]


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """A letter has come from a member in its present life."""

    peer: str
    incarnation: int
    line: str
    body: bytes


class Turnout(msgspec.Struct, frozen=True, gc=False):
    """A member listens now (`Joined`), or not any more; in a later life it is `Joined` without a word between."""

    event: MembershipEvent


class Note(msgspec.Struct, frozen=True, gc=False):
    """Something that belongs in a log."""

    level: Literal["debug", "info", "warning", "error"]
    text: str
    state: str = ""
    peer: str = ""


Action: TypeAlias = Send | Persist | Claim | Retain | Wake | Settled | Answered | Notify | Deliver | Turnout | Note
