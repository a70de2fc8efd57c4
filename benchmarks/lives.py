"""Whole lives of actors: made, started, and ended."""

from __future__ import annotations

import asyncio

from benchmarks.counter import Add, Counter
from benchmarks.queue_actor import QueueActor, QueueActors
from perdure.actors import ActorSystem

LIVES = 1_000

_ADD = Add()


class Spawned:
    """Named actors of a system."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system

    async def one_by_one(self) -> int:
        """Spawn actors, each when the one before has started; then stop them likewise."""
        refs = [await self._system.spawn(Counter, f"counter-{n}") for n in range(LIVES)]
        for ref in refs:
            await ref.stop()
        return LIVES

    async def at_once(self) -> int:
        """Spawn actors, all at once; then stop them likewise."""
        refs = await asyncio.gather(*(self._system.spawn(Counter, f"counter-{n}") for n in range(LIVES)))
        await asyncio.gather(*(ref.stop() for ref in refs))
        return LIVES


class Activated:
    """Actors reached by `ref`, in a system that keeps `LIVES` of them: who comes to life has another put away."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._key = 0

    async def __call__(self) -> int:
        """Ask actors that are not live, all at once."""
        keys = range(self._key, self._key + LIVES)
        await asyncio.gather(*(self._system.ref(Counter, f"counter-{key}").ask(_ADD) for key in keys))
        if self._system.live != LIVES:
            raise RuntimeError(f"{self._system.live} actors are live, not {LIVES}")
        self._key = keys.stop % (2 * LIVES)
        return LIVES


async def queues_one_by_one() -> int:
    """Make queue actors, each when the one before waits for messages; then cancel them likewise."""
    actors = []
    for _ in range(LIVES):
        actors.append(QueueActor())
        await asyncio.sleep(0)
    for actor in actors:
        actor.task.cancel()
        await asyncio.wait([actor.task])
    return LIVES


async def queues_at_once() -> int:
    """Make queue actors, all at once; then cancel them likewise."""
    async with QueueActors(LIVES):
        return LIVES


async def queues_asked() -> int:
    """Make queue actors and ask each once, all at once; then cancel them."""
    async with QueueActors(LIVES) as actors:
        await asyncio.gather(*(actor.ask(_ADD) for actor in actors))
        return LIVES
