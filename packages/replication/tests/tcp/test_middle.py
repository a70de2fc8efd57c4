"""Somebody in the middle can delay and cut, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from perdure.security import EncryptedKey
from perdure_replication import Member
from perdure_replication.testing import Guest

from .authorities import Authority
from .wires import Middle, Start, raw, tcp, until

FRAMES = [b"%03d" % number * 40 for number in range(50)]


@pytest.fixture(params=["secret", "certificates"])
def options(request: pytest.FixtureRequest, authority: Authority, secret: EncryptedKey) -> dict[str, Any]:
    """Return each way of securing links."""
    if request.param == "secret":
        return {"secret": secret}
    return {"certificates": authority.certificates("a", "b")}


@pytest.fixture
async def pair(start: Start, options: dict[str, Any]) -> AsyncIterator[tuple[Guest, Guest, Middle]]:
    """Return two nodes, and who is between them."""
    a, b = await start("a", **options), await start("b", **options)
    async with Middle(b.member.address) as middle:
        a.transport.peer_up(Member("b", 1, middle.address))
        await a.reaches(b)
        yield a, b, middle


def once(change: Callable[[bytes], list[bytes]]) -> Callable[[bytes], list[bytes]]:
    """Return what changes one piece, and carries those after it as they are."""
    changes: Iterator[Callable[[bytes], list[bytes]]] = iter([change])
    return lambda data: next(changes, Middle.carry)(data)


def flip(data: bytes) -> list[bytes]:
    place = len(data) // 2
    return [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]]


def swap(data: bytes) -> list[bytes]:
    place = len(data) // 2
    return [data[place:], data[:place]]


@pytest.mark.parametrize(
    "change",
    [flip, swap, lambda data: [data, data], lambda _: [], lambda data: [data[:-1]], lambda data: [b"\x00" * 30, data]],
    ids=["flips a bit", "reorders", "replays", "leaves out", "cuts short", "inserts"],
)
async def test_what_is_changed_is_not_received(
    pair: tuple[Guest, Guest, Middle], change: Callable[[bytes], list[bytes]]
) -> None:
    """The link ends, and a new one is made; what is received is what was sent, in order, and once."""
    a, b, middle = pair
    middle.forth = once(change)

    for frame in FRAMES:
        await a.transport.send("b", frame)
    await until(lambda: tcp(b).metrics().lost > 0)
    await a.reaches(b)

    received = [b._frames.get_nowait() for _ in range(b._frames.qsize())]
    assert [frame for _, frame in received] == FRAMES[: len(received)]


async def test_what_is_delayed_is_received(pair: tuple[Guest, Guest, Middle]) -> None:
    """In pieces of whatever size."""
    a, b, middle = pair
    middle.forth = middle.back = lambda data: [data[place : place + 7] for place in range(0, len(data), 7)]
    middle.open.clear()

    for frame in FRAMES:
        await a.transport.send("b", frame)
    middle.open.set()

    assert await b.frames(len(FRAMES)) == FRAMES


async def test_a_recording_is_worth_nothing(pair: tuple[Guest, Guest, Middle]) -> None:
    """Whoever plays a whole session again is not connected, and nothing of it is received."""
    a, b, middle = pair
    await a.transport.send("b", b"frame")
    assert await b.next() == ("a", b"frame")
    await a.transport.close()
    await until(lambda: tcp(b).links == ())
    connected = tcp(b).metrics().connected

    async with raw(b.member.address) as player:
        player.writer.write(middle.recorded)
        await player.ended()

    assert b._frames.empty()
    assert tcp(b).metrics().connected == connected


async def test_nothing_is_said_in_the_clear(pair: tuple[Guest, Guest, Middle]) -> None:
    """Neither frames nor names nor the cluster."""
    a, b, middle = pair

    await a.transport.send("b", b"a frame that nobody reads")
    await b.next()

    for word in (b"nobody reads", b"perdure-cluster", b"127.0.0.1"):
        assert word not in middle.recorded
