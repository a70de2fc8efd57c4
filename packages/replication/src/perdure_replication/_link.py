"""One link's outbox, and the task that empties it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from perdure_replication._outbox import Outbox, Outgoing


class Link:
    """Sends what it is given, one message after the other, in a task that lives while there are some."""

    def __init__(self, send: Callable[[Outgoing], Awaitable[None]], idle: Callable[[], None] = lambda: None) -> None:
        """Take what sends one message, and what is called whenever nothing waits any more.

        `send` waits while the peer is slow, and raises nothing but cancellation.
        """
        self._send = send
        self._idle = idle
        self._outbox = Outbox()
        self._task: asyncio.Task[None] | None = None
        self._taken = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._outbox)

    @property
    def replaced(self) -> int:
        """How many were overtaken by later ones."""
        return self._outbox.replaced

    def put(self, outgoing: Outgoing) -> None:
        """Send a message when those before it are sent."""
        self._outbox.put(outgoing)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._outbox:
                outgoing = self._outbox.take()
                self.wake()
                await self._send(outgoing)
        finally:
            self._task = None
            self.wake()
            self._idle()

    def letters(self, line: str) -> int:
        """Return how many letters of a line wait."""
        return self._outbox.letters(line)

    async def taken(self) -> None:
        """Wait until something waits no longer, or `wake`."""
        await self._taken.wait()

    def wake(self) -> None:
        """Let all look again who wait in `taken`."""
        self._taken.set()
        self._taken.clear()

    async def flush(self) -> None:
        """Wait until all is sent."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def stop(self) -> None:
        """Send nothing more."""
        self._outbox.clear()
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stop, and wait until nothing is being sent."""
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task])
