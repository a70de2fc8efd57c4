"""How many recoveries run at a time."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Recoveries:
    """Lets so many in, in order; an async context manager, for many at once."""

    def __init__(self, most: int) -> None:
        self.running = 0
        self.waiting = 0
        self._places = asyncio.Semaphore(most)

    async def __aenter__(self) -> None:
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.running += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running -= 1
        self._places.release()
