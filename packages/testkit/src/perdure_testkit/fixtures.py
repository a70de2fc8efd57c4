"""Fixtures for the tests of an application with durable actors, for pytest with pytest-asyncio.

    pytest_plugins = ["perdure_testkit.fixtures"]          # in its conftest.py

    async def test_a_deposit_survives(actor_system, restart_actors):
        await actor_system.ref(Account, "alice").ask(Deposit(10))
        system = await restart_actors()
        assert await system.ref(Account, "alice").ask(Balance()) == 10

Where the tests are to have another store or other settings, define a fixture of the same name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from perdure import ActorSystem
from perdure.abc import Backend
from perdure.memory import MemoryBackend
from perdure_testkit._clock import VirtualClock
from perdure_testkit._faulty import FaultyBackend


@pytest.fixture
def actor_clock() -> VirtualClock:
    """Return time that stands still until the test moves it; actors' timers go by it."""
    return VirtualClock()


@pytest.fixture
def actor_store(actor_clock: VirtualClock) -> Backend:
    """Return a store in memory, of this test alone: a `FaultyBackend`, which fails when the test says so."""
    return FaultyBackend(MemoryBackend(), clock=actor_clock)


@pytest.fixture
def actor_options() -> dict[str, Any]:
    """Return what `ActorSystem` is given beside `store` and `clock`."""
    return {}


@pytest_asyncio.fixture
async def restart_actors(
    actor_store: Backend, actor_clock: VirtualClock, actor_options: dict[str, Any]
) -> AsyncGenerator[Callable[[], Awaitable[ActorSystem]], None]:
    """Close the system that is open, if one is, and return another, open, on the same store."""
    opened = AsyncExitStack()

    async def restart() -> ActorSystem:
        await opened.aclose()
        return await opened.enter_async_context(ActorSystem(store=actor_store, clock=actor_clock, **actor_options))

    yield restart
    if isinstance(actor_store, FaultyBackend):
        actor_store.heal()  # else a system would wait for what hangs
    await opened.aclose()
    await actor_store.close()


@pytest_asyncio.fixture
async def actor_system(restart_actors: Callable[[], Awaitable[ActorSystem]]) -> ActorSystem:
    """Return an open system, which ends with the test."""
    return await restart_actors()
