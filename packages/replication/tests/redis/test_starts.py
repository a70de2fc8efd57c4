"""Many nodes that start at once, and go again."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest

from perdure_replication import Node, Settings
from perdure_replication._settings import DEFAULTS
from perdure_replication.redis import RedisMembership, RedisTransport
from perdure_replication.testing import TestState


def node(name: str, ports: Any, settings: Settings = DEFAULTS, **options: Any) -> Node:
    """Return a node with the settings that a program has which sets none."""
    transport: RedisTransport = ports.transport(timeout=5.0)
    times = {"beat_interval": 1.0, "unreachable_after": 5.0, "timeout": 5.0}
    membership: RedisMembership = ports.membership(transport=transport, **times, **options)
    return Node(name, [TestState], transport=transport, membership=membership, settings=settings)


async def test_starts_and_ends_of_nodes_are_quiet(
    ports: Any, proxy: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is dropped and nothing alarms, though one node hears from all others before it hears of them."""
    caplog.set_level(logging.WARNING)
    proxy.delay = 0.05
    nodes = [*(node(name, ports) for name in "abcd"), node("e", ports, url=proxy.url)]

    async with AsyncExitStack() as stack:
        await asyncio.gather(*map(stack.enter_async_context, nodes))
        await until(lambda: all(set(each.replica(TestState).views) == set("abcde") for each in nodes))
        refused = [each.metrics().refused for each in nodes]
        for each in nodes[:4]:
            await each.close()
        await until(lambda: nodes[4].members == ())

    assert refused == [{}] * 5
    assert caplog.records == []


async def test_many_nodes_that_start_at_once_soon_see_each_other(ports: Any, until: Any) -> None:
    """With nothing to repair what was lost: no digest comes, and no pull is repeated."""
    names = {f"n{number}" for number in range(20)}
    settings = Settings(digest_interval=3600, pull_timeout=3600)

    async with AsyncExitStack() as stack, asyncio.timeout(20):
        nodes = [node(name, ports, settings) for name in names]
        await asyncio.gather(*map(stack.enter_async_context, nodes))
        await until(lambda: all(each.replica(TestState).views.keys() == names for each in nodes))
