"""The one that follows an owner, and takes over from it."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic_ns, perf_counter

from benchmarks.account import Deposit
from benchmarks.owner import PROJECTED, STATE, Made, Marks, Owner, Shown, Unsaved
from perdure import ActorSystem
from perdure_replication import HotStandby, KeyedChange, Latest, Node, ViewChange


class Standby:
    """A node with views of all that the owner has, which notes when they reached which number."""

    def __init__(self, node: Node, stack: AsyncExitStack) -> None:
        self._states = STATE.follow(node, prefixes=["state-", "fill-"])
        self._projected = PROJECTED.follow(node, prefixes=["projected-"])
        self._marks = node.keyed(Marks)
        self._seen: dict[str, dict[str, list[tuple[int, int]]]] = {"state": {}, "projected": {}, "keyed": {}}
        self._came = asyncio.Event()
        self.warm = HotStandby(self._states)
        for work in (
            self._note_views("state", self._states.changes()),
            self._note_views("projected", self._projected.changes()),
            self._note_marks(self._marks.changes()),
        ):
            stack.callback(asyncio.create_task(work).cancel)

    def begin(self, what: str) -> None:
        """Forget what was noted."""
        self._seen[what].clear()

    async def until(self, what: str, made: Sequence[Made]) -> None:
        """Return when all that was made is seen."""
        last = {each.key: each.number for each in made}
        while any(self._number(what, key) < number for key, number in last.items()):
            self._came.clear()
            await self._came.wait()

    def late(self, what: str, made: Sequence[Made]) -> list[float]:
        """Return by how many nanoseconds each was seen after it was acknowledged."""
        seen = self._seen[what]
        return [max(0, seen[one.key][bisect_left(seen[one.key], (one.number, 0))][1] - one.at) for one in made]

    async def take_over(self, system: ActorSystem, keys: Sequence[str]) -> tuple[float, float]:
        """Return the seconds until the first actor has stored a deposit, and until all have."""
        began = perf_counter()
        await system.ref(Unsaved, keys[0]).ask(Deposit(1))
        first = perf_counter()
        await asyncio.gather(*(system.ref(Unsaved, key).ask(Deposit(1)) for key in keys[1:]))
        return first - began, perf_counter() - began

    def _number(self, what: str, key: str) -> int:
        noted = self._seen[what].get(key)
        return noted[-1][0] if noted else 0

    async def _note_views(self, what: str, changes: Latest[ViewChange[int]] | Latest[ViewChange[Shown]]) -> None:
        async for change in changes:
            self._note(what, change.key, change.generation.age)

    async def _note_marks(self, changes: Latest[KeyedChange[int]]) -> None:
        async for change in changes:
            if change.value is not None:
                self._note("keyed", change.key, change.value)

    def _note(self, what: str, key: str, number: int) -> None:
        self._seen[what].setdefault(key, []).append((number, monotonic_ns()))
        self._came.set()


@asynccontextmanager
async def standby(other: Owner) -> AsyncIterator[Standby]:
    """Follow an owner."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(other.place.node("follower"))
        yield Standby(node, stack)
