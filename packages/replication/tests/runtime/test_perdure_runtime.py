"""What is own to the runtime of perdure's actors."""

from __future__ import annotations

import asyncio

import pytest

from perdure import ActorSystem
from perdure.errors import Rejected, Superseded
from perdure_replication.runtime import PerdureRuntime


@pytest.mark.parametrize("error", [Rejected("no"), Superseded("Account/alice", 1), KeyError("alice")])
async def test_what_a_handler_raises_is_no_matter_of_supervision(error: Exception) -> None:
    """Also what would stop an actor of which it tells: this one asked another, and goes on."""

    async def handler(message: object) -> object:
        if message == "fail":
            raise error
        return message

    async with PerdureRuntime() as runtime:
        ref = await runtime.spawn("a", handler)

        with pytest.raises(type(error)) as caught:
            await ref.ask("fail")
        ref.send("fail")

        assert caught.value is error
        assert await ref.ask("next") == "next"


async def test_actors_live_in_a_system_that_is_given() -> None:
    """It stays open when the runtime is closed, and its own actors with it."""
    async with ActorSystem() as system:
        async with PerdureRuntime(system=system) as runtime:
            ref = await runtime.spawn("a", lambda message: message)
            during = [str(each.path) for each in system.children("/user")]

        assert (during, system.live, ref.is_live) == (["/user/a"], 0, False)
        async with PerdureRuntime(system=system) as again:
            assert await (await again.spawn("a", lambda message: message)).ask(1) == 1


async def test_an_actor_that_is_cancelled_leaves_its_groups() -> None:
    """Where it does not end in time, and its hooks are not run, its name is free all the same."""
    async with PerdureRuntime() as runtime:
        begun = asyncio.Event()

        async def handler(message: object) -> None:
            begun.set()
            await asyncio.Event().wait()

        ref = await runtime.spawn("a", handler)
        await runtime.join("group", ref)
        ref.send("for ever")
        await begun.wait()
        await ref.actor.stop(timeout=0)  # type: ignore[attr-defined]

        assert (runtime.find("a"), runtime.members("group")) == (None, [])
        again = await runtime.spawn("a", lambda message: message)
        assert (await again.ask(1), runtime.members("group")) == (1, [])
