"""Whether a backend's actors outlive being killed while keys rotate and subjects are forgotten.

A process has some actors, a few of them persons of their own. They write, while the store is sealed with one new key
after the other, and persons are forgotten. It says what it has done, and is killed at some moment; then another goes on
with one more key. In the end all that was acknowledged is there, once, but for what concerns those who were forgotten;
and when the last key has sealed everything, the others are not needed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from perdure import ActorSystem, Event, Full, Keyring, Message, PersistentActor, Sealing, every_n_events
from perdure.errors import SubjectForgotten
from perdure.upkeep import reseal, verify

_PROGRAM = "import asyncio, sys; from perdure_testkit._rotation import live; asyncio.run(live(*sys.argv[1:]))"
_ACTORS = 6
_PERSONS = 6


class Write(Message[int]):
    """Write the next number; the reply is it."""


class Read(Message[int]):
    """Ask how far the numbers go."""


class Written(Event):
    value: int


class Diary(PersistentActor[tuple[int, ...], Written]):
    """Holds 1, 2, 3, …."""

    initial_state = ()
    strategy = Full(snapshot=every_n_events(7), keep_snapshots=1, compact=True)

    async def handle(self, message: Any, context: Any) -> int:
        if isinstance(message, Write):
            await self.persist(Written(len(self.state) + 1))
        assert self.state == tuple(range(1, len(self.state) + 1))
        return len(self.state)

    def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
        return (*state, event.value)


class Person(Diary):
    """Can be forgotten."""

    @classmethod
    def subject(cls, persistence_id: str) -> str:
        return persistence_id


class _Said(msgspec.Struct):
    """What a process has said that it has done."""

    acknowledged: dict[str, int] = {}
    going: set[str] = set()
    """Persons who were to be forgotten: they may be, or not."""
    forgotten: set[str] = set()


async def check_rotation(url: str, folder: Path, *, rounds: int = 4, seed: int = 1) -> None:
    """Raise `AssertionError` if something is lost, doubled, readable or unreadable that ought not to be.

    Each round is one killed process. `url` names a store that outlives it; keys are kept in `folder`.
    """
    chance = Random(seed)
    keys: dict[int, bytes] = {}
    said = _Said()
    for version in range(1, rounds + 1):
        keys[version] = chance.randbytes(32)
        _write_keys(folder / "keys", keys)
        await _live_until_killed(url, folder / "keys", chance.randrange(100, 1200), said)
    await _check(url, Sealing(Keyring(keys), chain=True), said)
    await reseal(url, Sealing(Keyring(keys), chain=True), actor_types=[Diary, Person])
    await _check(url, Sealing(Keyring({rounds: keys[rounds]}), chain=True), said)


def _write_keys(path: Path, keys: dict[int, bytes]) -> None:
    path.touch(mode=0o600)
    path.write_text("".join(f"{version}: {key.hex()}\n" for version, key in keys.items()))


async def _live_until_killed(url: str, keys: Path, lines: int, said: _Said) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, url, str(keys)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    number = 0
    async for line in process.stdout:
        number += 1
        if number == lines:
            process.kill()  # what it said before is read on: that is acknowledged too
        if line.endswith(b"\n"):
            _note(said, *line.decode().split())
    await process.wait()
    assert number >= lines, "the process ended before it was killed"


def _note(said: _Said, what: str, name: str, value: str = "") -> None:
    match what:
        case "wrote":
            said.acknowledged[name] = int(value)
        case "forgetting":
            said.going.add(name)
        case "forgot":
            said.forgotten.add(name)


async def _check(url: str, sealing: Sealing, said: _Said) -> None:
    async with ActorSystem(store=url, sealing=sealing) as system:
        result = await verify(system.backend, sealing)
        assert result.ok, result.problems
        for kind, name in _names():
            try:
                length = await system.ref(kind, name).ask(Read())
            except SubjectForgotten:
                assert name in said.going, f"{name} is forgotten, and nobody has asked for it"
            else:
                assert name not in said.forgotten, f"{name} was forgotten, and can be read"
                assert length >= said.acknowledged.get(name, 0), f"{name} has lost what was acknowledged"


def _names() -> list[tuple[type[Diary], str]]:
    return [(Diary, f"diary{n}") for n in range(_ACTORS)] + [(Person, f"person{n}") for n in range(_PERSONS)]


async def live(url: str, keys: str) -> None:
    """Write, rotate and forget until killed."""
    keyring = Keyring.from_file(keys)
    sealing = Sealing(keyring, chain=True)
    if len(keyring.versions) > 1:
        keyring.activate(keyring.versions[-2])
    async with ActorSystem(store=url, sealing=sealing) as system, asyncio.TaskGroup() as tasks:
        for kind, name in _names():
            tasks.create_task(_write(system, kind, name))
        tasks.create_task(_rotate(system, sealing))
        tasks.create_task(_forget(system))


async def _write(system: ActorSystem, kind: type[Diary], name: str) -> None:
    with suppress(SubjectForgotten):
        while True:
            _say("wrote", name, await system.ref(kind, name).ask(Write()))


async def _rotate(system: ActorSystem, sealing: Sealing) -> None:
    sealing.keyring.activate(sealing.keyring.versions[-1])
    while True:
        await reseal(
            system.backend,
            sealing,
            actor_types=[Diary, Person],
            progress=lambda at: _say("sealed", at.stage, at.resealed),
        )


async def _forget(system: ActorSystem) -> None:
    chance = Random()
    while True:
        await asyncio.sleep(chance.uniform(0.0, 0.2))
        name = f"person{chance.randrange(_PERSONS)}"
        _say("forgetting", name)
        await system.forget(f"Person/{name}")
        _say("forgot", name)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()
