"""What goes on in the loop beside a measure, and what it tells of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

_TIMER = 0.001


@asynccontextmanager
async def meanwhile(work: Any) -> AsyncIterator[None]:
    """Have a coroutine that never ends run meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def timers() -> AsyncIterator[list[float]]:
    """Yield by how many seconds timers of 1 ms, one after another, are late meanwhile."""
    late: list[float] = []
    async with meanwhile(_set_timers(late)):
        yield late


async def _set_timers(late: list[float]) -> None:
    while True:
        started = perf_counter()
        await asyncio.sleep(_TIMER)
        late.append(perf_counter() - started - _TIMER)
