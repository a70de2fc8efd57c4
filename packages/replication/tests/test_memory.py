"""Both ports within one process."""

from __future__ import annotations

import pytest

from perdure_replication import Joined, Left, Member, MembershipEvent, MemoryHub, Unreachable
from perdure_replication.errors import NodeTaken, PeerUnreachable

A, B = Member("a", 1), Member("b", 1)


def ignore(*_: object) -> None:
    pass


class TestTransport:
    async def test_gives_a_frame_to_its_peer_with_the_senders_name(self) -> None:
        """The name is that under which the sender was started."""
        hub, received = MemoryHub(), list[tuple[str, bytes]]()
        sender, receiver = hub.transport(), hub.transport()
        await sender.start(A, ignore)
        await receiver.start(B, lambda *frame: received.append(frame))

        await sender.send("b", b"frame")

        assert received == [("a", b"frame")]

    async def test_of_a_taken_name_is_refused(self) -> None:
        """Until the other is closed."""
        hub = MemoryHub()
        first, second = hub.transport(), hub.transport()
        await first.start(A, ignore)

        with pytest.raises(NodeTaken, match="'a'"):
            await second.start(A, ignore)

        await first.close()
        await second.start(A, ignore)

    async def test_says_that_a_peer_is_not_there(self) -> None:
        """It never was, or it is closed."""
        hub = MemoryHub()
        transport, closed = hub.transport(), hub.transport()
        await transport.start(A, ignore)
        await closed.start(B, ignore)
        await closed.close()

        with pytest.raises(PeerUnreachable, match="b cannot be reached"):
            await transport.send("b", b"frame")


class TestMembership:
    async def test_reports_who_is_there_and_who_comes(self) -> None:
        """Each learns of the other, and nobody of itself."""
        hub, seen_by_a, seen_by_b = MemoryHub(), list[MembershipEvent](), list[MembershipEvent]()
        await hub.membership().join(A, seen_by_a.append)

        await hub.membership().join(B, seen_by_b.append)

        assert (seen_by_a, seen_by_b) == ([Joined(B)], [Joined(A)])

    async def test_reports_who_leaves_with_its_incarnation(self) -> None:
        """Closing is leaving."""
        hub, seen = MemoryHub(), list[MembershipEvent]()
        await hub.membership().join(A, seen.append)
        leaver, closer = hub.membership(), hub.membership()
        await leaver.join(B, ignore)
        await closer.join(Member("c", 5), ignore)
        seen.clear()

        await leaver.leave()
        await closer.close()
        await closer.close()

        assert seen == [Left("b", 1), Left("c", 5)]

    async def test_reports_a_greater_incarnation(self) -> None:
        """It comes as another join."""
        hub, seen = MemoryHub(), list[MembershipEvent]()
        await hub.membership().join(A, seen.append)
        membership = hub.membership()
        await membership.join(B, ignore)
        seen.clear()

        await membership.announce(Member("b", 9))

        assert seen == [Joined(Member("b", 9))]

    async def test_reports_who_is_lost(self) -> None:
        """Where the test says so."""
        hub, seen = MemoryHub(), list[MembershipEvent]()
        await hub.membership().join(A, seen.append)
        await hub.membership().join(B, ignore)
        seen.clear()

        hub.lose("b")

        assert seen == [Unreachable("b", 1)]

    async def test_never_gives_an_incarnation_twice(self) -> None:
        """Whatever the clock says."""
        membership = MemoryHub().membership()

        claimed = [await membership.claim("a", at_least) for at_least in (100, 100, 50, 200)]

        assert claimed == [100, 101, 102, 200]
