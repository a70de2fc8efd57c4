"""The links of a node: what goes to many peers is joined once a turn, and nothing overtakes."""

from __future__ import annotations

import asyncio

from perdure_replication import Delta, Generation, Message, Outgoing, Snapshot
from perdure_replication._links import Links

PEERS = ("a", "b")


def delta(base: int, age: int) -> Delta:
    return Delta("s", base, Generation(1, age), 1, age, tuple(b"%d" % each for each in range(base + 1, age + 1)))


def snapshot(age: int, token: int = 0) -> Snapshot:
    return Snapshot("s", Generation(1, age), 1, 0, age, b"", token)


class Sent:
    """What links have sent, by peer."""

    def __init__(self) -> None:
        self.to: dict[str, list[Message]] = {}
        self.links = Links(self._send)

    async def _send(self, peer: str, outgoing: Outgoing) -> None:
        self.to.setdefault(peer, []).append(outgoing.message)

    def put(self, peers: tuple[str, ...], message: Message) -> None:
        self.links.put(peers, Outgoing(message, 1, 0))


async def test_what_many_are_sent_in_one_turn_is_one_message() -> None:
    """It goes out with the first of them."""
    sent = Sent()

    for age in range(1, 4):
        sent.put(PEERS, delta(age - 1, age))
    for _ in range(2):
        await asyncio.sleep(0)

    assert sent.to == {"a": [delta(0, 3)], "b": [delta(0, 3)]}


async def test_what_one_is_sent_does_not_overtake_what_all_are() -> None:
    """An answer is newer than the deltas before it, and takes their place."""
    sent = Sent()

    for age in range(1, 4):
        sent.put(PEERS, delta(age - 1, age))
    sent.put(("a",), snapshot(3, token=7))
    sent.put(PEERS, delta(3, 4))
    await sent.links.flush(1.0)

    assert sent.to == {"a": [snapshot(3, token=7), delta(3, 4)], "b": [delta(0, 4)]}


async def test_closing_sends_nothing_more() -> None:
    """Not even what was gathered."""
    sent = Sent()
    for age in range(1, 3):
        sent.put(PEERS, delta(age - 1, age))

    await sent.links.close()
    await asyncio.sleep(0)

    assert sent.to == {}
