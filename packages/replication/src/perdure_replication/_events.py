"""What an engine is told. Members that join and leave are told as the membership reports them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from perdure_replication._member import Joined, Left, Unreachable
from perdure_replication._strategy import SyncUrgency


class Start(msgspec.Struct, frozen=True, gc=False):
    """Begin."""


class Mutate(msgspec.Struct, frozen=True, gc=False):
    """Change the own shard of a state. It is answered by `Settled`, at once or when it is stored."""

    token: int
    state: str
    change: Callable[[Any], Any]
    """Takes the state; returns the new one or, of a delta state, the new one and the change."""
    wall: int
    """The time, in milliseconds since 1970."""
    urgency: SyncUrgency | None = None


class Persisted(msgspec.Struct, frozen=True, gc=False):
    """What `Persist` asked for is durable."""

    token: int


class PersistFailed(msgspec.Struct, frozen=True, gc=False):
    """What `Persist` asked for failed: surely, or with an unknown outcome."""

    token: int
    error: Exception
    unknown: bool = False


class Received(msgspec.Struct, frozen=True, gc=False):
    """A frame has come from a peer that the transport has proved."""

    peer: str
    frame: bytes
    waited: float = 0.0
    """Seconds since it came."""


class Recalled(msgspec.Struct, frozen=True, gc=False):
    """A frame was found that a node had kept for those who come later."""

    peer: str
    frame: bytes


class Query(msgspec.Struct, frozen=True, gc=False):
    """Say how fresh the views of a state are, after pulling what is not. It is answered by `Answered`."""

    token: int
    state: str
    max_staleness: float
    timeout: float
    """Seconds after which it is answered with what there is."""


class Forget(msgspec.Struct, frozen=True, gc=False):
    """Whoever sent this query waits no longer."""

    token: int


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """What `Claim` asked for is given, and stored."""

    incarnation: int


class FenceOff(msgspec.Struct, frozen=True, gc=False):
    """Another process is this node now."""

    reason: str


class Post(msgspec.Struct, frozen=True, gc=False):
    """Send a letter to some members."""

    peers: tuple[str, ...]
    line: str
    body: bytes


class Leave(msgspec.Struct, frozen=True, gc=False):
    """Say goodbye, and say nothing more."""


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Time has passed: the moment of the last `Wake`, or any other."""


Event: TypeAlias = (
    Start
    | Mutate
    | Persisted
    | PersistFailed
    | Received
    | Recalled
    | Query
    | Forget
    | Claimed
    | FenceOff
    | Post
    | Leave
    | Tick
    | Joined
    | Unreachable
    | Left
)
