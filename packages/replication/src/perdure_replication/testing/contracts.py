"""What every transport and every membership must do, as tests: inherit a class, and give it one fixture.

It needs pytest and pytest-asyncio. The tests take real time only as far as the port does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, TypeAlias

import pytest
import pytest_asyncio

from perdure_replication._member import Joined, Left, Member, MembershipEvent
from perdure_replication._membership import Membership
from perdure_replication._transport import Transport
from perdure_replication.errors import PeerUnreachable

__all__ = ["MakeMembership", "MakeTransport", "MembershipContract", "TransportContract"]

MakeTransport: TypeAlias = Callable[[], Transport]
"""Makes the transport of one more node of one cluster. What it needs to prove its name it learns at `start`."""
MakeMembership: TypeAlias = Callable[[], Membership]
"""Makes the membership of one more node of one cluster."""


class _Inbox:
    """What a port has told, for whoever waits for it."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self._came = asyncio.Event()

    def put(self, *told: Any) -> None:
        self.got.append(told if len(told) > 1 else told[0])
        self._came.set()

    async def until(self, holds: Callable[[list[Any]], bool], within: float) -> None:
        """Wait until something holds of all that was told. Fails with what was told instead."""
        try:
            async with asyncio.timeout(within):
                while not holds(self.got):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            pytest.fail(f"after {within} s it has told only: {self.got}")


class _Started:
    def __init__(self, member: Member, transport: Transport, inbox: _Inbox) -> None:
        self.member = member
        self.transport = transport
        self.inbox = inbox


class TransportContract:
    """A transport keeps its promises. Override `make`."""

    patience: ClassVar[float] = 10.0
    """Seconds within which a frame arrives."""

    @pytest.fixture
    def make(self) -> MakeTransport:
        """Return what makes the transports of one cluster."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def start(self, make: MakeTransport) -> AsyncIterator[Callable[..., Any]]:
        """Return a function that starts a node and lets it and the others know each other."""
        started: list[_Started] = []

        async def start(name: str, incarnation: int = 1) -> _Started:
            inbox, transport = _Inbox(), make()
            address = await transport.start(Member(name, incarnation), inbox.put)
            node = _Started(Member(name, incarnation, address), transport, inbox)
            for other in started:
                other.transport.peer_up(node.member)
                transport.peer_up(other.member)
            started.append(node)
            return node

        yield start
        for node in started:
            await node.transport.close()

    async def test_a_frame_arrives_whole_with_the_name_of_its_sender(self, start: Any) -> None:
        """In both directions."""
        a, b = await start("a"), await start("b")

        await a.transport.send("b", b"from a")
        await b.inbox.until(lambda got: got == [("a", b"from a")], self.patience)
        await b.transport.send("a", b"from b")
        await a.inbox.until(lambda got: got == [("b", b"from b")], self.patience)

    async def test_frames_of_a_link_arrive_in_their_order(self, start: Any) -> None:
        """Each once."""
        a, b = await start("a"), await start("b")
        frames = [b"%d" % number for number in range(500)]

        for frame in frames:
            await a.transport.send("b", frame)

        await b.inbox.until(lambda got: len(got) >= len(frames), self.patience)
        assert b.inbox.got == [("a", frame) for frame in frames]

    async def test_frames_of_several_senders_stay_whole(self, start: Any) -> None:
        """However they meet on the way."""
        sink, senders = await start("sink"), [await start(name) for name in "abc"]

        await asyncio.gather(
            *(each.transport.send("sink", each.member.name.encode() * size) for each in senders for size in (1, 70_000))
        )

        await sink.inbox.until(lambda got: len(got) >= 6, self.patience)
        assert sorted(sink.inbox.got) == sorted((name, name.encode() * size) for name in "abc" for size in (1, 70_000))

    async def test_a_large_frame_arrives(self, start: Any) -> None:
        """Of a million bytes, or as many as it takes (STRESS-03, FAULT-22)."""
        a, b = await start("a"), await start("b")
        frame = bytes(range(256)) * (min(a.transport.max_frame_bytes, 1_000_000) // 256)

        await a.transport.send("b", frame)

        await b.inbox.until(lambda got: got == [("a", frame)], self.patience)

    async def test_a_peer_that_was_never_there_is_unreachable(self, start: Any) -> None:
        """The error names it."""
        a = await start("a")

        with pytest.raises(PeerUnreachable) as raised:
            async with asyncio.timeout(self.patience):
                await a.transport.send("nobody", b"frame")

        assert raised.value.peer == "nobody"

    async def test_a_peer_that_is_gone_holds_nobody_up(self, start: Any) -> None:
        """Frames to it are lost or refused; those to others arrive."""
        a, b, c = [await start(name) for name in "abc"]
        await b.transport.close()

        for _ in range(3):
            try:
                async with asyncio.timeout(self.patience):
                    await a.transport.send("b", b"lost")
            except PeerUnreachable:
                pass
        await a.transport.send("c", b"found")

        await c.inbox.until(lambda got: got == [("a", b"found")], self.patience)
        assert b.inbox.got == []

    async def test_a_peer_that_comes_back_is_reached_again(self, start: Any) -> None:
        """Under its name, wherever it is now; the first frames may be lost (LIFE-09)."""
        a, b = await start("a"), await start("b")
        await a.transport.send("b", b"before")
        await b.inbox.until(lambda got: bool(got), self.patience)
        await b.transport.close()
        again = await start("b", 2)

        async with asyncio.timeout(self.patience):
            while not again.inbox.got:
                try:
                    await a.transport.send("b", b"after")
                except PeerUnreachable:
                    pass
                await asyncio.sleep(0.01)

        assert set(again.inbox.got) == {("a", b"after")}

    async def test_a_send_that_is_cancelled_damages_no_other(self, start: Any) -> None:
        """Its own frame arrives whole or not at all."""
        a, b = await start("a"), await start("b")
        large = b"x" * min(a.transport.max_frame_bytes, 1_000_000)

        sending = asyncio.ensure_future(a.transport.send("b", large))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
        async with asyncio.timeout(self.patience):
            while ("a", b"whole") not in b.inbox.got:
                try:
                    await a.transport.send("b", b"whole")
                except PeerUnreachable:
                    pass
                await asyncio.sleep(0.01)

        assert set(b.inbox.got) <= {("a", large), ("a", b"whole")}

    async def test_nothing_is_received_after_close(self, start: Any) -> None:
        """Which may be called again."""
        a, b = await start("a"), await start("b")
        await a.transport.send("b", b"before")
        await b.inbox.until(lambda got: bool(got), self.patience)

        await b.transport.close()
        await b.transport.close()
        try:
            await a.transport.send("b", b"after")
        except PeerUnreachable:
            pass
        await asyncio.sleep(0.05)

        assert b.inbox.got == [("a", b"before")]

    async def test_peers_may_be_reported_again_and_again(self, start: Any) -> None:
        """Up twice, down twice, and down when they never were up."""
        a, b = await start("a"), await start("b")

        a.transport.peer_up(b.member)
        a.transport.peer_down("nobody")
        a.transport.peer_down("nobody")
        await a.transport.send("b", b"frame")

        await b.inbox.until(lambda got: got == [("a", b"frame")], self.patience)

    async def test_a_broadcast_reaches_all_others(self, start: Any) -> None:
        """Each once, and not its sender; where the transport says that it broadcasts."""
        a, b, c = [await start(name) for name in "abc"]
        if not a.transport.broadcasts:
            pytest.skip("it does not say that it broadcasts")

        await a.transport.broadcast(b"to all")
        await b.transport.broadcast(b"to all")

        await c.inbox.until(lambda got: sorted(got) == [("a", b"to all"), ("b", b"to all")], self.patience)
        await b.inbox.until(lambda got: got == [("a", b"to all")], self.patience)
        await a.inbox.until(lambda got: got == [("b", b"to all")], self.patience)

    async def test_what_is_retained_is_there_for_those_who_come_later(self, start: Any) -> None:
        """The last of each state, when its node is gone; where the transport says that it retains."""
        a = await start("a")
        if not a.transport.retains:
            pytest.skip("it does not say that it retains")
        for state, frame in (("load", b"old"), ("disk", b"disk"), ("load", b"new")):
            await a.transport.retain(state, frame)
        await a.transport.close()

        b = await start("b")

        assert sorted(await b.transport.retained()) == [("a", b"disk"), ("a", b"new")]


class MembershipContract:
    """A membership keeps its promises. Override `make`."""

    patience: ClassVar[float] = 10.0
    """Seconds within which a report comes."""

    @pytest.fixture
    def make(self) -> MakeMembership:
        """Return what makes the memberships of one cluster."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def join(self, make: MakeMembership) -> AsyncIterator[Callable[..., Any]]:
        """Return a function that lets a node join; it returns the membership and what it has reported."""
        joined: list[Membership] = []

        async def join(name: str, incarnation: int = 1, address: str = "") -> tuple[Membership, _Inbox]:
            membership, inbox = make(), _Inbox()
            joined.append(membership)
            await membership.join(Member(name, incarnation, address), inbox.put)
            return membership, inbox

        yield join
        for membership in joined:
            await membership.close()

    async def test_members_learn_of_each_other(self, join: Any) -> None:
        """With incarnation and address, whoever came first (ADAPT-03, RT-09)."""
        _, at_a = await join("a", 3, "here:1")
        _, at_b = await join("b", 5, "there:2")

        await at_a.until(lambda got: Joined(Member("b", 5, "there:2")) in got, self.patience)
        await at_b.until(lambda got: Joined(Member("a", 3, "here:1")) in got, self.patience)

    async def test_nobody_is_told_of_itself(self, join: Any) -> None:
        """Neither at the beginning nor later."""
        first, at_a = await join("a")
        _, at_b = await join("b")
        await at_a.until(lambda got: bool(got), self.patience)
        await first.announce(Member("a", 2))
        await at_b.until(lambda got: Joined(Member("a", 2)) in got, self.patience)

        assert {_name(event) for event in at_a.got} == {"b"}

    async def test_a_member_that_leaves_is_reported_with_its_incarnation(self, join: Any) -> None:
        """After it was reported as joined (RT-10)."""
        _, at_a = await join("a")
        leaver, _ = await join("b", 7)
        await at_a.until(lambda got: bool(got), self.patience)

        await leaver.leave()

        await at_a.until(lambda got: Left("b", 7) in got, self.patience)
        assert at_a.got.index(Joined(Member("b", 7))) < at_a.got.index(Left("b", 7))

    async def test_a_member_that_comes_back_is_reported_as_joined(self, join: Any) -> None:
        """With its new incarnation (LIFE-09)."""
        _, at_a = await join("a")
        leaver, _ = await join("b", 7)
        await at_a.until(lambda got: bool(got), self.patience)
        await leaver.leave()
        await leaver.close()
        await at_a.until(lambda got: Left("b", 7) in got, self.patience)

        await join("b", 8)

        await at_a.until(lambda got: got[-1] == Joined(Member("b", 8)), self.patience)

    async def test_a_greater_incarnation_is_announced(self, join: Any) -> None:
        """To those who are there, and to those who come later."""
        _, at_a = await join("a")
        announcer, _ = await join("b", 7, "there")

        await announcer.announce(Member("b", 9, "there"))
        _, at_c = await join("c")

        for inbox in (at_a, at_c):
            await inbox.until(lambda got: Joined(Member("b", 9, "there")) in got, self.patience)

    async def test_an_incarnation_is_at_least_what_is_asked_for(self, make: MakeMembership) -> None:
        """It may be greater, where numbers are kept."""
        membership = make()

        claimed = [await membership.claim("a", at_least) for at_least in (100, 50, 200)]
        await membership.close()

        assert all(number >= asked for number, asked in zip(claimed, (100, 50, 200), strict=True))

    async def test_nothing_is_reported_to_who_has_left(self, join: Any) -> None:
        """Closing twice is closing once."""
        leaver, at_a = await join("a")
        await join("b")
        await at_a.until(lambda got: bool(got), self.patience)
        await leaver.leave()
        before = list(at_a.got)

        await join("c")
        await leaver.close()
        await leaver.close()
        await asyncio.sleep(0.05)

        assert at_a.got == before

    async def test_closing_before_joining_is_nothing(self, make: MakeMembership) -> None:
        """A node may fail before it joins."""
        await make().close()


def _name(event: MembershipEvent) -> str:
    return event.member.name if isinstance(event, Joined) else event.name
