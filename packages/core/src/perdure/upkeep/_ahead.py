"""The first pages of many logs, read before they are needed.

A store with many short logs takes a read or two for each, and each read the way to the store and back. So as many logs
are read at once as are short enough together, and the next ones while these are looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from perdure.abc import Backend, Page
from perdure.upkeep._names import pages_of_names

SCAN = 2048
"""Entries of a page, where all of a store is read."""

_BYTES = 512 * 1024
_LOGS = 512


class Begun(NamedTuple):
    """A log, its first page, and the value of a state of the same name, if there is one and it was asked for."""

    name: str
    page: Page
    state: bytes | None


async def begun(backend: Backend, collection: str, state: str | None = None) -> AsyncGenerator[Begun, None]:
    """Yield all logs of a collection, ascending by name, with their first pages, and with their states by a name."""
    async with aclosing(_read(backend, collection, state)) as read:
        following = asyncio.ensure_future(anext(read, None))
        try:
            while (logs := await following) is not None:
                following = asyncio.ensure_future(anext(read, None))
                await asyncio.sleep(0)  # so that it is on its way
                for log in logs:
                    yield log
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _read(backend: Backend, collection: str, state: str | None) -> AsyncGenerator[list[Begun], None]:
    """Yield logs by as many as are read at once."""
    count = 1
    async with aclosing(pages_of_names(backend, collection)) as pages:
        async for names in pages:
            while names:
                some = names[:count]
                first_pages, states = await asyncio.gather(
                    backend.pages(collection, some, limit=SCAN, max_bytes=_BYTES), _states(backend, state, some)
                )
                logs = list(map(Begun, some, first_pages, states))  # where there are fewer states, so many
                yield logs
                names = names[len(logs) :]
                count = _as_many(logs)


async def _states(backend: Backend, state: str | None, names: Sequence[str]) -> Sequence[bytes | None]:
    if state is None:
        return [None] * len(names)
    return [value for _, value in await backend.read_states(state, names, max_bytes=_BYTES)]


def _as_many(logs: Sequence[Begun]) -> int:
    """Return how many logs like these are likely to be read at once, by their first records."""
    pages = [log.page.entries for log in logs]
    entries = sum([len(page) for page in pages])
    size = sum([len(page) * len(page[0].value) for page in pages if page])
    states = sum([len(log.state or b"") for log in logs])
    share = max(entries / SCAN, size / _BYTES, states / _BYTES, 1 / _LOGS)
    return max(1, min(_LOGS, int(len(logs) / share)))
