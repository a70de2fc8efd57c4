"""In which turn of the event loop an actor has its own: beside others who are busy each of them may take long."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from perdure import ActorSystem, Event, Message, PersistentActor
from perdure.abc import Conflict, WriteGroup
from perdure.actors import Actor
from perdure.memory import MemoryBackend


class Note(Message[None]):
    """Ask an actor to note that it had its turn."""

    happened: list[str]


class Noting(Actor):
    async def handle(self, message: Any, context: Any) -> None:
        message.happened.append("turn")


class Wait(Note):
    gate: asyncio.Event


class Waiting(Noting):
    async def handle(self, message: Any, context: Any) -> None:
        await super().handle(message, context)
        await message.gate.wait()


class Noted(Event):
    pass


class Keeping(PersistentActor[int, Noted]):
    initial_state = 0

    async def handle(self, message: Any, context: Any) -> None:
        message.happened.append("turn")
        asyncio.get_running_loop().call_soon(message.happened.append, "next")
        await self.persist(Noted())

    def apply(self, count: int, event: Noted) -> int:
        return count + 1


class Noticing(MemoryBackend):
    """A store that notes when a commit begins."""

    happened: list[str]

    def commit(self, groups: Sequence[WriteGroup]) -> Coroutine[Any, Any, list[Conflict | None]]:
        self.happened.append("commit")
        return super().commit(groups)


@pytest.mark.parametrize("actor_type", [Noting, Keeping])
async def test_who_was_answered_and_asks_again_waits_for_no_other_turn_of_the_loop(actor_type: Any) -> None:
    """What it asks is handled in the turn of the loop in which it was asked, before what that turn calls soon."""
    async with ActorSystem() as system:
        ref = system.ref(actor_type, "a")
        await ref.ask(Note([]))
        happened: list[str] = []
        await ref.ask(Note([]))

        asyncio.get_running_loop().call_soon(happened.append, "next")
        await ref.ask(Note(happened))

    assert happened[:2] == ["turn", "next"]


async def test_a_commit_begins_when_the_turns_before_it_are_over() -> None:
    """Not one turn of the loop later, whose length others decide on."""
    backend = Noticing()
    backend.happened = happened = []
    async with ActorSystem(store=backend) as system:
        ref = system.ref(Keeping, "a")
        await ref.ask(Note([]))
        happened.clear()

        await ref.ask(Note(happened))

    assert happened == ["turn", "commit", "next"]


@pytest.mark.parametrize(("actors", "long", "first"), [(1_000, 60.0, 128), (100, 60.0, 100), (100, -1.0, 32)])
async def test_few_have_their_turns_together(
    monkeypatch: pytest.MonkeyPatch, actors: int, long: float, first: int
) -> None:
    """Of many that are ready some go in one turn of the loop, and of few all, unless that takes long."""
    monkeypatch.setattr("perdure.actors._dispatcher.LONG", long)
    async with ActorSystem() as system:
        refs = [system.ref(Noting, str(number)) for number in range(actors)]
        await asyncio.gather(*(ref.ask(Note([])) for ref in refs))
        happened: list[str] = []
        asks = asyncio.gather(*(ref.ask(Note(happened)) for ref in refs))
        while not happened:  # noqa: ASYNC110 - one turn of the loop
            await asyncio.sleep(0)

        assert len(happened) == first
        await asks


async def test_fewer_begin_where_many_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their objects come and go, and the collector looks through them the more often the more do so at once."""
    monkeypatch.setattr("perdure.actors._dispatcher.LONG", 60.0)
    async with ActorSystem() as system:
        refs = [system.ref(Waiting, str(number)) for number in range(400)]
        gate = asyncio.Event()
        gate.set()
        await asyncio.gather(*(ref.ask(Wait([], gate)) for ref in refs))
        gate.clear()
        happened: list[str] = []
        asks = asyncio.gather(*(ref.ask(Wait(happened, gate)) for ref in refs))
        begun = []
        while len(happened) < 400:
            await asyncio.sleep(0)
            if happened and (not begun or begun[-1] != len(happened)):
                begun.append(len(happened))

        assert begun == [128, 256, 288, 320, 352, 384, 400]
        gate.set()
        await asks
