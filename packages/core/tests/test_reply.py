"""Replies that are given later than the handler returns, and what asking leaves behind."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from perdure.actors import Actor, ActorSystem, Context, Message, Reply, Restart
from perdure.actors import Fixed as FixedPause
from perdure.errors import ActorStopped, Rejected

from .turning import soon, turns


class Owe(Message[int]):
    pass


class Pay(Message[None]):
    amount: int


class Default(Message[None]):
    pass


class Break(Message[int]):
    pass


class Refuse(Message[int]):
    pass


class Debtor(Actor):
    """Replies when it is told to."""

    supervision = Restart(backoff=FixedPause(), max=1_000_000)

    def __init__(self) -> None:
        self.owed: list[Reply] = []

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Owe():
                self.owed.append(context.reply_later())
            case Pay(amount):
                self.owed.pop(0).send(amount)
            case Default():
                self.owed.pop(0).fail(LookupError("no money"))
            case Break():
                raise ValueError("broken")
            case Refuse():
                raise Rejected("no")


class TestReplyLater:
    async def test_lets_the_actor_go_on_while_the_asker_waits(self, system: ActorSystem) -> None:
        """Whoever asked has the reply when it is given."""
        ref = await system.spawn(Debtor, "a")
        first, second = soon(ref.ask(Owe())), soon(ref.ask(Owe()))
        await turns()

        await ref.ask(Pay(1))
        await ref.ask(Pay(2))

        assert (await first, await second) == (1, 2)

    async def test_may_be_an_error(self, system: ActorSystem) -> None:
        """The ask raises it, and nothing restarts."""
        ref = await system.spawn(Debtor, "a")
        ask = soon(ref.ask(Owe()))
        await turns()

        await ref.ask(Default())

        with pytest.raises(LookupError, match="no money"):
            await ask

    @pytest.mark.parametrize("end", ["stop", "restart"])
    async def test_ends_with_the_instance(self, system: ActorSystem, end: str) -> None:
        """Nobody waits for an answer that cannot come."""
        ref = await system.spawn(Debtor, "a")
        ask = soon(ref.ask(Owe()))
        await turns()

        if end == "stop":
            await ref.stop()
        else:
            await ref.tell(Break())

        with pytest.raises(ActorStopped, match="it ended before it replied"):
            await ask

    async def test_of_a_message_that_was_told_is_awaited_by_nobody(self, system: ActorSystem) -> None:
        """Giving it is silent."""
        ref = await system.spawn(Debtor, "a")
        await ref.tell(Owe())

        await ref.ask(Pay(1))

        assert system.live == 1

    async def test_keeps_the_actor_from_being_put_away(self, clock: Any) -> None:
        """An actor that owes a reply is not idle."""
        async with ActorSystem(clock=clock, passivate_after=1, ask_timeout=1000) as system:
            ref = system.ref(Debtor, "a")
            ask = soon(ref.ask(Owe()))
            await clock.advance(50)
            await ref.ask(Pay(3))

            assert await ask == 3


class TestAsks:
    @pytest.mark.parametrize("message", [Break(), Refuse()])
    async def test_that_fail_leave_nothing_behind(self, system: ActorSystem, message: Message[int]) -> None:
        """Errors know their frames, and frames their messages: no such cycle escapes the collector."""
        ref = await system.spawn(Debtor, "a")

        async def fail(times: int) -> int:
            for _ in range(times):
                with pytest.raises((ValueError, Rejected)):
                    await ref.ask(message)
            gc.collect()
            return len(gc.get_objects())

        await fail(50)
        before = await fail(50)

        assert await fail(300) - before < 100


class TestEnds:
    async def test_of_idle_actors_take_one_turn(self, system: ActorSystem) -> None:
        """An idle actor without a last hook is over at once."""
        refs = [await system.spawn(Debtor, str(number)) for number in range(100)]
        await turns()

        stops = asyncio.gather(*(ref.stop() for ref in refs))
        await asyncio.sleep(0)

        assert system.live == 0
        await stops

    async def test_lose_no_messages_that_an_actor_sends_itself(self, system: ActorSystem) -> None:
        """A tick that nobody handles any more is no dead letter."""

        class Ticking(Debtor):
            async def started(self, context: Context) -> None:
                context.every(1, Pay(1))

            async def handle(self, message: Message[Any], context: Context) -> Any:
                await asyncio.Event().wait()

        ref = await system.spawn(Ticking, "a")
        soon(ref.tell(Pay(0)))
        await system.clock.advance(3)  # type: ignore[attr-defined]

        await asyncio.gather(ref.stop(), system.clock.advance(20))  # type: ignore[attr-defined]

        assert system.dead_letters == 0

    async def test_asked_for_by_a_task_of_the_actor_are_not_waited_for(self, system: ActorSystem) -> None:
        """A handler that gathers the stop of its own actor does not wait for itself."""

        class Suicidal(Debtor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                await asyncio.gather(context.ref.stop())
                return 1

        ref = await system.spawn(Suicidal, "a")

        assert await asyncio.wait_for(ref.ask(Owe()), 5) == 1
        await ref.closed()
