"""Links over TCP: who has one, which one, and what becomes of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from perdure_replication import Member
from perdure_replication.errors import CannotListen, InvalidTransport, PeerUnreachable
from perdure_replication.tcp import TcpTransport
from perdure_replication.tcp._links import rank
from perdure_replication.tcp._session import Kind
from perdure_replication.testing import Guest, TestClock

from .authorities import Authority
from .wires import PATIENCE, SOON, Middle, Start, raw, tcp, until

EAGER = msgspec.structs.replace(SOON, courtesy=1e-9)
"""Both of a pair call at once."""


def introduce(*guests: Guest) -> None:
    """Let nodes know each other."""
    for guest in guests:
        for other in guests:
            guest.transport.peer_up(other.member)


async def linked(start: Start, **options: Any) -> tuple[Guest, Guest]:
    """Return two nodes that are linked."""
    a, b = await start("a", **options), await start("b", **options)
    introduce(a, b)
    await until(lambda: tcp(a).links == ("b",) and tcp(b).links == ("a",))
    return a, b


class TestOneLink:
    """There is one link for each pair."""

    @pytest.mark.parametrize("attempt", range(10))
    async def test_is_left_of_two_that_cross(self, start: Start, attempt: int) -> None:
        """Both ends keep the same, and what was sent meanwhile is received."""
        a, b = await start("a", settings=EAGER), await start("b", settings=EAGER)
        frames = [b"%d" % number for number in range(200)]
        introduce(a, b)

        async def send(guest: Guest, peer: str) -> None:
            for frame in frames:
                await guest.transport.send(peer, frame)

        await asyncio.gather(send(a, "b"), send(b, "a"))

        assert sorted(await a.frames(200)) == sorted(await b.frames(200)) == sorted(frames)
        await until(lambda: [len(tcp(each)._connections) for each in (a, b)] == [1, 1])
        [near], [far] = tcp(a)._connections, tcp(b)._connections
        assert near.dials != far.dials

    @pytest.mark.parametrize("first", [("a", 1), ("a", 2), ("b", 1), ("b", 3)])
    @pytest.mark.parametrize("second", [("a", 1), ("a", 2), ("b", 1), ("b", 3)])
    def test_is_chosen_alike_by_both_ends(self, first: tuple[str, int], second: tuple[str, int]) -> None:
        """Of any two connections, by who has called and how often, whatever order they were made in."""

        def choice(own: str, peer: str) -> bool:
            one, other = (rank(own, peer, caller == own, attempt) for caller, attempt in (first, second))
            return one > other

        assert choice("a", "b") == choice("b", "a")

    async def test_is_of_the_later_process_of_a_name(self, start: Start) -> None:
        """The earlier one is told, and does not come back."""
        a, b = await linked(start)

        later = await start("b", 2)
        later.transport.peer_up(a.member)
        await later.reaches(a)

        await until(lambda: "taken" in tcp(a).metrics().refused)
        await later.transport.send("a", b"later")
        assert await a.next() == ("b", b"later")
        assert tcp(b).links == ()

    async def test_is_not_taken_by_an_earlier_process_of_a_name(self, start: Start) -> None:
        """What that sends is not received."""
        a, b = await start("a"), await start("b", 5)
        introduce(a, b)
        await a.reaches(b)

        earlier = await start("b", 4)
        earlier.transport.peer_up(a.member)
        await until(lambda: "taken" in tcp(a).metrics().refused)
        await b.transport.send("a", b"true")

        assert await a.next() == ("b", b"true")
        assert tcp(a).links == ("b",)

    async def test_is_not_needed_by_who_takes_a_name_to_be_heard(self, start: Start) -> None:
        """What comes on a connection that is not taken is not received, though it came before it was refused."""
        a, b = await start("a", insecure=True), await start("raw", 5, insecure=True)
        introduce(a, b)
        await a.reaches(b)

        async with raw(a.member.address) as impostor:
            impostor.flush()
            while impostor.session.peer is None:
                list(impostor.session.receive(await impostor.reader.read(4096)))
            impostor.say(Kind.FRAME, b"false")
            await impostor.ended()
        await b.transport.send("a", b"true")

        assert await a.next() == ("raw", b"true")
        assert tcp(a).metrics().refused == {"taken": 1}

    async def test_is_made_again_when_it_was_cut(self, start: Start) -> None:
        """By whoever has called, however often."""
        a, b = await start("a"), await start("b")
        async with Middle(b.member.address) as middle:
            a.transport.peer_up(Member("b", 1, middle.address))
            for _ in range(3):
                await a.reaches(b)
                middle.cut()
                await until(lambda: tcp(a).links == ())

            await a.reaches(b)

        assert tcp(a).metrics().lost >= 3

    async def test_is_made_when_a_peer_comes_up_late(self, start: Start) -> None:
        """Meanwhile a send says at once that there is none, and why."""
        a = await start("a")
        async with Middle("127.0.0.1:1") as middle:
            a.transport.peer_up(Member("b", 1, middle.address))
            with pytest.raises(PeerUnreachable, match="b cannot be reached: it closes the connection"):
                await a.transport.send("b", b"frame")

            b = await start("b")
            middle.target = b.member.address

            await a.reaches(b)

    async def test_follows_a_peer_to_another_address(self, start: Start) -> None:
        """The old one is not called any more."""
        a, b = await start("a"), await start("b")
        async with Middle("127.0.0.1:1") as nowhere:
            a.transport.peer_up(Member("b", 1, nowhere.address))
            a.transport.peer_up(b.member)
            await a.reaches(b)

            assert {str(dialer.address) for dialer in tcp(a)._dialers} == {b.member.address}

    async def test_is_not_made_with_somebody_else(self, start: Start) -> None:
        """Who answers at a peer's address under another name is refused."""
        a, c = await start("a"), await start("c")

        a.transport.peer_up(Member("b", 1, c.member.address))
        await until(lambda: "identity" in tcp(a).metrics().refused)

        assert tcp(a).links == tcp(c).links == ()

    async def test_is_not_made_with_oneself(self, start: Start) -> None:
        """Whoever calls its own address by mistake, as one of a list, is not warned of it."""
        a = await start("a")

        tcp(a).seek(a.member.address)
        await until(lambda: "itself" in tcp(a).metrics().refused)

        assert tcp(a).links == ()


class TestASlowPeer:
    async def test_holds_up_its_own_frames_alone(self, start: Start) -> None:
        """What waits for it is bounded, and is received when it goes on."""
        a, b, c = await start("a"), await start("b"), await start("c")
        introduce(a, c)
        frame = bytes(100_000)
        async with Middle(b.member.address) as middle:
            a.transport.peer_up(Member("b", 1, middle.address))
            await a.reaches(b)
            middle.open.clear()
            sent = 0

            async def flood() -> None:
                nonlocal sent
                for _ in range(200):
                    await a.transport.send("b", frame)
                    sent += 1

            flooding = asyncio.ensure_future(flood())
            for number in range(100):
                await a.transport.send("c", b"%d" % number)

            assert await c.frames(100) == [b"%d" % number for number in range(100)]
            [slow] = [each for each in tcp(a)._connections if each.peer and each.peer.name == "b"]
            assert slow._transport is not None
            assert slow._transport.get_write_buffer_size() <= SOON.send_buffer + len(frame) + 100
            assert sent < 200
            middle.open.set()
            await flooding
            assert await b.frames(200) == [frame] * 200

    async def test_that_stays_so_is_given_up(self, start: Start) -> None:
        """Whoever waits for room is told, when nothing was heard for too long; then a new link is made."""
        a, b = await start("a"), await start("b")
        async with Middle(b.member.address) as middle:
            a.transport.peer_up(Member("b", 1, middle.address))
            await a.reaches(b)
            middle.open.clear()

            with pytest.raises(PeerUnreachable, match="nothing came for"):
                async with asyncio.timeout(PATIENCE):
                    for _ in range(200):
                        await a.transport.send("b", bytes(100_000))
            middle.open.set()

            await a.reaches(b)
        assert "silent" in tcp(a).metrics().refused


class TestSilence:
    """Time is turned by hand."""

    async def test_does_not_end_a_link_while_both_ends_live(self, start: Start) -> None:
        """Each shows now and then that it does."""
        clock = TestClock()
        a, b = await linked(start, clock=clock)

        await clock.advance(20)

        assert (tcp(a).links, tcp(b).links) == (("b",), ("a",))
        assert tcp(a).metrics().connected == 1

    async def test_ends_a_link(self, start: Start) -> None:
        """Though the network still has it."""
        clock = TestClock()
        a = await start("a", clock=clock, insecure=True)
        async with raw(a.member.address) as peer:
            await peer.meet()
            await until(lambda: tcp(a).links == ("raw",))

            await clock.advance(SOON.silence - 0.1)
            before = tcp(a).links
            await clock.advance(0.3)

            assert (before, tcp(a).links) == (("raw",), ())
            await peer.ended()

    async def test_is_found_out_by_who_is_always_late(self, start: Start) -> None:
        """However slow this process is, a peer that is silent does not stay connected."""
        clock = Halting()
        a = await start("a", clock=clock, insecure=True)
        async with raw(a.member.address) as peer:
            await peer.meet()
            await until(lambda: tcp(a).links == ("raw",))

            for _ in range(20):
                clock.stand_still(60)
                await clock.advance(SOON.heartbeat / 2)

            assert tcp(a).links == ()
            assert tcp(a).metrics().refused == {"silent": 1}

    async def test_is_not_blamed_on_peers_when_it_was_one_s_own(self, start: Start) -> None:
        """A process that stood still for a minute keeps its links, and counts that."""
        clock = Halting()
        a, _ = await linked(start, clock=clock)

        clock.stand_still(60)
        await clock.advance(SOON.silence / 2)

        assert tcp(a).links == ("b",)
        assert tcp(a).metrics().stalls == 1


class Halting(TestClock):
    """A clock that may go on while nothing else does."""

    __test__ = False

    def stand_still(self, seconds: float) -> None:
        self._now += seconds


class TestStrangers:
    """Those who are not of the cluster, or not of this protocol."""

    @pytest.mark.parametrize("security", ["secret", "certificates", "insecure"])
    @pytest.mark.parametrize(
        "data",
        [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(70_000), b"perdure\x00\x01\x01\xff\xff\xff\xff", b"\x16\x03\x01\xff"],
    )
    async def test_harm_nobody(self, start: Start, authority: Authority, security: str, data: bytes) -> None:
        """Whatever they send, and however they end; others are served."""
        options: dict[str, Any] = {
            "secret": {},
            "certificates": {"certificates": authority.certificates("a", "b")},
            "insecure": {"insecure": True},
        }[security]
        a, b = await linked(start, **options)
        async with raw(a.member.address) as stranger:
            stranger.writer.write(data)
            await stranger.writer.drain()
            stranger.writer.write_eof()
            await stranger.ended()

        await a.transport.send("b", b"frame")

        assert await b.next() == ("a", b"frame")
        await until(lambda: len(tcp(a)._connections) == 1)
        assert tcp(a).metrics().refused.keys() <= {"garbage", "too_large", "tls", "broken", "security"}

    @pytest.mark.parametrize(
        ("what", "said"),
        [
            ("cluster", "it is of the cluster 'other', and this node of 'ours'"),
            ("schema", "its schema is 'other', and that of this node 'ours'"),
        ],
    )
    async def test_of_another_cluster_or_schema_are_refused(
        self, start: Start, caplog: pytest.LogCaptureFixture, what: str, said: str
    ) -> None:
        """By name, in the log and in the metrics of both."""
        caplog.set_level(logging.WARNING)
        a, b = await start("a", **{what: "ours"}), await start("b", **{what: "other"})

        b.transport.peer_up(a.member)
        await until(lambda: what in tcp(a).metrics().refused and what in tcp(b).metrics().refused)

        assert tcp(a).links == tcp(b).links == ()
        assert said in caplog.text

    async def test_that_claim_a_name_are_refused(self, start: Start, authority: Authority) -> None:
        """With certificates a name is that of the certificate; the true one is still reached."""
        certificates = {name: {"certificates": authority.certificates(name)} for name in "abc"}
        a, b = await start("a", **certificates["a"]), await start("b", **certificates["b"])
        introduce(a, b)
        await a.reaches(b)

        liar = await start("b", 9, **certificates["c"])
        liar.transport.peer_up(a.member)
        await until(lambda: "identity" in tcp(a).metrics().refused)

        await b.transport.send("a", b"true")
        assert await a.next() == ("b", b"true")

    async def test_that_are_slow_are_not_waited_for(self, start: Start) -> None:
        """The handshake has a time, also for who sends a byte now and then."""
        clock = TestClock()
        a = await start("a", clock=clock)
        async with raw(a.member.address) as stranger:
            for byte in b"perd":
                stranger.writer.write(bytes([byte]))
                await clock.advance(SOON.handshake_timeout / 5)

            await clock.advance(SOON.handshake_timeout / 5)

            await stranger.ended()
            await until(lambda: tcp(a).metrics().refused == {"deadline": 1})

    async def test_are_not_many(self, start: Start) -> None:
        """The oldest of those who are not proved makes room, so that a peer comes through a crowd."""
        few = msgspec.structs.replace(SOON, handshakes=5)
        a, b = await start("a", settings=few), await start("b")
        crowd = [await asyncio.open_connection("127.0.0.1", int(a.member.address.split(":")[1])) for _ in range(20)]
        await until(lambda: tcp(a).metrics().refused.get("crowded", 0) >= 15)

        b.transport.peer_up(a.member)
        await b.reaches(a)

        assert len(tcp(a)._connections) <= 6
        for _, writer in crowd:
            writer.transport.abort()
        await asyncio.sleep(0)


class TestAPeer:
    """Who is proved, and does not behave."""

    async def test_that_never_ends_a_frame_is_given_up(self, start: Start) -> None:
        """Though it sends a byte of it now and then."""
        clock = TestClock()
        a = await start("a", clock=clock, insecure=True)
        async with raw(a.member.address) as peer:
            await peer.meet()
            await until(lambda: tcp(a).links == ("raw",))
            peer.writer.write((1000).to_bytes(4, "big"))

            for _ in range(70):
                peer.writer.write(b"x")
                await clock.advance(SOON.silence / 2)

            await peer.ended()
            await until(lambda: tcp(a).metrics().refused == {"deadline": 1})

    async def test_may_send_without_end(self, start: Start) -> None:
        """A stream that never stops at the end of a frame is not taken for one long frame."""
        clock = TestClock()
        a = await start("a", clock=clock, insecure=True)
        async with raw(a.member.address) as peer:
            await peer.meet()
            peer.session.say(Kind.FRAME, b"frame")
            whole = peer.session.outgoing()
            peer.writer.write(whole[:3])

            for _ in range(70):
                peer.writer.write(whole[3:] + whole[:3])
                await clock.advance(SOON.silence / 2)

            assert tcp(a).links == ("raw",)
            assert tcp(a).metrics().frames_received == 70

    async def test_that_announces_too_much_is_given_up(self, start: Start) -> None:
        """At once, and nothing is kept for it."""
        a = await start("a", insecure=True, max_frame_bytes=1000)
        async with raw(a.member.address) as peer:
            await peer.meet()

            peer.writer.write((1002).to_bytes(4, "big"))

            await peer.ended()
        assert tcp(a).metrics().refused == {"too_large": 1}

    async def test_may_give_an_address_that_is_none(self, start: Start) -> None:
        """It is not called; it may call."""
        a, b = await start("a"), await start("b")

        for address in ("nonsense", "a" * 70 + ":1", "a..b:1", "127.0.0.1:0"):
            a.transport.peer_up(Member("b", 1, address))
            await until(lambda: not {"garbage", "unreachable"}.isdisjoint(tcp(a).metrics().refused))
        b.transport.peer_up(a.member)

        await b.reaches(a)
        assert tcp(a).metrics().refused["garbage"] == 1

    async def test_that_says_nonsense_to_the_membership_stays(self, start: Start) -> None:
        """It may be of a later version."""
        a = await start("a", insecure=True)
        async with raw(a.member.address) as peer:
            await peer.meet()

            peer.say(Kind.WORD, b"\xc1")
            peer.say(Kind.FRAME, b"frame")

            assert await a.next() == ("raw", b"frame")


class TestClosing:
    async def test_loses_nothing_that_was_sent(self, start: Start) -> None:
        """Frames are received that were sent right before."""
        a, b = await linked(start)
        frames = [bytes([number]) * 50_000 for number in range(20)]

        for frame in frames:
            await a.transport.send("b", frame)
        await a.transport.close()

        assert await b.frames(20) == frames
        assert "broken" not in tcp(b).metrics().refused

    async def test_that_was_cancelled_is_done_by_the_next(self, start: Start) -> None:
        """No connection is left."""
        a, b = await linked(start)

        closing = asyncio.ensure_future(a.transport.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await a.transport.close()

        assert not tcp(a)._connections
        await until(lambda: tcp(b).links == ())

    async def test_takes_no_longer_than_the_farewell(self, start: Start) -> None:
        """Though a peer does not answer."""
        a = await start("a", insecure=True, settings=msgspec.structs.replace(SOON, farewell=0.05))
        async with raw(a.member.address) as peer:
            await peer.meet()
            await until(lambda: tcp(a).links == ("raw",))

            async with asyncio.timeout(PATIENCE / 5):
                await a.transport.close()

            await peer.ended()


class TestSettingUp:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({}, "say how connections are secured: one of secret=, certificates= and insecure=True"),
            ({"insecure": True, "secret": 1}, "say how connections are secured"),
            ({"address": "10.0.0.7:1", "insecure": True}, "without security a node listens on loopback alone"),
            ({"address": "0.0.0.0:1", "secret": 1}, "say in advertise= which one others use"),
            ({"address": "host", "insecure": True}, "'host': it is no address: write for example tcp://10.0.0.7:7400"),
            ({"address": "host:port", "insecure": True}, "it is no address"),
            ({"address": "http://host:1", "insecure": True}, "it is no address"),
            ({"cluster": "", "insecure": True}, "the name of a cluster has 1 to 256 characters"),
        ],
    )
    def test_refuses_what_cannot_be_right(self, options: dict[str, Any], said: str) -> None:
        """In words that say what to do."""
        with pytest.raises(InvalidTransport, match=said):
            TcpTransport(**{"address": "127.0.0.1:0"} | options)

    async def test_says_where_nothing_can_listen(self, start: Start) -> None:
        """And why."""
        a = await start("a")

        with pytest.raises(CannotListen, match=rf"{a.member.address}: .*in use: free it, or choose another"):
            await start("b", address=a.member.address)

    async def test_advertises_the_address_that_it_is_told(self, start: Start) -> None:
        """With the port at which it listens, where the one advertised is 0."""
        a = await start("a", address="0.0.0.0:0", advertise="node.example:0")
        b = await start("b", address="127.0.0.1:0", advertise="[::1]:7400")

        assert a.member.address.startswith("node.example:")
        assert a.member.address != "node.example:0"
        assert b.member.address == "[::1]:7400"

    async def test_reads_certificates_at_once(self, authority: Authority) -> None:
        """What cannot be used is said with the files."""
        certificate, _ = authority.issue("a")
        other = authority.issue("b")[1]

        with pytest.raises(InvalidTransport, match=rf"{certificate}, {other}, .*these certificates cannot be used"):
            type(authority.certificates("c"))(certificate, other, authority.file)
