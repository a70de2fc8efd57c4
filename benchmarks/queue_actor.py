"""The least that an actor can be in asyncio: a task that takes messages from a queue.

It has no timeouts, no supervision, no context variables of the sender, no life cycle: what an actor model adds to
asyncio is what it costs more than this.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

from benchmarks.counter import Mark

_CAPACITY = 1000  # of perdure's mailboxes

_Letter: TypeAlias = "tuple[Any, asyncio.Future[int] | None]"


class QueueActor:
    """Counts what it is asked; each needs a running loop, and `stop` at its end."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._create_future = loop.create_future
        self._queue: asyncio.Queue[_Letter] = asyncio.Queue(_CAPACITY)
        self.task = loop.create_task(self._run())

    async def ask(self, message: Any) -> int:
        """Send a message and return its reply. Raises `asyncio.QueueFull`."""
        reply: asyncio.Future[int] = self._create_future()
        self._queue.put_nowait((message, reply))
        return await reply

    async def tell(self, message: Mark) -> None:
        """Send a message; waits for room."""
        await self._queue.put((message, None))

    async def _run(self) -> None:
        count = 0
        while True:
            message, reply = await self._queue.get()
            if reply is None:
                message.tally.count()
            else:
                count += 1
                reply.set_result(count)


class QueueActors(list[QueueActor]):
    """So many of them, from `async with` to its end."""

    def __init__(self, actors: int) -> None:
        super().__init__(QueueActor() for _ in range(actors))

    async def __aenter__(self) -> QueueActors:
        await asyncio.sleep(0)  # so that each waits for its first message
        return self

    async def __aexit__(self, *_: object) -> None:
        for actor in self:
            actor.task.cancel()
        await asyncio.wait([actor.task for actor in self])
