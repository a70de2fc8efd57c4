"""Who is there, from their beats: pure, so that it is told the time.

A node is there as long as its beats go on: each has a greater number than the one before, so an old one says nothing,
whoever repeats it. Silence counts only while somebody listened: a broker that was away makes nobody unreachable, and a
process that was stopped for an hour knows nothing of that hour. When frames may have been missed, the next beat of a
member is reported as if it had been unreachable for a moment, so that the node greets it and asks for what it lacks.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from perdure_replication._generation import Number
from perdure_replication._member import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication._messages import Name
from perdure_replication.redis._letters import INSTANCE_BYTES

_Place: TypeAlias = Literal["here", "lost", "left"]


class Beat(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The word of a node that it is there, or has left."""

    name: Name
    incarnation: Number
    instance: Annotated[bytes, msgspec.Meta(min_length=INSTANCE_BYTES, max_length=INSTANCE_BYTES)]
    """Of the process."""
    number: Number
    """Greater than that of the beat before."""
    sent: Number
    """In milliseconds since 1970."""
    address: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    left: bool = False

    @property
    def member(self) -> Member:
        return Member(self.name, self.incarnation, self.address)

    @property
    def order(self) -> tuple[int, int]:
        return self.incarnation, self.number


class _Known:
    __slots__ = ("beat", "missed", "moved", "place")

    def __init__(self, beat: Beat, moved: float, place: _Place) -> None:
        self.beat = beat
        self.moved = moved
        """When its last beat came, in the time for which we listened."""
        self.place = place
        self.missed = False
        """Whether it may have said something that we have missed."""


class Roster:
    """The other nodes, as one node knows them."""

    def __init__(self, own: str, *, unreachable_after: float, forget_after: float, longest_step: float, most: int):
        """Count at most `longest_step` seconds of silence for a step of time, and know at most `most` nodes."""
        self.own = own
        """The name of this node, of which nothing is reported."""
        self._unreachable_after = unreachable_after
        self._forget_after = forget_after
        self._longest_step = longest_step
        self._most = most
        self._known: dict[str, _Known] = {}
        self._listened = 0.0
        self._now: float | None = None
        self.turned_away = 0
        """How many beats came from nodes for which there was no room."""

    def last(self, name: str) -> Beat | None:
        """Return the last beat of a node, if it is known."""
        known = self._known.get(name)
        return None if known is None else known.beat

    def hear(self, beat: Beat) -> list[MembershipEvent]:
        """Take a beat. Returns what it shows."""
        known = self._known.get(beat.name)
        if beat.name == self.own or (known is not None and beat.order <= known.beat.order):
            return []
        if known is None and len(self._known) >= self._most:
            self.turned_away += 1
            return []
        self._known[beat.name] = _Known(beat, self._listened, "left" if beat.left else "here")
        if beat.left:
            return [] if known is None or known.place == "left" else [Left(beat.name, beat.incarnation)]
        if known is None or known.place != "here" or known.beat.member != beat.member:
            return [Joined(beat.member)]
        return [Unreachable(beat.name, beat.incarnation), Joined(beat.member)] if known.missed else []

    def pass_time(self, now: float) -> list[MembershipEvent]:
        """Take note of the time, having listened since the last call. Returns who has been silent for too long."""
        if self._now is not None:
            self._listened += min(now - self._now, self._longest_step)
        self._now = now
        return [event for name in list(self._known) for event in self._silence(name)]

    def listen_again(self) -> None:
        """Take note that nobody could be heard until now."""
        for known in self._known.values():
            known.moved = self._listened

    def greet_again(self) -> None:
        """Take note that frames may have been missed until now: with its next beat each member joins again."""
        for known in self._known.values():
            known.missed = True

    def _silence(self, name: str) -> list[MembershipEvent]:
        known = self._known[name]
        silent, incarnation = self._listened - known.moved, known.beat.incarnation
        if known.place == "here" and silent >= self._unreachable_after:
            known.place = "lost"
            return [Unreachable(name, incarnation)]
        if silent < self._forget_after:
            return []
        del self._known[name]
        return [Left(name, incarnation)] if known.place == "lost" else []
