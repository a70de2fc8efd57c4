"""The rules of the port `Transport`, as tests.

pytest is imported where it is used: whoever simulates clusters does not need it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import ClassVar

from perdure_replication.errors import BadFrame, PeerUnreachable
from perdure_replication.testing._party import NewTransport, party


class TransportContract:
    """The rules that every transport keeps: subclass it in a test module, with one fixture in the class.

    `new_transport` returns a callable that makes a transport which is not started; all that it makes in one test are of
    one cluster, and reach each other; its nodes are a, b, c and d. The tests are run by pytest with pytest-asyncio in
    its mode `auto`.
    """

    patience: ClassVar[float] = 10.0
    """Seconds after which what has not come will not come."""
    largest: ClassVar[int] = 1_000_000
    """Bytes of the largest frame that is tried, or what the transport takes at most, if that is less."""

    async def test_a_frame_reaches_its_peer_with_the_senders_name(self, new_transport: NewTransport) -> None:
        """A frame is received once, with the name under which its sender was started, in both directions."""
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())

            await a.transport.send("b", b"to b")
            await b.transport.send("a", b"to a")

            assert (await a.next(), await b.next()) == (("b", b"to a"), ("a", b"to b"))

    async def test_a_frame_reaches_its_peer_alone(self, new_transport: NewTransport) -> None:
        """What is sent to one node is received by no other, and not by its sender."""
        async with party(self.patience) as given:
            a, b, c = [await given.start(name, new_transport()) for name in "abc"]

            await a.transport.send("b", b"first")
            await a.transport.send("c", b"second")
            await b.transport.send("a", b"third")

            assert [await a.next(), await b.next(), await c.next()] == [
                ("b", b"third"),
                ("a", b"first"),
                ("a", b"second"),
            ]

    async def test_a_frame_is_bytes_and_nothing_else(self, new_transport: NewTransport) -> None:
        """Whatever the bytes of a frame are, they are received as they were, also none at all."""
        frames = [b"", b"\x00", bytes(range(256)), b"\r\n\r\n", "ä€\u2028".encode(), os.urandom(70_000)]
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())

            for frame in frames:
                await a.transport.send("b", frame)

            assert await b.frames(len(frames)) == frames

    async def test_a_large_frame_is_received_whole(self, new_transport: NewTransport) -> None:
        """A frame of the greatest size is received whole, and so is what follows it."""
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())
            frame = b"<" + os.urandom(min(self.largest, a.transport.max_frame_bytes) - 2) + b">"

            await a.transport.send("b", frame)
            await a.transport.send("b", b"next")

            assert await b.frames(2) == [frame, b"next"]

    async def test_a_frame_over_the_limit_is_refused(self, new_transport: NewTransport) -> None:
        """A frame over `max_frame_bytes` raises `BadFrame` and is not sent; others are."""
        import pytest

        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())

            with pytest.raises(BadFrame):
                await a.transport.send("b", bytes(a.transport.max_frame_bytes + 1))

            await a.transport.send("b", b"small")
            assert await b.next() == ("a", b"small")

    async def test_frames_come_in_order_and_once(self, new_transport: NewTransport) -> None:
        """Frames of one node are received in the order of their sends, each one once."""
        frames = [str(number).encode() for number in range(500)]
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())

            for frame in frames:
                await a.transport.send("b", frame)

            assert await b.frames(len(frames)) == frames

    async def test_many_may_send_at_once(self, new_transport: NewTransport) -> None:
        """Sends that overlap are received whole, each one once."""
        frames = [str(number).encode() * 1000 for number in range(100)]
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())

            await asyncio.gather(*(a.transport.send("b", frame) for frame in frames))

            assert sorted(await b.frames(len(frames))) == sorted(frames)

    async def test_frames_of_several_senders_stay_whole(self, new_transport: NewTransport) -> None:
        """However frames of several nodes meet on the way, each is received whole, with its sender's name."""
        async with party(self.patience) as given:
            sink, *senders = [await given.start(name, new_transport()) for name in "dabc"]
            sent = [(each, each.name.encode() * size) for each in senders for size in (1, 70_000)]

            await asyncio.gather(*(each.transport.send("d", frame) for each, frame in sent))

            received = [await sink.next() for _ in sent]
            assert sorted(received) == sorted((each.name, frame) for each, frame in sent)

    async def test_a_cancelled_send_harms_no_other(self, new_transport: NewTransport) -> None:
        """A frame whose send is cancelled is received whole or not at all, and so are those after it."""
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())

            for number in range(20):
                sending = asyncio.ensure_future(a.transport.send("b", b"cancelled" * 10_000))
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                sending.cancel()
                await asyncio.wait([sending])
            await a.transport.send("b", b"last")

            received = [b""]
            while received[-1] != b"last":
                received.append((await b.next())[1])
            assert {*received} <= {b"", b"cancelled" * 10_000, b"last"}

    async def test_a_node_that_nobody_named_is_unreachable(self, new_transport: NewTransport) -> None:
        """A send to a name of which nothing is known raises `PeerUnreachable`, which names it."""
        import pytest

        async with party(self.patience) as given:
            a = await given.start("a", new_transport())

            with pytest.raises(PeerUnreachable) as caught:
                await a.transport.send("nobody", b"frame")

            assert caught.value.peer == "nobody"

    async def test_a_closed_node_receives_nothing(self, new_transport: NewTransport) -> None:
        """What is sent to a node that has closed is not received by it, nor does sending it hang."""
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())
            await given.leave(b)

            async with asyncio.timeout(self.patience):
                while True:
                    try:
                        await a.transport.send("b", b"late")
                    except PeerUnreachable:
                        break
                    await asyncio.sleep(0.01)

            assert b._frames.empty()

    async def test_a_node_that_is_gone_holds_nobody_up(self, new_transport: NewTransport) -> None:
        """Frames to a node that is gone are lost or refused, and those to others are received."""
        async with party(self.patience) as given:
            a, b, c = [await given.start(name, new_transport()) for name in "abc"]
            await given.leave(b)

            for _ in range(3):
                with suppress(PeerUnreachable):
                    async with asyncio.timeout(self.patience):
                        await a.transport.send("b", b"lost")
            await a.transport.send("c", b"found")

            assert await c.next() == ("a", b"found")

    async def test_a_node_that_comes_back_is_reached_again(self, new_transport: NewTransport) -> None:
        """A new transport of a name that was closed sends and receives as the first did."""
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())
            await given.leave(b)

            again = await given.start("b", new_transport(), incarnation=2)
            await a.transport.send("b", b"to b")
            await again.transport.send("a", b"to a")

            assert (await a.next(), await again.next()) == (("b", b"to a"), ("a", b"to b"))

    async def test_a_member_may_be_announced_again(self, new_transport: NewTransport) -> None:
        """`peer_up` and `peer_down` may be called again, of whomever; a member that is up is reached."""
        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())

            a.transport.peer_down("nobody")
            a.transport.peer_down("b")
            a.transport.peer_down("b")
            a.transport.peer_up(b.member)
            a.transport.peer_up(b.member)

            await a.reaches(b)
            await b.reaches(a)

    async def test_a_closed_transport_sends_nothing(self, new_transport: NewTransport) -> None:
        """A send by a closed transport raises `PeerUnreachable`, and its peer receives nothing."""
        import pytest

        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())
            await a.transport.close()

            with pytest.raises(PeerUnreachable):
                await a.transport.send("b", b"late")

            assert b._frames.empty()

    async def test_close_may_be_called_again(self, new_transport: NewTransport) -> None:
        """`close` may be called twice, and of a transport that was never started."""
        never, transport = new_transport(), new_transport()
        async with party(self.patience) as given:
            await given.start("a", transport)
            await transport.close()

        await transport.close()
        await never.close()

    async def test_close_leaves_no_task(self, new_transport: NewTransport) -> None:
        """When all transports are closed no task of theirs is left."""
        before = asyncio.all_tasks()

        async with party(self.patience) as given:
            for name in "abc":
                await given.start(name, new_transport())

        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    async def test_a_broadcast_reaches_all_others(self, new_transport: NewTransport) -> None:
        """A broadcast is received by every node but its sender, with the sender's name, where `broadcasts` is true."""
        import pytest

        async with party(self.patience) as given:
            a, b, c = [await given.start(name, new_transport()) for name in "abc"]
            if not a.transport.broadcasts:
                with pytest.raises(NotImplementedError):
                    await a.transport.broadcast(b"to all")
                return

            await a.transport.broadcast(b"to all")
            await b.transport.send("a", b"marker")

            assert [await b.next(), await c.next(), await a.next()] == [("a", b"to all")] * 2 + [("b", b"marker")]

    async def test_the_last_frame_of_each_state_is_kept(self, new_transport: NewTransport) -> None:
        """Others find the last frame kept of each state, with who kept it, also when that node is down."""
        import pytest

        async with party(self.patience) as given:
            a, b = await given.start("a", new_transport()), await given.start("b", new_transport())
            if not a.transport.retains:
                with pytest.raises(NotImplementedError):
                    await a.transport.retain("state", b"frame")
                return
            for state, frame in (("x", b"x1"), ("y", b"y1"), ("x", b"x2")):
                await a.transport.retain(state, frame)
            await b.transport.retain("x", b"own")
            await given.leave(a)

            c = await given.start("c", new_transport())

            assert {("a", b"x2"), ("a", b"y1"), ("b", b"own")} == {*await c.transport.retained()}
            assert {("a", b"x2"), ("a", b"y1")} == {*await b.transport.retained()}
