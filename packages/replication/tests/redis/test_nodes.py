"""Nodes on a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from perdure_replication import DistributedState, Node, Settings
from perdure_replication.errors import Fenced
from perdure_replication.redis import RedisMembership, RedisTransport
from perdure_replication.testing import TestState, Value

QUIET = Settings(digest_interval=3600, retain_interval=0.02, pull_timeout=0.01)
"""No digest repairs what a test loses, and who is greeted twice is sent everything twice."""
EVERYTHING = "perdure-replication:{perdure}:to*"


def counting(value: Value) -> Value:
    return Value(value.counter + 1)


def seen(node: Node, name: str) -> int | None:
    view = node.replica(TestState).views.get(name)
    return None if view is None else view.counter


@pytest.fixture
async def start(ports: Any) -> AsyncIterator[Callable[..., Any]]:
    """Return a function that starts a node in this process."""
    async with AsyncExitStack() as stack:

        async def start(
            name: str, url: str = "", settings: Settings = QUIET, state: type[DistributedState[Any]] = TestState
        ) -> Node:
            place = {"url": url} if url else {}
            transport: RedisTransport = ports.transport(**place)
            membership: RedisMembership = ports.membership(**place, transport=transport)
            node = Node(name, [state], transport=transport, membership=membership, settings=settings)
            return await stack.enter_async_context(node)

        yield start


async def test_views_follow_mutations(start: Any, until: Any) -> None:
    """In all directions, without a digest."""
    nodes = [await start(name) for name in "abc"]
    await until(lambda: all(seen(node, name) == 0 for node in nodes for name in "abc"))

    for node in nodes:
        await node.replica(TestState).mutate(counting)

    await until(lambda: all(seen(node, name) == 1 for node in nodes for name in "abc"))


async def test_what_was_missed_is_asked_for_after_a_return(start: Any, proxy: Any, until: Any) -> None:
    """Soon, and not at the next digest: the members greet each other again."""
    a, b = await start("a"), await start("b", proxy.url)
    await until(lambda: seen(b, "a") == 0)

    proxy.cut()
    await a.replica(TestState).mutate(counting)
    await b.replica(TestState).mutate(counting)

    await until(lambda: (seen(b, "a"), seen(a, "b")) == (1, 1))


async def test_the_earlier_of_two_processes_is_fenced(start: Any, until: Any) -> None:
    """It changes nothing any more, and the others follow the later one."""
    watcher, old = await start("w"), await start("a")
    await old.replica(TestState).mutate(counting)
    new = await start("a")
    await until(lambda: old.engine.fenced)

    with pytest.raises(Fenced, match="incarnation"):
        await old.replica(TestState).mutate(counting)
    await new.replica(TestState).mutate(counting)
    await new.replica(TestState).mutate(counting)

    await until(lambda: seen(watcher, "a") == 2)
    assert new.incarnation > old.incarnation


async def test_a_node_that_leaves_takes_what_was_kept_with_it(start: Any, server: Any, until: Any) -> None:
    """Who comes later hears as little of it as those who were there."""
    a, b = await start("a"), await start("b")
    await b.replica(TestState).mutate(counting)
    await until(lambda: server.call("EXISTS", "perdure-replication:{perdure}:kept:b"))
    await until(lambda: seen(a, "b") == 1)

    await b.close()

    await until(lambda: a.members == ())
    assert not server.call("EXISTS", "perdure-replication:{perdure}:kept:b")
    later = await start("c")
    assert seen(later, "b") is None


async def test_letters_that_are_recorded_forged_and_garbled_change_nothing(start: Any, server: Any, until: Any) -> None:
    """Whoever has the broker, and not the secret, is refused and counted."""
    a, b = await start("a"), await start("b")
    recorder = Recorder(server)
    await until(lambda: seen(b, "a") == 0 and a.engine._peers.find("b").met)
    for number in range(1, 6):
        await a.replica(TestState).mutate(counting)
        await until(lambda number=number: seen(b, "a") == number)
    recorded = await recorder.letters(5)

    for channel, letter in recorded:
        server.call("PUBLISH", channel, letter)
        server.call("PUBLISH", channel, letter[:-1] + bytes([letter[-1] ^ 1]))
        server.call("PUBLISH", channel, letter[: len(letter) // 2])
        server.call("PUBLISH", channel, letter.replace(b"\xa1a", b"\xa1c"))

    refused = b._transport.refused
    await until(lambda: min(refused["replayed"], refused["damaged"] + refused["forged"]) >= 5)
    await a.replica(TestState).mutate(counting)
    await until(lambda: seen(b, "a") == 6)
    assert b.members == ("a",)


async def test_nodes_whose_states_do_not_fit_together_harm_nobody(start: Any, until: Any) -> None:
    """A view that cannot be read is known to be missing; all others move."""
    a, b, stranger = await start("a"), await start("b"), await start("c", state=Spoken)
    await until(lambda: a.metrics().sync_failures and stranger.metrics().sync_failures)

    await stranger.replica(Spoken).mutate(lambda _: "more words")
    await b.replica(TestState).mutate(counting)

    await until(lambda: seen(a, "b") == 1)
    assert a.replica(TestState).views.keys() == {"a", "b"}
    assert a.replica(TestState).freshness(60).missing == ("c",)
    assert dict(stranger.replica(Spoken).views) == {"c": "more words"}


class Spoken(DistributedState[str]):
    """A state that has the name of another one."""

    name = TestState.name

    def initial(self) -> str:
        return "words"


class Recorder:
    """Somebody who listens in."""

    def __init__(self, server: Any) -> None:
        import redis

        self._pubsub = redis.Redis(port=server.port).pubsub(ignore_subscribe_messages=True)
        self._pubsub.psubscribe(EVERYTHING)
        self._pubsub.get_message(timeout=5)

    async def letters(self, count: int) -> list[tuple[bytes, bytes]]:
        """Return so many broadcasts, at least, with their channels."""
        found: list[tuple[bytes, bytes]] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                message = await asyncio.to_thread(self._pubsub.get_message, timeout=1)
                if message is not None and message["channel"].endswith(b"to-all"):
                    found.append((message["channel"], message["data"]))
        self._pubsub.close()
        return found
