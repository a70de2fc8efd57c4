"""What most tests stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure.actors import ActorSystem
from perdure.memory import MemoryBackend
from perdure_testkit import FaultyBackend, VirtualClock


@pytest.fixture
async def store() -> AsyncIterator[FaultyBackend]:
    """Return a store that outlives the systems of a test, and fails when it is told to."""
    backend = FaultyBackend(MemoryBackend())
    yield backend
    await backend.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def system(clock: VirtualClock) -> AsyncIterator[ActorSystem]:
    """Return a system of actors without a store, in which time stands still."""
    async with ActorSystem(clock=clock, stop_timeout=5) as system:
        yield system
