"""What most tests stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

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
