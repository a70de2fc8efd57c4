"""Three nodes in processes of their own, a broker, and what is killed among them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from perdure.security import EncryptedKey
from perdure_replication import Member, Snapshot, decode_frame
from perdure_replication.redis import RedisTransport

from ..processes import SECRET, Process, agree  # noqa: TID252 - tests are no package

OPTIONS = "?beat_interval=0.1&unreachable_after=1&timeout=2"


Start = Callable[[str], Any]


@pytest.fixture
async def broker(launch: Any) -> Any:
    return launch()


@pytest.fixture
async def start(broker: Any) -> AsyncIterator[Start]:
    """Return a function that starts a node of the cluster."""
    members: list[Process] = []

    async def start(name: str) -> Process:
        members.append(await Process.start(name, broker.url + OPTIONS))
        return members[-1]

    yield start
    for member in members:
        await member.kill()


async def test_a_node_that_is_killed_under_load_comes_back(start: Start, until: Any) -> None:
    """The others go on, and take over its new life from its beginning (ADAPT-08, CHAOS-03)."""
    a, b, c = await gathered(start, "abc")
    for member in (a, b, c):
        await member.says("load")
    await until(lambda: seen_above(a, "c", 50))

    await c.kill()
    await until(lambda: is_unreachable(a, "c"))
    before = await a.sees()
    await until(lambda: seen_above(a, "b", before["views"]["b"]))
    again = await start("c")
    await again.says("add")
    for member in (a, b):
        await member.says("rest")

    await until(lambda: agree(a, b, again))
    assert (await a.sees())["views"]["c"] == 1
    assert (await again.sees())["incarnation"] > before["incarnation"]


async def test_a_broker_that_restarts_empty_loses_nothing(start: Start, broker: Any, until: Any) -> None:
    """In the midst of load: no node is lost, no incarnation given twice, and what was kept is kept again."""
    a, b, c = await gathered(start, "abc")
    await until(lambda: agree(a, b, c))
    lives = [(await member.sees())["incarnation"] for member in (a, b, c)]
    for member in (a, b, c):
        await member.says("load")
    await until(lambda: seen_above(a, "c", 50))

    broker.kill()
    broker.start()
    for member in (a, b, c):
        await member.says("rest")

    await until(lambda: agree(a, b, c))
    assert [(await member.sees())["incarnation"] for member in (a, b, c)] == lives
    await until(lambda: broker.call("SCARD", "perdure-replication:{perdure}:keepers") == 3)
    await a.kill()
    again = await start("a")
    assert (await again.sees())["incarnation"] > lives[0]


async def test_a_new_node_is_filled_while_an_owner_is_down(start: Start, broker: Any, until: Any) -> None:
    """With its last value, which is surely not fresh (weak point 23)."""
    a, b = await gathered(start, "ab")
    for _ in range(5):
        await a.says("add")
    await until(lambda: seen_above(b, "a", 4))
    await until(lambda: is_kept(broker, "a", b"\x05"))

    await a.kill()
    c = await start("c")

    seen = await c.sees()
    assert (seen["views"]["a"], seen["fresh"]) == (5, False)
    await until(lambda: is_unreachable(c, "a"))
    assert (await c.sees())["views"]["a"] == 5


async def gathered(start: Start, names: str) -> list[Process]:
    return list(await asyncio.gather(*map(start, names)))


async def is_kept(broker: Any, name: str, view: bytes) -> bool:
    """Tell whether a view is what the broker keeps of a node."""
    transport = RedisTransport(broker.url, secret=EncryptedKey(bytes.fromhex(SECRET)))
    await transport.start(Member("observer", 1), lambda *_: None)
    try:
        kept = dict(await transport.retained())
    finally:
        await transport.close()
    message = decode_frame(kept[name]).message if name in kept else None
    return isinstance(message, Snapshot) and message.view == view


async def seen_above(member: Process, name: str, number: int) -> bool:
    return (await member.sees())["views"].get(name, 0) > number


async def is_unreachable(member: Process, name: str) -> bool:
    return name in (await member.sees())["unreachable"]
