"""Ports that are broken, each in one way: `test_broken_ports.py` runs this file by itself."""

# ruff: noqa: D106
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

import pytest

from perdure_replication import Joined, Left, Member, MembershipEvent, MemoryHub, Transport
from perdure_replication._membership import Membership, Report
from perdure_replication._memory import _HubMembership, _HubTransport
from perdure_replication._transport import Receive
from perdure_replication.testing import Guest, MembershipContract, NewPorts, NewTransport, TransportContract


class Sound(_HubTransport):
    """The transport of a hub, to be broken."""


class BrokenTransport(TransportContract):
    __test__ = False
    patience = 0.3
    kind: ClassVar[Callable[[MemoryHub], Transport]] = Sound

    @pytest.fixture
    def new_transport(self) -> NewTransport:
        hub, kind = MemoryHub(), type(self).kind
        return lambda: kind(hub)


class TestSoundTransport(BrokenTransport):
    __test__ = True


class TestDoubling(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def send(self, peer: str, frame: bytes) -> None:
            await super().send(peer, frame)
            await super().send(peer, frame)


class TestNameless(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def start(self, local: Member, receive: Receive) -> str:
            return await super().start(local, lambda _, frame: receive("somebody", frame))


class TestCutting(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def send(self, peer: str, frame: bytes) -> None:
            await super().send(peer, frame[:65_536])


class TestStripping(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def send(self, peer: str, frame: bytes) -> None:
            await super().send(peer, frame.strip())


class TestOvertaking(BrokenTransport):
    __test__ = True

    class kind(Sound):
        held: bytes | None = None

        async def send(self, peer: str, frame: bytes) -> None:
            if frame.isdigit() and self.held is None:
                self.held = frame
                return
            await super().send(peer, frame)
            if self.held is not None:
                frame, self.held = self.held, None
                await super().send(peer, frame)


class TestSilentOfTheLost(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def send(self, peer: str, frame: bytes) -> None:
            if peer in self._hub._receivers:
                await super().send(peer, frame)


class TestUnlimited(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def send(self, peer: str, frame: bytes) -> None:
            self._hub._carry(self._name, peer, frame)


class TestEchoing(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def send(self, peer: str, frame: bytes) -> None:
            await super().send(peer, frame)
            await super().send(self._name, frame)


class TestNeverClosing(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def close(self) -> None:
            pass


class TestLeavingATask(BrokenTransport):
    __test__ = True

    class kind(Sound):
        async def start(self, local: Member, receive: Receive) -> str:
            self.task = asyncio.ensure_future(asyncio.sleep(1000))
            return await super().start(local, receive)


class SoundMembership(_HubMembership):
    """The membership of a hub, to be broken."""


class BrokenMembership(MembershipContract):
    __test__ = False
    patience = 0.3
    kind: ClassVar[Callable[[MemoryHub], Membership]] = SoundMembership

    @pytest.fixture
    def new_ports(self) -> NewPorts:
        self.hub, kind = MemoryHub(), type(self).kind
        return lambda: (self.hub.transport(), kind(self.hub))

    async def lose(self, guest: Guest) -> None:
        self.hub.lose(guest.name)
        await guest.transport.close()


class TestSoundMembership(BrokenMembership):
    __test__ = True


class TestGreetingNobody(BrokenMembership):
    __test__ = True

    class kind(SoundMembership):
        joined = False

        async def join(self, member: Member, report: Report) -> None:
            await super().join(member, lambda event: report(event) if self.joined else None)
            self.joined = True


class TestSelfish(BrokenMembership):
    __test__ = True

    class kind(SoundMembership):
        async def join(self, member: Member, report: Report) -> None:
            await super().join(member, report)
            report(Joined(member))


class TestLeavingInSilence(BrokenMembership):
    __test__ = True

    class kind(SoundMembership):
        async def leave(self) -> None:
            self._hub._members.pop(self._name, None)
            self._report = None


class TestNumberless(BrokenMembership):
    __test__ = True

    class kind(SoundMembership):
        async def join(self, member: Member, report: Report) -> None:
            def numberless(event: MembershipEvent) -> None:
                report(Left(event.name, 0) if isinstance(event, Left) else event)

            await super().join(member, numberless)


class TestKeepingTheFirst(BrokenMembership):
    __test__ = True

    class kind(SoundMembership):
        async def announce(self, member: Member) -> None:
            pass


class TestClaimingLess(BrokenMembership):
    __test__ = True

    class kind(SoundMembership):
        async def claim(self, name: str, at_least: int) -> int:
            return 1


class TestTalkingOn(BrokenMembership):
    __test__ = True

    class kind(SoundMembership):
        async def leave(self) -> None:
            member, _ = self._hub._members[self._name]
            self._hub._tell(self._name, Left(self._name, member.incarnation))

        async def close(self) -> None:
            self._hub._members.pop(self._name, None)
