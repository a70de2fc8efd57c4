"""The actors that the rules have at work; this module is also the program that has them at work in another process.

It opens a system on the store, says `ready`, and then in lines what its actors were told. It runs from this file, as
that of `_rival` does, so that a process that is started and killed again and again imports nothing but perdure.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from perdure import ActorSystem, DurableStateActor, Event, Full, Light, Message, PersistentActor, every_n_events
from perdure.abc import Backend
from perdure.errors import ConflictError

PATIENCE = 60.0
"""Seconds that an answer may take of a machine that is busy."""

KEYS = ("a", "b")
"""Of each type of actors those that write until they are killed."""


class Write(Message[int]):
    """Write values as one; the reply is the number of the last event, or of the revision."""

    values: tuple[int, ...]


class Begin(Message[bool]):
    """Begin to write a value, and give up after so many turns of the loop; the reply is whether it was written."""

    value: int
    turns: int


class Fill(Message[int]):
    """Write an event of so many bytes, and that number as its value; the reply is as of `Write`."""

    size: int


class Drop(Message[int]):
    """Delete the state; the reply is the number of the revision."""


class Read(Message[list[int]]):
    """The reply is every value that is there."""


class Look(Message[tuple[int, bool]]):
    """The reply is the number of the revision, and whether there is a state."""


class Written(Event):
    value: int
    bulk: bytes = b""


class Tape(PersistentActor[list[int], Written]):
    initial_state: list[int] = []  # noqa: RUF012  # each actor begins with a copy

    async def handle(self, message: Any, context: Any) -> Any:
        match message:
            case Read():
                return list(self.state)
            case Write(values):
                await self.persist(*map(Written, values))
            case Begin(value, turns):
                return await finished(asyncio.ensure_future(self.persist(Written(value))), turns)
            case Fill(size):
                await self.persist(Written(size, bytes(size)))
        return self.sequence_number

    def apply(self, state: list[int], event: Written) -> None:
        state.append(event.value)


class CompactingTape(Tape):
    strategy = Full(snapshot=every_n_events(2), keep_snapshots=1, compact=True)


class LightTape(Tape):
    strategy = Light()


class CompactingLightTape(Tape):
    strategy = Light(compact=True)


class Board(DurableStateActor[list[int]]):
    initial_state: list[int] = []  # noqa: RUF012  # each actor begins with a copy

    async def handle(self, message: Any, context: Any) -> Any:
        match message:
            case Read():
                return self.state
            case Look():
                return self.revision, self.exists
            case Drop():
                await self.delete()
            case Write(values):
                await self.save([*self.state, *values])
        return self.revision


TAPES: tuple[type[Tape], ...] = (Tape, CompactingTape, LightTape, CompactingLightTape)


def system_of(store: Backend | str, **options: Any) -> ActorSystem:
    """Return a system on a store, that waits long for its answers."""
    return ActorSystem(store=store, ask_timeout=PATIENCE, **options)


async def finished(task: asyncio.Future[Any], turns: int) -> bool:
    """Cancel a task after so many turns of the loop; return whether it had ended."""
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return not task.cancelled()


def say(*words: object) -> None:
    print(*words, flush=True)


async def race(system: ActorSystem, first: str, times: str) -> None:
    """Write so many values to one tape, in a race with others, and say those that were taken."""
    ref = system.ref(Tape, "a")
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for value in range(int(first), int(first) + int(times)):
        try:
            await ref.ask(Write((value,)))
        except ConflictError:
            continue
        say("wrote", value)


async def write(system: ActorSystem) -> None:
    """Write for ever: tapes of every kind 1, 2, 3, …, each number when the one before was acknowledged."""
    say("ready")

    async def write(tape: type[Tape], key: str) -> None:
        ref = system.ref(tape, key)
        number = len(await ref.ask(Read()))
        while True:
            number = await ref.ask(Write((number + 1,)))
            say(f"{tape.type_name}/{key}", number)

    await asyncio.gather(*(write(tape, key) for tape in TAPES for key in KEYS))


async def revise(system: ActorSystem) -> None:
    """Save for ever: boards their next revision as one more value, but each fifth time delete what is there."""
    say("ready")

    async def revise(key: str) -> None:
        ref = system.ref(Board, key)
        revision, _ = await ref.ask(Look())
        while True:
            revision = await ref.ask(Write((revision + 1,)) if (revision + 1) % 5 else Drop())
            say(f"Board/{key}", revision)

    await asyncio.gather(*map(revise, KEYS))


PARTS = {"race": race, "write": write, "revise": revise}


async def main(url: str, durability: str, part: str, *arguments: str) -> None:
    async with system_of(url, durability="relaxed" if durability == "relaxed" else "full") as system:
        await PARTS[part](system, *arguments)  # type: ignore[operator]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
