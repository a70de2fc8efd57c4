"""Durable actors on uvloop's loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from perdure import ActorSystem, Context, Event, Message, PersistentActor

uvloop = pytest.importorskip("uvloop")


class Add(Message[int]):
    amount: int


class Added(Event):
    amount: int


class Counter(PersistentActor[int, Added]):
    initial_state = 0

    async def handle(self, message: Add, context: Context) -> int:
        await self.persist(Added(message.amount))
        return self.state

    def apply(self, count: int, event: Added) -> int:
        return count + event.amount


async def add(url: str, amount: int) -> list[int]:
    """Ask fifty counters ten times each, cancelling an ask of each on the way; return their counts."""
    async with ActorSystem(store=url) as system:
        refs = [system.ref(Counter, f"{number}") for number in range(50)]
        for _ in range(10):
            cancelled = [asyncio.ensure_future(ref.ask(Add(0))) for ref in refs]
            await asyncio.sleep(0)
            for ask in cancelled:
                ask.cancel()
            counts = await asyncio.gather(*(ref.ask(Add(amount)) for ref in refs))
        return counts


def test_actors_count_and_recover(tmp_path: Path) -> None:
    """Also where asks are cancelled while commits are under way."""
    url = f"sqlite:///{tmp_path}/counters.db"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        first = runner.run(add(url, 1))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        second = runner.run(add(url, 2))

    assert (first, second) == ([10] * 50, [30] * 50)


def test_a_stream_is_live(tmp_path: Path) -> None:
    """What is stored reaches who follows it."""

    async def follow() -> list[int]:
        async with ActorSystem(store=f"sqlite:///{tmp_path}/counters.db") as system:
            live = system.query(Counter).all_events(live=True)
            following = asyncio.ensure_future(anext(live))
            await system.ref(Counter, "a").ask(Add(7))
            return [(await following).event.amount]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(follow()) == [7]
