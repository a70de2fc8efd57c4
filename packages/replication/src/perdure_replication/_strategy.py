"""When peers learn of a mutation."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

VersionPolicy: TypeAlias = Literal["keep_stale", "drop_and_wait", "request_reserialization"]
"""What a reader does about a view of a version that it does not read.

`keep_stale` keeps the last good view. `drop_and_wait` forgets it. `request_reserialization` keeps it, and asks the
owner for a version that is read here. In each case answers name the peer as incompatible, and the next message that can
be read ends it.
"""

_PUSHES = ("none", "feed", "active")


class SyncStrategy(msgspec.Struct, frozen=True):
    """How far mutations of a state are carried, and when. Two are joined by `|`.

    Whatever it says, digests make good what was lost: who is behind what was pushed pulls, who is behind what exists
    knows that its view is stale.
    """

    push: Literal["active", "feed", "none"] = "active"
    """With each mutation, its value (`active`), a short note in the next feed (`feed`), or nothing (`none`)."""
    periodic: float | None = None
    """Push a snapshot every so many seconds in which something was mutated."""
    pull_on_query: bool = True
    """Pull what a query finds stale, before it is answered."""

    def __post_init__(self) -> None:
        if self.periodic is not None and not self.periodic > 0:
            raise ValueError(f"a periodic sync takes more than 0 seconds, not {self.periodic!r}: use None for none")

    def __or__(self, other: SyncStrategy) -> SyncStrategy:
        """Return what does all that either does: the stronger push, the shorter period."""
        periods = [period for period in (self.periodic, other.periodic) if period is not None]
        return SyncStrategy(
            max(self.push, other.push, key=_PUSHES.index),
            min(periods, default=None),
            self.pull_on_query or other.pull_on_query,
        )

    @property
    def reaches(self) -> bool:
        """Whether a mutation can reach a peer without one that is urgent, and without a digest."""
        return self.push != "none" or self.periodic is not None or self.pull_on_query

    @classmethod
    def active_push(cls) -> SyncStrategy:
        """Push each mutation at once."""
        return cls("active")

    @classmethod
    def feed_lazy_pull(cls) -> SyncStrategy:
        """Note mutations in the feed; peers pull when they are asked for something fresh."""
        return cls("feed")

    @classmethod
    def feed_with_periodic_sync(cls, seconds: float) -> SyncStrategy:
        """Note mutations in the feed, and push a snapshot now and then."""
        return cls("feed", seconds)

    @classmethod
    def periodic_only(cls, seconds: float) -> SyncStrategy:
        """Push a snapshot now and then, and nothing at a mutation."""
        return cls("none", seconds)

    @classmethod
    def pull_only(cls) -> SyncStrategy:
        """Push nothing; peers pull when they are asked for something fresh."""
        return cls("none")


class SyncUrgency(msgspec.Struct, frozen=True):
    """How urgent one mutation is. Whatever goes out carries all that was held back before it."""

    kind: Literal["immediate", "default", "delayed", "suppress"]
    seconds: float = 0.0

    @classmethod
    def immediate(cls) -> SyncUrgency:
        """Push at once, whatever the strategy."""
        return _IMMEDIATE

    @classmethod
    def default(cls) -> SyncUrgency:
        """Do as the strategy says."""
        return _DEFAULT

    @classmethod
    def delayed(cls, seconds: float) -> SyncUrgency:
        """Push within so many seconds; the first delay of several stands, and its push carries them all."""
        if not seconds >= 0:
            raise ValueError(f"a mutation is delayed by 0 seconds or more, not by {seconds!r}")
        return cls("delayed", seconds)

    @classmethod
    def suppress(cls) -> SyncUrgency:
        """Push nothing now: the next push carries it, and so does every pull."""
        return _SUPPRESS


_IMMEDIATE = SyncUrgency("immediate")
_DEFAULT = SyncUrgency("default")
_SUPPRESS = SyncUrgency("suppress")
