"""An actor that does what a test tells it, and notes what happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from perdure.actors import Actor, ActorSystem, Context, Message

Deed: TypeAlias = Callable[[Context], Coroutine[Any, Any, Any]]


class Do(Message[Any]):
    """Do something, and reply with what it returns."""

    what: Deed


class MustDo(Do, critical=True):
    """Do something, also when it is queued at a stop."""


class Puppet(Actor):
    """Does what it is told; `hooks` are what it is to do in its hooks, by their names."""

    def __init__(self, **hooks: Deed) -> None:
        self.hooks = hooks

    async def started(self, context: Context) -> None:
        await self._play("started", context)

    async def restarting(self, context: Context, error: BaseException) -> None:
        await self._play("restarting", context)

    async def stopping(self, context: Context) -> None:
        await self._play("stopping", context)

    async def handle(self, message: Message[Any], context: Context) -> Any:
        if isinstance(message, Do):
            return await message.what(context)
        did(context.system).append(message)

    async def _play(self, hook: str, context: Context) -> None:
        did(context.system).append(f"{hook} {context.key}")
        if hook in self.hooks:
            await self.hooks[hook](context)


def did(system: ActorSystem) -> list[Any]:
    """Return what has happened to the puppets of a system: hooks as text, and messages other than `Do`."""
    notes = system.resources.setdefault("did", [])
    assert isinstance(notes, list)
    return notes


def noting(note: str) -> Deed:
    async def deed(context: Context) -> None:
        did(context.system).append(note)

    return deed


def raising(error: BaseException) -> Deed:
    async def deed(context: Context) -> None:
        raise error

    return deed


def returning(value: object) -> Deed:
    async def deed(context: Context) -> object:
        return value

    return deed


def waiting(gate: asyncio.Event) -> Deed:
    async def deed(context: Context) -> None:
        await gate.wait()

    return deed


def spawning(*names: str, **hooks: Any) -> Deed:
    """Spawn children that are puppets."""

    async def deed(context: Context) -> None:
        for name in names:
            await context.spawn(Puppet, name, **hooks)

    return deed


def in_turn(*deeds: Deed) -> Deed:
    """Do one thing the first time, the next one the second time, and the last one from then on."""
    times = 0

    async def deed(context: Context) -> Any:
        nonlocal times
        times += 1
        return await deeds[min(times, len(deeds)) - 1](context)

    return deed


async def stubborn(context: Context) -> None:
    """Never end, and swallow every cancellation; until the system's resource `release` is set."""
    release = context.system.resource("release", asyncio.Event)
    while not release.is_set():
        try:
            await release.wait()
        except asyncio.CancelledError:
            pass


async def within_seconds(work: Coroutine[Any, Any, Any], seconds: float = 5) -> Any:
    """Await what could hang; fail the test if it does."""
    async with asyncio.timeout(seconds):
        return await work
