"""What most tests stand on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

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


@pytest.fixture
def distribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str, str], None]:
    """Return a function that installs a distribution, 1.2.3, with one entry point and the module behind it.

    It takes the name of the distribution, the group and the name of its entry point, and the source of the module.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def distribute(distribution: str, group: str, name: str, source: str) -> None:
        (tmp_path / f"{name}_plugin.py").write_text(source)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}_plugin\n")
        monkeypatch.delitem(sys.modules, f"{name}_plugin", raising=False)
        importlib.invalidate_caches()

    return distribute
