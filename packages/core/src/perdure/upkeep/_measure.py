"""How fast a store commits here.

It writes entries to a collection of its own, each in a group with the expectation of a journal, as many actors would
that persist at the same time. They are removed afterwards; those of a measurement that was killed, by the next.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec

from perdure.abc import Backend, LastKey, Purge, Put, WriteGroup
from perdure.errors import ForeignCollection
from perdure.upkeep._names import stored_names
from perdure.upkeep._opened import opened

_COLLECTION = "perdure_measurement"
_PREFIX = "measurement/"
_REMOVED_AT_ONCE = 500


class Measurement(msgspec.Struct, frozen=True):
    """How commits of so many groups went. Each group is an event of another actor."""

    groups: int
    """In each commit."""
    commits: int
    """That were measured."""
    commits_per_second: float
    events_per_second: float
    median: float
    """Seconds that a commit took."""
    p99: float
    """Seconds that the slowest hundredth took at least."""


async def measure(
    store: str | Backend,
    *,
    groups: Sequence[int] = (1, 64, 1024),
    seconds: float = 1.0,
    size: int = 200,
    clock: Callable[[], float] = time.perf_counter,
) -> AsyncGenerator[Measurement, None]:
    """Yield how fast a store commits, for each number of groups in a commit, after `seconds` of commits, one by one.

    Each event has `size` bytes. With one group, a commit is what a lone actor waits for, mostly one sync. Whatever it
    writes is removed, also when it is cancelled or closed.

    Raises `ForeignCollection`, and writes nothing, when somebody else has a collection of its name; `StoreError`.
    """
    async with opened(store) as backend:
        await _remove(backend)
        try:
            for count in groups:
                yield await _measured(backend, count, seconds, os.urandom(size), clock)
        finally:
            await _remove(backend)


async def _measured(
    backend: Backend, groups: int, seconds: float, value: bytes, clock: Callable[[], float]
) -> Measurement:
    """Return how commits of so many groups go, after some to warm up, which are not measured."""
    times: list[float] = []
    names = [f"{_PREFIX}{groups}/{number}" for number in range(groups)]
    for key in (1, 2, 3):
        await _commit(backend, names, key, value)
    begin = now = clock()
    while now < begin + seconds:
        key += 1
        await _commit(backend, names, key, value)
        before, now = now, clock()
        times.append(now - before)
    rate = len(times) / (now - begin)
    times.sort()
    slowest = times[len(times) * 99 // 100]
    return Measurement(groups, len(times), rate, rate * groups, times[len(times) // 2], slowest)


async def _commit(backend: Backend, names: Sequence[str], key: int, value: bytes) -> None:
    conflicts = await backend.commit(
        [WriteGroup((Put(_COLLECTION, name, key, value),), (LastKey(_COLLECTION, name, key - 1),)) for name in names]
    )
    if any(conflicts):
        raise ForeignCollection(_COLLECTION, "another measurement is under way in it")


async def _remove(backend: Backend) -> None:
    """Remove what measurements have left. Raises `ForeignCollection`, before anything is removed."""
    async with aclosing(stored_names(backend, _COLLECTION)) as names:
        async for name in names:
            if not name.startswith(_PREFIX):
                raise ForeignCollection(_COLLECTION, f"{name!r} is in it, which no measurement has written")
    while left := await backend.prefixes(_COLLECTION, "", _REMOVED_AT_ONCE):
        await backend.commit([WriteGroup((Purge(_COLLECTION, name),)) for name in left])
