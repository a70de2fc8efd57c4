"""How long the event loop has not turned."""

from __future__ import annotations

import asyncio

MOST = 64
"""How many things are done in one turn."""
SECONDS = 0.005
"""How long a turn goes on with them."""


class Turns:
    """Lets the event loop turn, for one whose calls need not wait.

    A coroutine that awaits nothing but what is there already is never interrupted: it would starve all other tasks, and
    the links that are to send what it does.
    """

    __slots__ = ("_began", "_done")

    def __init__(self) -> None:
        self._done = 0
        self._began = 0.0

    async def give_way(self) -> None:
        """Return at once, unless much was done in this turn or it takes long: then in the next."""
        loop = asyncio.get_running_loop()
        if not self._done:
            self._began = loop.time()
            loop.call_soon(self._turned)
        self._done += 1
        if self._done >= MOST or loop.time() - self._began >= SECONDS:
            await asyncio.sleep(0)

    def _turned(self) -> None:
        self._done = 0
