"""Who is a member, as one node knows it: a pure object that is told what happens, and says what is to be reported.

A node's own word, on a connection that proves who it is, counts before everything. So a member is reported when it has
said that it is one; it is unreachable when it has had no connection for some time, in which this process did run; it
has left when it said so, or when it was unreachable for long. Hearsay does two things only. It says whom to call; and a
node that has no connection here has left, if a third one heard that from it.
"""

from __future__ import annotations

from typing import Literal

from perdure_replication._member import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication.tcp._words import MOST_MEMBERS, Introduction, Known, spoken_of


class _Entry:
    """One other node."""

    __slots__ = ("first_hand", "member", "since", "state")

    def __init__(self, member: Member, state: Literal["rumoured", "here", "unreachable", "left"], since: float) -> None:
        self.member = member
        self.state = state
        self.since = since
        """When it lost its connection, became unreachable, left, or was first heard of."""
        self.first_hand = False
        """Whether it said itself that it leaves."""


class Roster:
    """All that a membership over connections decides."""

    def __init__(self, name: str, *, suspicion: float, forget_after: float) -> None:
        """Take the seconds without a connection until a member is unreachable, and from there until it has left."""
        self.name = name
        """Of this node."""
        self._suspicion = suspicion
        self._forget_after = forget_after
        self._linked: set[str] = set()
        self._entries: dict[str, _Entry] = {}

    def present(self) -> list[Member]:
        """Return the members that are there, as far as is known."""
        return [entry.member for entry in self._entries.values() if entry.state == "here"]

    def introduction(self) -> Introduction:
        """Return what is to be said to others of third nodes."""
        entries = list(self._entries.values())
        members = [each.member for each in entries if each.state == "here" and each.member.name in self._linked]
        departed = [each.member for each in entries if each.state == "left" and each.first_hand]
        return Introduction(spoken_of(members), spoken_of(departed))

    def linked(self, name: str) -> None:
        """Learn that there is a connection to a node."""
        self._linked.add(name)

    def unlinked(self, name: str, now: float) -> None:
        """Learn that there is none any more."""
        self._linked.discard(name)
        entry = self._entries.get(name)
        if entry is not None and entry.state == "here":
            entry.since = now

    def here(self, member: Member, now: float) -> list[MembershipEvent]:
        """Hear from a node that it is a member."""
        if not self._has_room(member.name) and not self._make_room():
            return []
        self._entries[member.name] = _Entry(member, "here", now)
        return [Joined(member)]

    def leaving(self, name: str, incarnation: int, now: float) -> list[MembershipEvent]:
        """Hear from a node that it leaves."""
        entry = self._entries.get(name)
        if entry is None or incarnation < entry.member.incarnation or entry.state == "left":
            return []
        entry.first_hand = True
        return self._end(entry, now)

    def introduced(self, word: Introduction, now: float) -> tuple[list[MembershipEvent], list[Member]]:
        """Hear of third nodes. Returns what is to be reported, and who is to be called."""
        events: list[MembershipEvent] = []
        for gone in word.departed:
            entry = self._entries.get(gone.name)
            is_believed = entry is not None and entry.member.incarnation <= gone.incarnation
            if entry is not None and is_believed and gone.name not in self._linked and entry.state != "left":
                events += self._end(entry, now)
        return events, [self._rumoured(known, now) for known in word.members if self._is_to_be_called(known)]

    def tick(self, now: float, forgiven: float = 0.0) -> tuple[list[MembershipEvent], list[str]]:
        """Let time pass. Returns what is to be reported, and who need not be called any more.

        `forgiven` are the seconds in which this process did not run: nobody is blamed for them.
        """
        events: list[MembershipEvent] = []
        forgotten: list[str] = []
        for name, entry in list(self._entries.items()):
            entry.since = min(now, entry.since + forgiven)
            waited = now - entry.since
            if name in self._linked and entry.state == "here":
                continue
            if entry.state == "here" and waited > self._suspicion:
                entry.state, entry.since = "unreachable", now
                events.append(Unreachable(name, entry.member.incarnation))
            elif waited > self._forget_after:
                events += self._forget(name, entry, now)
                forgotten.append(name)
        return events, forgotten

    def _forget(self, name: str, entry: _Entry, now: float) -> list[MembershipEvent]:
        if entry.state in ("here", "unreachable"):
            return self._end(entry, now)
        del self._entries[name]
        return []

    def _end(self, entry: _Entry, now: float) -> list[MembershipEvent]:
        was_member = entry.state in ("here", "unreachable")
        entry.state, entry.since = "left", now
        return [Left(entry.member.name, entry.member.incarnation)] if was_member else []

    def _is_to_be_called(self, known: Known) -> bool:
        is_other = known.name != self.name and known.name not in self._linked
        return is_other and bool(known.address) and self._has_room(known.name)

    def _rumoured(self, known: Known, now: float) -> Member:
        member = Member(known.name, known.incarnation, known.address)
        entry = self._entries.get(known.name)
        if entry is None:
            self._entries[known.name] = _Entry(member, "rumoured", now)
        elif entry.state == "rumoured":
            entry.member = member
        return member

    def _has_room(self, name: str) -> bool:
        return name in self._entries or len(self._entries) < MOST_MEMBERS

    def _make_room(self) -> bool:
        """Forget a node that is none of the members."""
        name = next((name for name, each in self._entries.items() if each.state in ("rumoured", "left")), None)
        return name is not None and self._entries.pop(name) is not None
