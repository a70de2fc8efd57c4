"""What goes between runtimes, where peers are late, wrong, or want too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
import pytest

from perdure.errors import AskTimeout, MailboxFull
from perdure_replication import Node
from perdure_replication.errors import BadFrame, MutationRefused, RemoteFailure
from perdure_replication.runtime import ActorGroups, PerdureRuntime, _exchange
from perdure_replication.runtime._letters import Ask, Cast, Codec, Parcel, Reply, Tell, encode_letter
from perdure_replication.testing import TestRuntime


class Pair(NamedTuple):
    nodes: TestRuntime
    here: PerdureRuntime
    there: PerdureRuntime
    held: asyncio.Event
    """Keeps the actor b of `there` busy until it is set."""
    plain: Node
    """A third node, which has no runtime."""


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with TestRuntime(ActorGroups) as nodes:
        a, b, c = [await nodes.start(name) for name in "abc"]
        held = asyncio.Event()

        async def handler(message: object) -> object:
            if message == "hold":
                await held.wait()
            if message == "fail":
                raise OSError("no such file: \udcff")
            return "x" * 2_000_000 if message == "much" else message

        async with PerdureRuntime(a) as here, PerdureRuntime(b) as there:
            await there.spawn("b", handler)
            yield Pair(nodes, here, there, held, c)
            held.set()


async def test_an_answer_that_comes_too_late_is_counted(pair: Pair) -> None:
    """Whether it is the reply, or that the other node has waited for it in vain."""
    asking = asyncio.ensure_future(pair.here.remote("b", "b").ask("hold", timeout=1.0))
    await pair.nodes.settle()

    await pair.nodes.advance(1.0)
    with pytest.raises(AskTimeout):
        await asking
    pair.held.set()
    await pair.nodes.settle()

    assert pair.here.metrics().late == 1


async def test_an_answer_of_somebody_else_is_nobodys(pair: Pair) -> None:
    """Only the node that was asked answers."""
    asking = asyncio.ensure_future(pair.here.remote("b", "b").ask("hold", timeout=10.0))
    await pair.nodes.settle()
    exchange = pair.here._exchange
    assert exchange is not None
    [number] = exchange._asked
    line = pair.plain.line("actors", lambda *_: None)

    await line.send("a", encode_letter(Reply(number, Codec("", ()).pack("forged"))))
    await pair.nodes.settle()
    forged = asking.done()
    pair.held.set()

    assert (forged, await asking, pair.here.metrics().late) == (False, "hold", 1)


@pytest.mark.parametrize(
    "letter",
    [
        b"rubbish",
        b"",
        msgspec.msgpack.encode(["surprise", 1]),
        encode_letter(Tell("b", Parcel("Unknown", b"\xc0"))),
        encode_letter(Tell("b", Parcel("", b"\xc1"))),
        encode_letter(Cast("group", Parcel("", b""))),
        b"\x91" * 50_000,
        encode_letter(Tell("b", Parcel("", b"\x91" * 50_000))),
        encode_letter(Ask(1, "b", 1.0, Parcel("", b"\x91" * 50_000))),
    ],
)
async def test_what_cannot_be_read_is_counted(pair: Pair, letter: bytes) -> None:
    """And harms nobody."""
    line = pair.plain.line("actors", lambda *_: None)

    await line.send("b", letter)
    await pair.nodes.settle()

    assert pair.there.metrics().unreadable == 1
    assert await pair.here.remote("b", "b").ask("next") == "next"


async def test_a_peer_that_sends_rubbish_fills_no_log(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """Of a hundred letters the first, second, fourth, eighth … have a line, which says how many there were."""
    line = pair.plain.line("actors", lambda *_: None)

    for _ in range(100):
        await line.send("b", b"rubbish")
        await pair.nodes.settle()

    lines = [record.message for record in caplog.records if "cannot be read" in record.message]
    assert pair.there.metrics().unreadable == 100
    assert len(lines) == 7
    assert lines[-1].startswith("b: a letter of c cannot be read, the 64. such: ")


async def test_a_message_or_a_reply_that_is_too_large_is_an_error(pair: Pair) -> None:
    """Of the sender and of the asker; the link is as before."""
    remote = pair.here.remote("b", "b")

    with pytest.raises(BadFrame, match=r"Limits\.letter_bytes"):
        remote.send("x" * 2_000_000)
    with pytest.raises(BadFrame, match=r"Limits\.letter_bytes"):
        await remote.ask("x" * 2_000_000)
    with pytest.raises(RemoteFailure, match=r"the reply is no frame: .*Limits\.letter_bytes"):
        await remote.ask("much")

    assert await remote.ask("next") == "next"


async def test_an_error_whose_text_cannot_be_sent_is_said_otherwise(pair: Pair) -> None:
    """As one with the name of a file that is no text: the asker does not wait in vain."""
    with pytest.raises(RemoteFailure, match=r"OSError.*no such file: \\udcff"):
        await pair.here.remote("b", "b").ask("fail")


async def test_a_group_that_cannot_be_said_is_left_out(pair: Pair) -> None:
    """The next one is joined as ever."""
    ref = pair.there.find("b")
    assert ref is not None

    with pytest.raises(MutationRefused):
        await pair.there.join("\ud800", ref)
    await pair.there.join("group", ref)
    await pair.nodes.settle()

    assert pair.there.members("\ud800") == []
    assert len(pair.here.members("group")) == 1


@pytest.mark.parametrize("delay", [float("nan"), -1.0])
async def test_what_is_no_delay_is_refused(pair: Pair, delay: float) -> None:
    ref = pair.there.find("b")
    assert ref is not None

    with pytest.raises(ValueError, match="a delay is 0 seconds or more"):
        pair.there.send_after(ref, delay, "late")


async def test_so_many_asks_are_answered_at_a_time(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is refused at once, and counted."""
    monkeypatch.setattr(_exchange, "_MOST", 2)
    remote = pair.here.remote("b", "b")
    asking = [asyncio.ensure_future(remote.ask("hold")) for _ in range(2)]
    await pair.nodes.settle()

    with pytest.raises(MailboxFull):
        await remote.ask("too many")
    pair.held.set()

    assert await asyncio.gather(*asking) == ["hold", "hold"]
    assert pair.there.metrics().full == 1
    assert await remote.ask("room again") == "room again"


async def test_what_a_closed_link_cannot_take_is_counted(pair: Pair) -> None:
    """A broadcast to a node for which too many letters wait misses it alone."""
    ref = pair.there.find("b")
    assert ref is not None
    await pair.there.join("group", ref)
    await pair.nodes.settle()

    reached = [pair.here.broadcast("group", number) for number in range(200)]

    assert 0 < sum(reached) < 200
    assert pair.here.metrics().unsent == 200 - sum(reached)
