"""How fast a backend is, beside memory and the disk: `pytest --pyargs perdure_testkit.performance --backend URL -s`.

Rates are of this machine and this minute, so they are shown beside two references of the same run: the memory backend,
which is the cost of Python, and how often the disk of the temporary folder syncs 4 KiB. Nothing is asserted. `n writers
at once` is one commit of n groups of one event of 120 bytes each, as a journal makes it of what waits while a commit
is under way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from perdure import open_backend
from perdure.abc import MAX_KEY, Backend, LastKey, Put, WriteGroup
from perdure_testkit._given import url_of

__all__ = ["test_the_ratios"]

_SECONDS = 1.0
_EVENT = bytes(120)
_ENTRIES = 100_000


@pytest.mark.asyncio
async def test_the_ratios(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Print the rates of the backend, and their ratios to those of memory and of the disk."""
    url = url_of(request.config.getoption("--backend"), tmp_path)
    syncs = _syncs_a_second(tmp_path / "synced")
    own = await _rates(url, request.config.getoption("--durability"))
    memory = await _rates("memory://", "full")

    print(f"\n\n{url}: the disk syncs 4 KiB {syncs:,.0f} times a second")
    print(f"{'a second':34}{'backend':>14}{'memory':>14}{'to memory':>12}{'to a sync':>12}")
    for what, rate in own.items():
        to_a_sync = f"{rate / syncs:12.2f}" if "writer" in what else ""
        print(f"{what:34}{rate:14,.0f}{memory[what]:14,.0f}{rate / memory[what]:12.3f}{to_a_sync}")


async def _rates(url: str, durability: str) -> dict[str, float]:
    backend = await open_backend(url, durability="relaxed" if durability == "relaxed" else "full")
    try:
        rates = {}
        for writers in (1, 100, 1_000):
            what = f"durable groups, {writers:,} writer{'s' * (writers > 1)} at once"
            rates[what] = await _rate(_Writers(backend, writers).commit)
        for start in range(0, _ENTRIES, 5_000):
            puts = (Put("recovered", "a", key + 1, _EVENT) for key in range(start, start + 5_000))
            await backend.commit([WriteGroup(tuple(puts))])
        rates["pages of 100 entries"] = await _rate(lambda: _page(backend))
        begin = time.perf_counter()
        found = sum([1 async for _ in backend.collection("recovered", "a").iterate()])
        rates[f"entries recovered of {found:,}"] = found / (time.perf_counter() - begin)
        return rates
    finally:
        await backend.close()


class _Writers:
    """Writers, each of a log of its own, that commit together."""

    def __init__(self, backend: Backend, number: int) -> None:
        self._backend = backend
        self._prefixes = [f"{number}/{writer}" for writer in range(number)]
        self._head = 0

    async def commit(self) -> int:
        """Append to each log, and return how many groups that were."""
        groups = [
            WriteGroup((Put("events", prefix, self._head + 1, _EVENT),), (LastKey("events", prefix, self._head),))
            for prefix in self._prefixes
        ]
        await self._backend.commit(groups)
        self._head += 1
        return len(groups)


async def _page(backend: Backend) -> int:
    await backend.page("recovered", "a", 1, MAX_KEY, limit=100, max_bytes=1 << 20)
    return 1


async def _rate(do: Callable[[], Awaitable[int]]) -> float:
    """Return how much is done a second, after a first time that does not count."""
    await do()
    done, begin = 0, time.perf_counter()
    while (passed := time.perf_counter() - begin) < _SECONDS:
        done += await do()
    return done / passed


def _syncs_a_second(path: Path) -> float:
    with path.open("wb", buffering=0) as file:
        done, begin = 0, time.perf_counter()
        while (passed := time.perf_counter() - begin) < _SECONDS / 2:
            file.write(bytes(4096))
            os.fsync(file.fileno())
            done += 1
    return done / passed
