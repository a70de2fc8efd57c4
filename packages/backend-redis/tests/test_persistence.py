"""Persistent actors on a real server, and in a cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure import ActorSystem
from perdure_testkit import ActorContract
from perdure_testkit._contract._actors import Read, Tape, Write


class TestActors(ActorContract):
    largest = 64 * 1024 * 1024

    @pytest.fixture
    def url(self, server: Any) -> str:
        return f"{server.url}?timeout=60"


class TestActorsInACluster(ActorContract):
    @pytest.fixture
    def url(self, cluster: Any) -> str:
        return f"{cluster.url}?timeout=30&replicas=0"


AS_ON_ONE_SERVER = {
    "test_a_large_event_survives_where_it_is_allowed",
    "test_a_long_log_is_read_back_whole",
    "test_a_store_closed_under_a_running_actor_is_named",
    "test_after_a_kill_every_acknowledged_event_is_there_once",
    "test_after_a_kill_every_durable_state_is_an_acknowledged_one_or_the_next",
}
"""Rules that take long, and whose ways a cluster shares with one server."""

for name in AS_ON_ONE_SERVER:
    setattr(TestActorsInACluster, name, None)


async def test_connections_do_not_grow_with_actors(server: Any) -> None:
    """A thousand actors hold no more connections than a store has at the most."""
    async with ActorSystem(store=server.url) as system:
        await asyncio.gather(*(system.ref(Tape, str(n)).ask(Write((n,))) for n in range(1000)))

        assert server.call("INFO", "clients")["connected_clients"] <= 1 + 16 + 1


async def test_an_actor_outlives_its_server(launch: Any) -> None:
    """Asked while the server restarts, an actor answers when it is back, and has lost nothing."""
    server = launch()
    async with ActorSystem(store=f"{server.url}?timeout=20", ask_timeout=20) as system:
        ref = system.ref(Tape, "a")
        for value in range(3):
            await ref.ask(Write((value,)))
            server.kill()
            asked = asyncio.ensure_future(ref.ask(Write((value + 10,))))
            await asyncio.to_thread(server.start)
            await asked

        assert await ref.ask(Read()) == [0, 10, 1, 11, 2, 12]
