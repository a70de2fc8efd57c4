"""Frames through a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.security import EncryptedKey
from perdure_replication import Frame, Generation, Member, Snapshot, encode_frame
from perdure_replication.errors import BrokerUnavailable, InvalidTransport, NodeClosed, PeerUnreachable
from perdure_replication.redis import RedisTransport

A, B, C = Member("a", 1), Member("b", 1), Member("c", 1)


def ignore(*_: object) -> None:
    pass


class Received(list[tuple[str, bytes]]):
    """Remembers what came."""

    def __call__(self, peer: str, frame: bytes) -> None:
        self.append((peer, frame))


async def started(ports: Any, member: Member, **options: Any) -> tuple[RedisTransport, Received]:
    transport, received = ports.transport(**options), Received()
    await transport.start(member, received)
    return transport, received


def snapshot(node: str, age: int, view: bytes = b"view", *, incarnation: int = 1, state: str = "load") -> bytes:
    message = Snapshot(state, Generation(incarnation, age), 1, 0, 0, view)
    return encode_frame(Frame("perdure", node, incarnation, 0, message))


async def sent(sender: RedisTransport, peer: str, frame: bytes) -> bool:
    try:
        await sender.send(peer, frame)
    except PeerUnreachable:
        return False
    return True


async def shows(reader: RedisTransport, frame: bytes) -> bool:
    return await reader.retained() == [("a", frame)]


class TestSending:
    async def test_gives_frames_to_their_peer_in_order(self, ports: Any, until: Any) -> None:
        """The peer is told the sender's name; a third hears nothing."""
        sender, _ = await started(ports, A)
        _, received = await started(ports, B)
        _, others = await started(ports, C)

        for number in range(100):
            await sender.send("b", b"%d" % number)
        await until(lambda: len(received) == 100)

        assert received == [("a", b"%d" % number) for number in range(100)]
        assert others == []

    async def test_of_a_broadcast_reaches_all_but_the_sender(self, ports: Any, until: Any) -> None:
        """One message in the broker."""
        sender, own = await started(ports, A)
        _, first = await started(ports, B)
        _, second = await started(ports, C)

        await sender.broadcast(b"frame")
        await until(lambda: first and second)

        assert (own, first, second) == ([], [("a", b"frame")], [("a", b"frame")])
        assert not sender.refused

    async def test_says_that_a_peer_does_not_listen(self, ports: Any) -> None:
        """It never did, or it was closed."""
        sender, _ = await started(ports, A)
        closed, _ = await started(ports, B)
        await closed.close()

        with pytest.raises(PeerUnreachable, match="b cannot be reached: it does not listen"):
            await sender.send("b", b"frame")

    async def test_keeps_the_order_of_those_who_send_at_once(self, ports: Any, until: Any) -> None:
        """What is asked of the broker at the same time goes together, in order."""
        sender, _ = await started(ports, A)
        _, received = await started(ports, B)

        await asyncio.gather(*(sender.send("b", b"%d" % number) for number in range(500)))
        await until(lambda: len(received) == 500)

        assert [frame for _, frame in received] == [b"%d" % number for number in range(500)]

    async def test_that_is_cancelled_leaves_no_reply_for_another(self, ports: Any, until: Any) -> None:
        """Whatever the moment: each later frame still gets its own answer."""
        sender, _ = await started(ports, A)
        _, received = await started(ports, B)
        for pauses in range(20):
            sending = asyncio.ensure_future(sender.send("b", b"x" * 100_000))
            for _ in range(pauses):
                await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(PeerUnreachable):
                await sender.send("nobody", b"frame")

        await sender.send("b", b"last")
        await until(lambda: received and received[-1] == ("a", b"last"))

    async def test_waits_for_a_peer_that_takes_nothing(self, ports: Any, server: Any) -> None:
        """After four MiB; and gives it up after the timeout. Another peer is not held up."""
        sender, _ = await started(ports, A, timeout=0.5)
        await started(ports, B)
        listening = server_only_listener(server, b"perdure-replication:{perdure}:to:stuck")
        frame = bytes(1024 * 1024)

        for _ in range(4):
            await sender.send("stuck", frame)
        waiting = asyncio.ensure_future(sender.send("stuck", frame))
        await sender.send("b", b"frame")

        assert not waiting.done()
        with pytest.raises(PeerUnreachable, match=r"it has taken nothing for 0\.5 s"):
            await waiting
        listening.close()

    async def test_goes_on_when_a_peer_says_that_it_has_taken(self, ports: Any, until: Any) -> None:
        """However much: what is on its way is bounded, what was taken is not."""
        sender, _ = await started(ports, A)
        _, received = await started(ports, B)

        for _ in range(40):
            await sender.send("b", bytes(1024 * 1024))

        await until(lambda: len(received) == 40)

    async def test_after_closing_is_refused(self, ports: Any) -> None:
        """As is what would be kept."""
        transport, _ = await started(ports, A)
        await transport.close()
        await transport.close()

        with pytest.raises(PeerUnreachable, match="closed"):
            await transport.send("b", b"frame")
        with pytest.raises(NodeClosed):
            await transport.retain("load", snapshot("a", 1))


def server_only_listener(server: Any, channel: bytes) -> Any:
    import redis

    listening = redis.Redis(port=server.port).pubsub()
    listening.subscribe(channel)
    listening.get_message(timeout=5)
    return listening


class TestLetters:
    """What anybody may publish in the broker."""

    async def test_that_are_too_large_are_refused(self, ports: Any, server: Any, until: Any) -> None:
        """By their length, as they come, and by that of the frame in them; others are received."""
        sender, _ = await started(ports, A)
        receiver, received = await started(ports, B, max_frame_bytes=1000)

        server.call("PUBLISH", receiver._inbox, bytes(100_000))
        await sender.send("b", bytes(1001))
        await sender.send("b", bytes(1000))

        await until(lambda: received)
        assert received == [("a", bytes(1000))]
        assert receiver.refused == {"too_large": 2}

    async def test_of_another_cluster_are_refused(self, ports: Any, server: Any, until: Any) -> None:
        """Clusters share a broker without hearing each other, and what is carried over is not taken."""
        stranger, heard = await started(ports, A, cluster="other")
        receiver, received = await started(ports, B)
        sender, _ = await started(ports, C)
        _, letter = stranger._writer.write(receiver._inbox, b"frame")

        with pytest.raises(PeerUnreachable):
            await stranger.send("b", b"frame")
        await sender.broadcast(b"to all")
        server.call("PUBLISH", receiver._inbox, letter)

        await until(lambda: receiver.refused == {"foreign": 1})
        assert (heard, received) == ([], [("c", b"to all")])

    async def test_for_somebody_else_are_refused(self, ports: Any, server: Any, until: Any) -> None:
        """Though a member has written them."""
        sender, _ = await started(ports, A)
        receiver, received = await started(ports, B)

        server.call("PUBLISH", receiver._inbox, sender._writer.write(sender._keys.inbox("c"), b"frame")[1])

        await until(lambda: receiver.refused == {"misdirected": 1})
        assert received == []


class TestKeeping:
    async def test_fills_who_comes_while_the_owner_is_down(self, ports: Any) -> None:
        """With the last snapshot of each state, and none of its own."""
        owner, _ = await started(ports, A)
        await owner.retain("load", snapshot("a", 1))
        await owner.retain("load", snapshot("a", 2))
        await owner.retain("disk", snapshot("a", 7, state="disk"))
        await owner.close()
        newcomer, _ = await started(ports, B)
        await newcomer.retain("load", snapshot("b", 1))

        kept = await newcomer.retained()

        assert kept == [("a", snapshot("a", 7, state="disk")), ("a", snapshot("a", 2))]

    async def test_never_replaces_a_newer_snapshot(self, ports: Any) -> None:
        """As an earlier life of the node would that does not know of the later one."""
        old, _ = await started(ports, A)
        new, _ = await started(ports, Member("a", 2))
        await new.retain("load", snapshot("a", 1, incarnation=2))

        await old.retain("load", snapshot("a", 9, incarnation=1))

        reader, _ = await started(ports, B)
        assert await reader.retained() == [("a", snapshot("a", 1, incarnation=2))]

    async def test_writes_again_what_a_broker_has_lost(
        self, launch: Any, ports: Any, until: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was killed, and restarted empty: that it is back is enough."""
        monkeypatch.setattr("perdure_replication.redis._keeper.RETRY_SECONDS", 3600)
        server = launch()
        owner, _ = await started(ports, A, url=server.url)
        await owner.retain("load", snapshot("a", 3))

        server.kill()
        server.start()

        await until(lambda: server.call("EXISTS", "perdure-replication:{perdure}:kept:a"))
        reader, _ = await started(ports, B, url=server.url)
        assert await reader.retained() == [("a", snapshot("a", 3))]

    async def test_finds_out_what_a_broker_was_made_to_forget(
        self, ports: Any, server: Any, until: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was emptied, and nobody lost a connection."""
        monkeypatch.setattr("perdure_replication.redis._keeper.RETRY_SECONDS", 0.05)
        monkeypatch.setattr("perdure_replication.redis._keeper.LOOK_SECONDS", 0.05)
        owner, _ = await started(ports, A)
        await owner.retain("load", snapshot("a", 3))

        server.call("FLUSHALL")

        reader, _ = await started(ports, B)
        await until(lambda: shows(reader, snapshot("a", 3)))

    async def test_replaces_the_old_data_of_a_broker(self, launch: Any, ports: Any, until: Any) -> None:
        """It was restored from a backup."""
        server = launch()
        owner, _ = await started(ports, A, url=server.url)
        await owner.retain("load", snapshot("a", 3))
        server.call("SAVE")
        await owner.retain("load", snapshot("a", 4))

        server.kill()
        server.start()

        reader, _ = await started(ports, B, url=server.url)
        await until(lambda: shows(reader, snapshot("a", 4)))

    async def test_writes_later_what_a_broker_does_not_take(self, launch: Any, ports: Any, until: Any) -> None:
        """It is away: nobody waits for it, and the latest is written when it is back."""
        server = launch()
        owner, _ = await started(ports, A, url=server.url)
        server.kill()

        await owner.retain("load", snapshot("a", 4))
        await owner.retain("load", snapshot("a", 5))

        server.start()
        reader, _ = await started(ports, B, url=server.url)
        await until(lambda: shows(reader, snapshot("a", 5)))

    async def test_in_a_full_broker_waits_for_room(
        self, launch: Any, ports: Any, until: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Frames still reach their peers."""
        monkeypatch.setattr("perdure_replication.redis._keeper.RETRY_SECONDS", 0.05)
        server = launch("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
        owner, _ = await started(ports, A, url=server.url)
        reader, received = await started(ports, B, url=server.url)

        await owner.retain("load", snapshot("a", 1))
        await owner.send("b", b"frame")
        assert await reader.retained() == []
        server.call("CONFIG", "SET", "maxmemory", "100mb")

        await until(lambda: shows(reader, snapshot("a", 1)))
        assert received == [("a", b"frame")]

    async def test_reads_no_more_than_it_may(self, ports: Any) -> None:
        """What is left out is counted."""
        owner, _ = await started(ports, A)
        await owner.retain("load", snapshot("a", 1, bytes(10_000)))
        await owner.retain("disk", snapshot("a", 1, bytes(10_000), state="disk"))
        newcomer, _ = await started(ports, B, max_kept_bytes=15_000)

        kept = await newcomer.retained()

        assert len(kept) == 1
        assert newcomer.refused == {"skipped": 1, "kept": 0}

    async def test_are_read_in_few_round_trips(self, ports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many there are: a node that starts waits for them."""
        for number in range(40):
            owner, _ = await started(ports, Member(f"n{number}", 1))
            await owner.retain("load", snapshot(f"n{number}", 1))
        newcomer, _ = await started(ports, B)
        exchange, trips = newcomer._line._exchange, []
        monkeypatch.setattr(newcomer._line, "_exchange", lambda commands: trips.append(1) or exchange(commands))

        kept = await newcomer.retained()

        assert len(kept) == 40
        assert len(trips) == 4

    @pytest.mark.parametrize(
        "forgery", ["altered", "of another node", "of another state", "of another moment", "garbage"]
    )
    async def test_takes_nothing_that_was_not_kept_as_it_is(self, ports: Any, server: Any, forgery: str) -> None:
        """Whoever writes to the broker without the secret can only take away."""
        owner, _ = await started(ports, A)
        await owner.retain("load", snapshot("a", 1))
        key = "perdure-replication:{perdure}:kept:a"
        sealed = server.call("HGET", key, "v:load")
        server.call("DEL", key)
        forged = {
            "altered": (key, "v:load", sealed[:-1] + bytes([sealed[-1] ^ 1]), "o:load", "1:1"),
            "of another node": ("perdure-replication:{perdure}:kept:c", "v:load", sealed, "o:load", "1:1"),
            "of another state": (key, "v:disk", sealed, "o:disk", "1:1"),
            "of another moment": (key, "v:load", sealed, "o:load", "1:2"),
            "garbage": (key, "v:load", b"garbage", "o:load", "what"),
        }[forgery]
        server.call("HSET", *forged)
        server.call("SADD", "perdure-replication:{perdure}:keepers", "a", "c")
        newcomer, _ = await started(ports, B)

        kept = await newcomer.retained()

        assert kept == []
        assert newcomer.refused["kept"] == 1


class TestBroker:
    async def test_that_is_away_cannot_be_started_with(self, launch: Any, ports: Any) -> None:
        """The error names it."""
        server = launch()
        server.kill()

        with pytest.raises(BrokerUnavailable, match=f"127.0.0.1:{server.port}"):
            await started(ports, A, url=server.url)

    async def test_that_goes_away_makes_peers_unreachable(self, launch: Any, ports: Any, until: Any) -> None:
        """Until it is back: then frames flow again, without a word from anybody."""
        server = launch()
        sender, _ = await started(ports, A, url=server.url)
        _, received = await started(ports, B, url=server.url)
        server.kill()

        with pytest.raises(PeerUnreachable, match="the broker"):
            await sender.send("b", b"lost")
        with pytest.raises(PeerUnreachable, match="all members cannot be reached"):
            await sender.broadcast(b"lost")
        server.start()

        await until(lambda: sent(sender, "b", b"frame"))
        await until(lambda: received)
        assert received == [("a", b"frame")]

    async def test_that_stands_still_is_given_up(self, launch: Any, ports: Any, until: Any) -> None:
        """After the timeout; and is heard again when it goes on."""
        server = launch()
        sender, _ = await started(ports, A, url=server.url, timeout=0.3)
        _, received = await started(ports, B, url=server.url, timeout=0.3)
        server.pause()

        with pytest.raises(PeerUnreachable, match="in time"):
            await sender.send("b", b"lost")
        server.resume()

        await until(lambda: sent(sender, "b", b"frame"))
        await until(lambda: ("a", b"frame") in received)

    async def test_that_cuts_a_node_off_is_asked_again(self, ports: Any, proxy: Any, until: Any) -> None:
        """As it does with one that does not keep up."""
        sender, _ = await started(ports, A)
        _, received = await started(ports, B, url=proxy.url)

        proxy.cut()

        async def is_heard() -> bool:
            await sent(sender, "b", b"frame")
            return bool(received)

        await until(is_heard)


class TestArguments:
    @pytest.mark.parametrize("url", ["http://host", "redis://host:port", "host", "redis+cluster://a,b", ""])
    def test_that_are_no_url_of_a_server_are_refused(self, url: str) -> None:
        """With an example of one."""
        with pytest.raises(InvalidTransport, match="redis://user:password@host:6379/0"):
            RedisTransport(url, insecure=True)

    def test_with_an_unknown_option_are_refused(self) -> None:
        """The option is named, the password is not."""
        with pytest.raises(InvalidTransport, match="colour") as caught:
            RedisTransport("redis://user:hidden@host:1/0?colour=red", insecure=True)

        assert "hidden" not in str(caught.value)

    def test_never_show_a_password(self) -> None:
        """Also where the URL is torn apart by it."""
        with pytest.raises(InvalidTransport) as caught:
            RedisTransport("redis://user:hid/den@host:x", insecure=True)

        assert "hid" not in str(caught.value)
        assert "den" not in str(caught.value)

    def test_choose_a_secret_or_none(self) -> None:
        """Not neither, not both."""
        with pytest.raises(InvalidTransport, match="give secret=…, or say insecure=True"):
            RedisTransport("redis://host")
        with pytest.raises(InvalidTransport, match="choose one"):
            RedisTransport("redis://host", secret=EncryptedKey.generate(), insecure=True)
