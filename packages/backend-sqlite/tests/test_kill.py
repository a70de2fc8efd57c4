"""What a killed process leaves behind. The processes are real, and so is the SIGKILL."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from perdure import ActorSystem, DurableStateActor, Event, Full, Light, Message, PersistentActor, every_n_events
from perdure.journal import EVENTS

WRITER = '''
import asyncio
import sys

from perdure import ActorSystem, Event, Full, Light, Message, PersistentActor, every_n_events


class Write(Message[int]):
    """Write the next number of this tape; the reply is it."""


class Written(Event):
    value: int


class Tape(PersistentActor[list[int], Written]):
    initial_state = []
    strategy = {strategy}

    async def handle(self, message, context):
        value = len(self.state) + 1
        await self.persist(Written(value))
        return value

    def apply(self, state, event):
        state.append(event.value)


async def main(url, actors):
    async with ActorSystem(store=url) as system:

        async def write(name):
            ref = system.ref(Tape, name)
            while True:
                value = await ref.ask(Write())
                sys.stdout.write(f"{{name}} {{value}}\\n")
                sys.stdout.flush()

        await asyncio.gather(*(write(str(number)) for number in range(actors)))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
'''

STATE_WRITER = '''
import asyncio
import sys

from perdure import ActorSystem, DurableStateActor, Message


class Write(Message[int]):
    """Write the next revision of this counter, each fifth of them a delete; the reply is it."""


class Counter(DurableStateActor[int]):
    initial_state = 0

    async def handle(self, message, context):
        if (self.revision + 1) % 5 == 0:
            await self.delete()
        else:
            await self.save(self.revision + 1)
        return self.revision


async def main(url, actors):
    async with ActorSystem(store=url) as system:

        async def write(name):
            ref = system.ref(Counter, name)
            while True:
                revision = await ref.ask(Write())
                sys.stdout.write(f"{name} {revision}\\n")
                sys.stdout.flush()

        await asyncio.gather(*(write(str(number)) for number in range(actors)))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
'''

STRATEGIES: dict[str, Full | Light] = {
    "Full(snapshot=every_n_events(7))": Full(snapshot=every_n_events(7)),
    "Full(snapshot=every_n_events(7), keep_snapshots=1, compact=True)": Full(
        snapshot=every_n_events(7), keep_snapshots=1, compact=True
    ),
    "Light()": Light(),
    "Light(compact=True)": Light(compact=True),
}
ACTORS = 8


class Written(Event):
    value: int


class Read(Message[list[int]]):
    pass


class Tape(PersistentActor[list[int], Written]):
    initial_state: list[int] = []  # noqa: RUF012  # each actor begins with a copy

    async def handle(self, message: Message[Any], context: Any) -> list[int]:
        return list(self.state)

    def apply(self, state: list[int], event: Written) -> None:
        state.append(event.value)


class Look(Message[tuple[int, int, bool]]):
    pass


class Counter(DurableStateActor[int]):
    initial_state = 0

    async def handle(self, message: Message[Any], context: Any) -> tuple[int, int, bool]:
        return self.revision, self.state, self.exists


def write_until_killed(url: str, writer: str, lines: int) -> dict[str, int]:
    """Run a process that writes, kill it after so many acknowledgements; return the last one of each actor."""
    acknowledged: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, "-c", writer, url, str(ACTORS)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if number >= lines:
                process.send_signal(signal.SIGKILL)
                lines = sys.maxsize  # read on: what was written before the kill is acknowledged too
            if line.endswith("\n"):
                name, value = line.split()
                acknowledged[name] = int(value)
        process.wait(timeout=10)
    assert process.returncode == -signal.SIGKILL
    return acknowledged


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_after_a_kill_every_acknowledged_event_is_there_once(strategy: str, tmp_path: Path) -> None:
    """Killed again and again, each tape is 1, 2, 3, … at least to what was acknowledged (AVE-09, AVE-41)."""
    url = f"sqlite:///{tmp_path}/kill.db"
    Tape.strategy = STRATEGIES[strategy]
    chance = random.Random(strategy)
    for _ in range(3):
        acknowledged = write_until_killed(url, WRITER.format(strategy=strategy), chance.randrange(1, 400))

        async with ActorSystem(store=url) as system:
            for name in map(str, range(ACTORS)):
                state = await system.ref(Tape, name).ask(Read())
                keys = [entry.key async for entry in system.backend.collection(EVENTS, f"Tape/{name}").iterate()]

                assert state == list(range(1, len(state) + 1))
                assert len(state) >= acknowledged.get(name, 0)
                assert all(later == earlier + 1 for earlier, later in pairwise(keys))
                assert (keys or [0])[-1] == len(state)


async def test_after_a_kill_every_durable_state_is_an_acknowledged_one_or_the_next(tmp_path: Path) -> None:
    """Killed again and again, each counter has one revision, whole, and at least the acknowledged one."""
    url = f"sqlite:///{tmp_path}/kill.db"
    chance = random.Random("durable")
    for _ in range(5):
        acknowledged = write_until_killed(url, STATE_WRITER, chance.randrange(1, 400))

        async with ActorSystem(store=url) as system:
            for name in map(str, range(ACTORS)):
                revision, state, exists = await system.ref(Counter, name).ask(Look())
                keys = [entry.key async for entry in system.backend.collection("durable", f"Counter/{name}").iterate()]

                assert acknowledged.get(name, 0) <= revision <= acknowledged.get(name, revision) + 1
                assert (state, exists) == ((0, False) if revision % 5 == 0 else (revision, True))
                assert keys == ([revision] if revision else [])
