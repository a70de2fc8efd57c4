"""What the persistent actors of a system stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from perdure.abc import Backend
from perdure.actors import Clock
from perdure.journal import Format, Journal
from perdure.persistence._definition import Definition
from perdure.persistence._following import Followers


class Stores:
    """A backend, its journal, and the writes that nobody waits for."""

    def __init__(self, backend: Backend, journal: Journal, clock: Clock, write: Format, max_recoveries: int) -> None:
        self.backend = backend
        self.journal = journal
        self.followers = Followers()
        self.recoveries = asyncio.Semaphore(max_recoveries)
        self._clock = clock
        self._write = write
        self._definitions: dict[type[Any], Definition] = {}
        self._background: set[asyncio.Task[None]] = set()

    def definition(self, actor_type: type[Any]) -> Definition:
        """Return what a class says of itself, looked up once. Raises `EventTypeError`."""
        definition = self._definitions.get(actor_type)
        if definition is None:
            definition = self._definitions[actor_type] = Definition(actor_type, self._write)
        return definition

    def timestamp(self) -> int:
        """Return the wall clock in microseconds since 1970."""
        return int(self._clock.time() * 1_000_000)

    def in_background(self, write: Coroutine[Any, Any, None]) -> None:
        """Run a write that reports its own failure."""
        task = asyncio.get_running_loop().create_task(write)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Let everything that was begun be settled."""
        while self._background:
            await asyncio.wait(self._background)
        await self.journal.close()
