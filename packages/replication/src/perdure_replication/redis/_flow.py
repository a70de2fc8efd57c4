"""How much is on its way to one peer.

A broker takes what is published whether those who listen keep up or not, until it cuts them off. So a peer says how far
it has come, after each quarter of a window, and who has sent a window more than that waits.
"""

from __future__ import annotations

import asyncio
from collections import deque

WINDOW_BYTES = 4 * 1024 * 1024
"""How many bytes may be on their way to a peer before the next letter waits."""


class Flow:
    """What was sent to one peer, and was not said to be taken."""

    def __init__(self) -> None:
        self._letters: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    async def wait(self, timeout: float) -> None:
        """Wait until there is room. Raises `TimeoutError`; then what was on its way is taken to be lost."""
        try:
            async with asyncio.timeout(timeout):
                await self._room.wait()
        except TimeoutError:
            self.reset()
            raise

    def sent(self, number: int, size: int) -> None:
        """Count a letter."""
        self._letters.append((number, size))
        self._bytes += size
        if self._bytes >= WINDOW_BYTES:
            self._room.clear()

    def taken(self, number: int) -> None:
        """Learn that all letters up to this one were taken, or lost."""
        while self._letters and self._letters[0][0] <= number:
            self._bytes -= self._letters.popleft()[1]
        if self._bytes < WINDOW_BYTES:
            self._room.set()

    def reset(self) -> None:
        """Take all that was on its way to be lost."""
        self._letters.clear()
        self._bytes = 0
        self._room.set()


class Intake:
    """What came from peers, and was not said to be taken."""

    def __init__(self) -> None:
        self._bytes: dict[str, int] = {}

    def is_due(self, source: str, size: int) -> bool:
        """Count a letter. Returns whether its source is to be told."""
        taken = self._bytes.pop(source, 0) + size
        if taken >= WINDOW_BYTES // 4:
            return True
        self._bytes[source] = taken
        return False

    def forget(self, source: str) -> None:
        self._bytes.pop(source, None)
