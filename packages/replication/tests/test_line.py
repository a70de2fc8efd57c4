"""Letters between nodes, beside what is replicated."""

from __future__ import annotations

import asyncio

import pytest

from perdure_replication import Joined, Left, Limits, Line, Member, MembershipEvent, Node, Settings, Unreachable
from perdure_replication.errors import BadFrame, InvalidNode, NodeClosed, PeerUnreachable
from perdure_replication.testing import TestRuntime, TestState

LINE = "post"


class Desk:
    """A line, and what came over it."""

    def __init__(self, node: Node, name: str = LINE) -> None:
        self.letters: list[tuple[str, int, bytes]] = []
        self.events: list[MembershipEvent] = []
        self.line: Line = node.line(name, lambda *letter: self.letters.append(letter), self.events.append)

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, _, body in self.letters]


async def test_a_letter_names_the_life_that_sent_it() -> None:
    async with TestRuntime(TestState) as runtime:
        a, b = [await runtime.start(name) for name in "ab"]
        sender, receiver = Desk(a), Desk(b)

        await sender.line.send("b", b"hello")
        await runtime.settle()

        assert receiver.letters == [("a", a.incarnation, b"hello")]


async def test_letters_of_a_link_come_in_the_order_of_their_sends() -> None:
    """Also when they are more than may wait."""
    async with TestRuntime(TestState) as runtime:
        a, b = [await runtime.start(name) for name in "ab"]
        sender, receiver = Desk(a), Desk(b)

        sending = asyncio.create_task(many(sender.line, 200))
        await runtime.settle()
        await sending

        assert receiver.bodies == [b"%d" % number for number in range(200)]


async def many(line: Line, count: int) -> None:
    for number in range(count):
        await line.send("b", b"%d" % number)


async def test_a_line_that_is_full_takes_no_more_until_there_is_room() -> None:
    async with TestRuntime(TestState, settings=Settings(limits=Limits(letters=2))) as runtime:
        a, b = [await runtime.start(name) for name in "ab"]
        sender, receiver = Desk(a), Desk(b)

        taken = [sender.line.post("b", b"%d" % number) for number in range(3)]
        await runtime.settle()

        assert taken == [True, True, False]
        assert receiver.bodies == [b"0", b"1"]
        assert sender.line.post("b", b"3")


async def test_letters_do_not_hold_up_what_is_replicated() -> None:
    """They take turns."""
    async with TestRuntime(TestState) as runtime:
        a, b = [await runtime.start(name) for name in "ab"]
        sender = Desk(a)
        arrived: list[str] = []
        b.line(LINE, lambda *_: arrived.append("letter"))
        for _ in range(3):
            sender.line.post("b", b"long")

        mutating = asyncio.create_task(a.replica(TestState).mutate(lambda value: value))
        changes = b.replica(TestState).changes()
        seeing = asyncio.create_task(anext(changes))
        seeing.add_done_callback(lambda _: arrived.append("value"))
        await runtime.settle()
        await mutating

        assert arrived.index("value") < 4
        await changes.aclose()


async def test_who_opens_a_line_learns_who_listens() -> None:
    """At once; then who comes, who falls silent, who comes again and who leaves."""
    async with TestRuntime(TestState) as runtime:
        a = await runtime.start("a")
        b = await runtime.start("b")
        desk = Desk(a)
        c = await runtime.start("c")
        runtime.hub.lose("b")
        await b._membership.announce(b._member)
        await runtime.settle()
        await runtime.stop("c")

        assert desk.events == [
            Joined(Member("b", b.incarnation)),
            Joined(Member("c", c.incarnation)),
            Unreachable("b", b.incarnation),
            Joined(Member("b", b.incarnation)),
            Left("c", c.incarnation),
        ]


async def test_a_letter_to_one_who_does_not_listen_is_an_error_that_names_him() -> None:
    async with TestRuntime(TestState) as runtime:
        a = await runtime.start("a")
        desk = Desk(a)

        assert not desk.line.post("nobody", b"")
        with pytest.raises(PeerUnreachable, match="nobody"):
            await desk.line.send("nobody", b"")


async def test_who_waits_for_room_learns_that_the_peer_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the link is stuck."""
    async with TestRuntime(TestState, settings=Settings(limits=Limits(letters=1))) as runtime:
        a, _ = [await runtime.start(name) for name in "ab"]
        desk = Desk(a)
        monkeypatch.setattr(a._transport, "send", lambda *_: asyncio.Event().wait())
        desk.line.post("b", b"on its way")
        await asyncio.sleep(0)
        desk.line.post("b", b"waits")

        waiting = asyncio.create_task(desk.line.send("b", b"has no room"))
        await asyncio.sleep(0)
        a._report(Left("b", 2**52))
        await runtime.settle()

        with pytest.raises(PeerUnreachable, match="b"):
            await waiting


async def test_letters_of_a_line_that_nobody_has_opened_are_counted() -> None:
    async with TestRuntime(TestState) as runtime:
        a, b = [await runtime.start(name) for name in "ab"]
        desk = Desk(a)

        await desk.line.send("b", b"hello")
        await runtime.settle()

        assert b.metrics().limited == {"lines": 1}


async def test_a_line_that_is_closed_receives_nothing_and_may_be_opened_again() -> None:
    async with TestRuntime(TestState) as runtime:
        a, b = [await runtime.start(name) for name in "ab"]
        sender, first = Desk(a), Desk(b)
        first.line.close()
        second = Desk(b)

        await sender.line.send("b", b"hello")
        await runtime.settle()

        assert (first.letters, second.bodies) == ([], [b"hello"])


async def test_what_cannot_be_is_refused() -> None:
    async with TestRuntime(TestState, settings=Settings(limits=Limits(letter_bytes=3))) as runtime:
        a, _ = [await runtime.start(name) for name in "ab"]
        desk = Desk(a)

        with pytest.raises(InvalidNode, match="there is one already"):
            Desk(a)
        with pytest.raises(InvalidNode, match="no name"):
            Desk(a, "")
        with pytest.raises(BadFrame, match=r"4 bytes, over Limits\.letter_bytes"):
            desk.line.post("b", b"long")


async def test_a_node_that_is_closed_has_no_lines() -> None:
    async with TestRuntime(TestState) as runtime:
        a, _ = [await runtime.start(name) for name in "ab"]
        desk = Desk(a)
        await runtime.stop("a")

        with pytest.raises(NodeClosed):
            await desk.line.send("b", b"")
        with pytest.raises(NodeClosed):
            Desk(a, "other")


async def test_a_listener_that_raises_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """It is an error in the log."""
    async with TestRuntime(TestState) as runtime:
        a, b = [await runtime.start(name) for name in "ab"]
        sender = Desk(a)
        b.line(LINE, lambda *_: 1 / 0)

        await sender.line.send("b", b"")
        await runtime.settle()
        await a.replica(TestState).mutate(lambda value: value)
        await runtime.settle()

        assert "could not be handled" in caplog.text
        assert b.replica(TestState).held()["a"].generation.age == 1
