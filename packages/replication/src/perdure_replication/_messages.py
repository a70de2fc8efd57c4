"""What nodes say to each other.

Every message speaks of its sender alone, so none has a field for a source: the frame names it, and the transport proves
it. Messages are MessagePack arrays, the first element the kind. How they may change: a field is appended, with a
default, which old readers pass over and new readers fill in; a kind that a reader does not know is a frame that it
drops and counts. Nothing is ever removed or given another meaning.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from perdure_replication._generation import Generation, Number

MAX_NAME = 256
"""The greatest number of characters of a node's or a cluster's name, and of a state's."""
MAX_STATES = 1024
"""The greatest number of replicated states of a node."""
MAX_DELTAS = 256
"""The greatest number of deltas in one message."""

Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Version: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Versions: TypeAlias = Annotated[tuple[Version, ...], msgspec.Meta(min_length=1, max_length=64)]
Token: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Standing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far a shard is, and how much of it was pushed to all."""

    generation: Generation
    pushed: Number
    """The age that was pushed last: who has less, and cannot be waiting for it, has lost it."""


Standings: TypeAlias = Annotated[dict[Name, Standing], msgspec.Meta(max_length=MAX_STATES)]
Generations: TypeAlias = Annotated[dict[Name, Generation], msgspec.Meta(max_length=MAX_STATES)]
Readable: TypeAlias = Annotated[dict[Name, Versions], msgspec.Meta(max_length=MAX_STATES)]


class Hello(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The first word to a member: all my shards, what I read, and what I hold of yours. It is answered where asked."""

    standings: Standings
    reads: Readable
    """The wire versions that I read, of each state that I have."""
    holds: Generations
    """What I hold of your shards: send me what is newer."""
    answer: bool


class Digest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """All my shards, said now and then: what is not named I do not have."""

    standings: Standings


class Snapshot(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A whole view."""

    state: Name
    generation: Generation
    version: Version
    created: Number
    """When the shard began, in milliseconds since 1970 on the owner's clock."""
    modified: Number
    """When its last mutation was made, likewise."""
    view: bytes
    token: Token = 0
    """Of the pull that this answers; 0 for a push."""


class Delta(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """What leads a view from the age `base` to that of `generation`: one delta for each age, or one for all."""

    state: Name
    base: Number
    generation: Generation
    version: Version
    modified: Number
    deltas: Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1, max_length=MAX_DELTAS)]
    token: Token = 0


class Feed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Shards that have changed, without their values: pull them when you need them."""

    changes: Generations


class Pull(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Send me what is newer than `known`. The answer has my token."""

    state: Name
    known: Generation | None
    reads: Versions
    token: Token


class Unchanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """What the pull knew is what there is."""

    state: Name
    generation: Generation
    token: Token


class Withheld(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The pull cannot be answered: I have no such state, write no version that you read, or it is too large to send."""

    state: Name
    reason: Literal["unknown", "version", "size"]
    token: Token


class Obsolete(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """What you said is behind what I know of you: if you are not past `generation`, begin a greater life."""

    said: Number
    """The incarnation under which it was said: whoever is in another life by now need not care."""
    generation: Generation
    """What I hold of `state`, or the life that I took for your last."""
    state: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    """Empty where all that was said is dismissed."""


class Goodbye(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """I leave."""


class Letter(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """Something beside replicated state, for whoever has opened the line of this name."""

    line: Name
    body: bytes


Message: TypeAlias = (
    Hello | Digest | Snapshot | Delta | Feed | Pull | Unchanged | Withheld | Obsolete | Goodbye | Letter
)
