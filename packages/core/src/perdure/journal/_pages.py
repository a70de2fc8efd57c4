"""Reading a long collection with no wait between its pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable

from perdure.abc import Backend, Entry, Page

_PAGE = 512
_PAGE_BYTES = 4 * 1024 * 1024


async def pages(
    backend: Backend,
    collection: str,
    prefix: str,
    start: int,
    stop: int,
    first: Page | None = None,
    size: int = _PAGE,
    max_bytes: int = _PAGE_BYTES,
) -> AsyncGenerator[list[Entry], None]:
    """Yield the entries with `start <= key < stop`, in pages of a size and bytes; the `first` may be there already.

    From the second page on, two are being read while one is used. One would not do: a reading thread begins when it
    has the interpreter lock, which it does not get before the page in hand is done with. Keys are taken to be without
    gaps; where there are some, the next page is read when it is needed.
    """

    def read(start: int) -> Awaitable[Page]:
        return backend.page(collection, prefix, min(start, stop), stop, limit=size, max_bytes=max_bytes)

    entries, more = await read(start) if first is None else first
    ahead: deque[tuple[int, asyncio.Future[Page]]] = deque()
    try:
        while more:
            start = entries[-1].key + 1
            if ahead and ahead[0][0] != start:  # the last page was cut at its bytes
                _give_up(ahead)
            while len(ahead) < 2:
                following = ahead[-1][0] + size if ahead else start
                ahead.append((following, asyncio.ensure_future(read(following))))
            yield entries
            entries, more = await ahead.popleft()[1]
        yield entries
    finally:
        _give_up(ahead)


def _give_up(ahead: deque[tuple[int, asyncio.Future[Page]]]) -> None:
    """Cancel reads that turned out not to be wanted, and do not complain of their failures."""
    while ahead:
        _, page = ahead.popleft()
        if not page.cancel() and not page.cancelled():
            page.exception()
