"""The first reads of many logs, begun before they are needed.

A store with many short logs takes a read or two for each. One after the other, each waits for its way to the store and
back; so those of the next logs are under way while one is looked at, as many as their bytes allow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable
from typing import Any, NamedTuple

from perdure.abc import MAX_KEY, Backend, Page

_LOGS = 64
SCAN = 2048
"""Entries of a page, where all of a store is read."""

_PAGE_BYTES = 512 * 1024
_BYTES = 32 * 1024 * 1024
"""About as much may be under way."""


class Begun(NamedTuple):
    """A log, its first page, and a state of the same name, if that was asked for."""

    name: str
    page: Awaitable[Page]
    state: Awaitable[tuple[int, bytes | None]] | None


async def begun(
    backend: Backend, collection: str, names: AsyncIterable[str], state: str | None = None
) -> AsyncGenerator[Begun, None]:
    """Yield each log with its first page under way, and its state, where there is a name of one."""
    waiting: deque[tuple[Begun, list[asyncio.Future[Any]]]] = deque()
    size = 0
    try:
        async for name in names:
            waiting.append(_begin(backend, collection, name, state))
            while len(waiting) * size > _BYTES or len(waiting) >= _LOGS:
                size = max(size // 2, await _size(waiting[0][0]))
                yield waiting.popleft()[0]
        while waiting:
            yield waiting.popleft()[0]
    finally:
        for _, reads in waiting:
            _give_up(reads)


def _begin(backend: Backend, collection: str, name: str, state: str | None) -> tuple[Begun, list[asyncio.Future[Any]]]:
    page = asyncio.ensure_future(backend.page(collection, name, 1, MAX_KEY + 1, limit=SCAN, max_bytes=_PAGE_BYTES))
    if state is None:
        return Begun(name, page, None), [page]
    value = asyncio.ensure_future(backend.read_state(state, name))
    return Begun(name, page, value), [page, value]


async def _size(log: Begun) -> int:
    """Return the bytes of a first page."""
    return sum([len(record) for _, record in (await log.page).entries])


def _give_up(reads: list[asyncio.Future[Any]]) -> None:
    """Cancel reads that are not wanted, and do not complain of their failures."""
    for read in reads:
        if not read.cancel() and not read.cancelled():
            read.exception()
