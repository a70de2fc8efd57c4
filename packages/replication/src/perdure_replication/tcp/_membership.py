"""The membership over the links of a TCP transport."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from random import Random

from perdure_replication._fields import fields
from perdure_replication._member import Joined, Left, Member, MembershipEvent
from perdure_replication._membership import Membership, Report
from perdure_replication.tcp._address import address_of
from perdure_replication.tcp._links import Watcher
from perdure_replication.tcp._roster import Roster
from perdure_replication.tcp._settings import TcpSettings
from perdure_replication.tcp._transport import TcpTransport
from perdure_replication.tcp._words import Here, Introduction, Leaving, Word, decode_word, encode_word, spoken_of

_log = logging.getLogger("perdure.replication.tcp")


class TcpMembership(Membership, Watcher):
    """Finds the other nodes from a few addresses, and watches the links to all of them."""

    def __init__(
        self,
        transport: TcpTransport,
        seeds: Sequence[str] = (),
        *,
        settings: TcpSettings | None = None,
        seed: int | None = None,
    ) -> None:
        """Take this node's transport, and addresses of which one at least is a member that runs.

        All nodes may have the same list; their own address in it does no harm. `seed` is for tests.
        Raises `InvalidTransport` for what is no address.
        """
        self._transport = transport
        self._seeds = [str(address_of(each)) for each in seeds]
        self._settings = settings or TcpSettings()
        self._random = Random(seed)
        self._roster = Roster("", suspicion=self._settings.suspicion, forget_after=self._settings.forget_after)
        self._member: Member | None = None
        self._report: Report | None = None
        self._introduce_at = 0.0
        transport.watch(self)

    # The port

    async def join(self, member: Member, report: Report) -> None:
        """Call the seeds, and say to all who are linked that this node is a member."""
        self._member, self._report = member, report
        self._roster.name = member.name
        for seed in self._seeds:
            self._transport.seek(seed)
        for name in self._transport.links:
            self._present(name)
        self._tell([Joined(each) for each in self._roster.present()])

    async def announce(self, member: Member) -> None:
        """Say to all who are linked that this node has another incarnation."""
        self._transport.renew(member.incarnation)
        if self._member is not None:
            self._member = member
            for name in self._transport.links:
                self._say(name, Here(member.incarnation, member.address))

    async def leave(self) -> None:
        """Say to all who are linked that this life is over."""
        member, self._member, self._report = self._member, None, None
        self._transport.unseek()
        if member is not None:
            for name in self._transport.links:
                self._say(name, Leaving(member.incarnation))

    async def close(self) -> None:
        self._member = self._report = None
        self._transport.unseek()

    # What the transport tells

    def linked(self, name: str) -> None:
        self._roster.linked(name)
        self._present(name)

    def unlinked(self, name: str) -> None:
        self._roster.unlinked(name, self._transport.now)

    def heard(self, name: str, word: bytes) -> None:
        match decode_word(word):
            case Here(incarnation, address):
                self._tell(self._roster.here(Member(name, incarnation, address), self._transport.now))
            case Leaving(incarnation):
                self._tell(self._roster.leaving(name, incarnation, self._transport.now))
            case Introduction() as introduction:
                self._meet(introduction)
            case None:
                text = "a word of %r about members cannot be understood: is it of a later version?"
                own = self._member.name if self._member is not None else None
                _log.warning(text, name[:80], extra=fields(node=own, peer=name[:80]))

    def superseded(self, incarnation: int) -> None:
        if self._member is not None and self._report is not None:
            self._report(Joined(Member(self._member.name, incarnation)))

    def hear_of(self, members: Iterable[Member]) -> None:
        """Learn of nodes from elsewhere: they are called, and are members when they say so themselves."""
        self._meet(Introduction(spoken_of(members), ()))

    def _meet(self, introduction: Introduction) -> None:
        events, members = self._roster.introduced(introduction, self._transport.now)
        self._tell(events)
        for member in members:
            self._transport.peer_up(member)

    def pulse(self, now: float, forgiven: float) -> None:
        events, forgotten = self._roster.tick(now, forgiven)
        self._tell(events)
        for name in forgotten:
            self._transport.peer_down(name)
        if now >= self._introduce_at and self._member is not None:
            self._introduce_at = now + self._settings.introduction * (0.5 + self._random.random())
            if self._transport.links:
                self._say(self._random.choice(self._transport.links), self._roster.introduction())

    def _present(self, name: str) -> None:
        if self._member is not None:
            self._say(name, Here(self._member.incarnation, self._member.address))
            self._say(name, self._roster.introduction())

    def _say(self, name: str, word: Word) -> None:
        self._transport.tell(name, encode_word(word))

    def _tell(self, events: Iterable[MembershipEvent]) -> None:
        for event in events:
            if isinstance(event, Left):
                self._transport.peer_down(event.name)
            if self._report is not None:
                self._report(event)
