"""Many nodes that start at once, and go again."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from perdure.security import EncryptedKey
from perdure_replication import Node
from perdure_replication.tcp import TcpMembership, TcpTransport
from perdure_replication.testing import TestState

from .wires import free_port, until


def node(name: str, port: int, seeds: list[str], key: EncryptedKey) -> Node:
    """Return a node with the settings that a program has which sets none."""
    transport = TcpTransport(f"127.0.0.1:{port}", secret=key)
    return Node(name, [TestState], transport=transport, membership=TcpMembership(transport, seeds))


async def test_starts_and_ends_of_nodes_are_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """All are seeds of all, so connections cross; nothing is dropped, and nothing is logged that alarms."""
    caplog.set_level(logging.WARNING)
    key, places = EncryptedKey.generate(), {name: free_port() for name in "abcde"}
    seeds = [f"127.0.0.1:{port}" for port in places.values()]
    nodes = [node(name, port, seeds, key) for name, port in places.items()]

    async with AsyncExitStack() as stack:
        await asyncio.gather(*map(stack.enter_async_context, nodes))
        await until(lambda: all(set(each.replica(TestState).views) == set("abcde") for each in nodes))
        refused = [each.metrics().refused for each in nodes]
        for each in nodes[:4]:
            await each.close()
        await until(lambda: nodes[4].members == ())

    assert refused == [{}] * 5
    assert caplog.records == []


def test_nodes_meet_in_the_event_loop_of_uvloop() -> None:
    """In which actors of Ray are, too."""
    uvloop = pytest.importorskip("uvloop")
    key, port = EncryptedKey.generate(), free_port()

    async def meet() -> None:
        a, b = (node(name, place, [f"127.0.0.1:{port}"], key) for name, place in (("a", port), ("b", 0)))
        async with a, b:
            await until(lambda: set(a.replica(TestState).views) == set(b.replica(TestState).views) == {"a", "b"})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(meet())
