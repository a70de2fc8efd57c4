"""The feeds of the slices, merged into one.

Each slice has its own order, which nothing disturbs, and its own position in the offset. A position is the time of its
server, so merging by position gives the order of commits as far as the servers' clocks agree.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias

from perdure.abc import FeedRecord

Placed: TypeAlias = tuple[int, FeedRecord]
"""A record and its position in its slice."""

Read: TypeAlias = Callable[[int, int, int], Awaitable[tuple[list[Placed], bool]]]
"""Returns up to so many records of a slice, after a position, and whether there are more."""


async def merged(after: Sequence[int], read: Read, limit: int) -> AsyncIterator[tuple[int, int, FeedRecord]]:
    """Yield slice, position and record, up to `limit`, by position; all slices are read ahead by a little."""
    waiting: list[deque[Placed]] = [deque() for _ in after]
    read_to = list(after)
    share = -(-limit // len(after))
    more = set(range(len(after)))
    while limit > 0:
        asked = [slice for slice in more if not waiting[slice]]
        for slice, (page, goes_on) in zip(
            asked, await asyncio.gather(*(read(slice, read_to[slice], share) for slice in asked)), strict=True
        ):
            waiting[slice].extend(page)
            if page:
                read_to[slice] = page[-1][0]
            if not goes_on:
                more.discard(slice)
        share = min(2 * share, limit)
        heads = [(records[0][0], slice) for slice, records in enumerate(waiting) if records]
        if not heads:
            return
        while limit > 0 and heads:
            _, slice = min(heads)
            position, record = waiting[slice].popleft()
            yield slice, position, record
            limit -= 1
            if not waiting[slice] and slice in more:
                break
            heads = [(records[0][0], slice) for slice, records in enumerate(waiting) if records]
