"""A system of actors as a whole: what it shares, how it is found out, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors import Actor, ActorSystem, Context, Escalate, Message, Stopped, StopReason
from perdure.errors import ActorStopped, PerdureError, SystemCrashed
from perdure_testkit import VirtualClock

from .turning import soon, turns


class Total(Message[int]):
    pass


class Break(Message[int]):
    pass


class Close(Message[int]):
    pass


class Shutdown(Message[int]):
    pass


class Crash(Message[int]):
    pass


class Wait(Message[int]):
    pass


ERROR = ValueError("broken")


class Account(Actor):
    gate: asyncio.Event

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Break():
                raise ERROR
            case Close():
                await context.system.close()
            case Shutdown():
                context.system.shutdown()
            case Crash():
                context.system.crash(ERROR)
            case Wait():
                await self.gate.wait()
        return 7


class Vital(Account):
    supervision = Escalate()


@pytest.fixture(autouse=True)
async def _gate() -> None:
    Account.gate = asyncio.Event()


class Pool:
    """Something that actors share."""


class TestResources:
    async def test_are_shared_by_name(self) -> None:
        """What was put in comes out, also to an actor (AVE-60, AVE-95)."""
        pool = Pool()

        class Using(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                return context.system.resource("pool", Pool) is pool

        async with ActorSystem(resources={"pool": pool}) as system:
            assert await system.ref(Using, "a").ask(Total())

    async def test_may_be_added_later(self, system: ActorSystem) -> None:
        """The dictionary is open."""
        system.resources["limit"] = 5

        assert system.resource("limit", int) == 5

    async def test_that_are_missing_say_so(self, system: ActorSystem) -> None:
        """The error names those that are there (AVE-60)."""
        system.resources.update(pool=Pool(), limit=5)

        with pytest.raises(LookupError, match="no resource 'pol' is shared: there are limit, pool"):
            system.resource("pol", Pool)

    async def test_of_another_type_say_so(self, system: ActorSystem) -> None:
        """The error names both types (AVE-60)."""
        system.resources["pool"] = 5

        with pytest.raises(TypeError, match="the resource 'pool' is a int, not a Pool"):
            system.resource("pool", Pool)

    async def test_leave_the_dictionary_of_the_caller_alone(self) -> None:
        """The system has its own."""
        mine: dict[str, object] = {}
        system = ActorSystem(resources=mine)

        system.resources["limit"] = 5

        assert mine == {}


class TestFind:
    async def test_returns_a_live_actor(self, system: ActorSystem) -> None:
        """By its path, spawned or reached by `ref`."""
        spawned, reached = await system.spawn(Account, "a"), system.ref(Account, "b")
        await reached.ask(Total())

        assert (system.find("/user/a"), system.find("/Account/b")) == (spawned, reached)

    async def test_returns_none_for_what_is_not_live(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Neither what never was, nor what was put away or stopped."""
        spawned, reached = await system.spawn(Account, "a"), system.ref(Account, "b")
        await reached.ask(Total())
        await spawned.stop()
        await clock.advance(301)

        assert [system.find(path) for path in ("/user/a", "/Account/b", "/user/x", "/", "")] == [None] * 5

    async def test_returns_a_ref_that_works(self, system: ActorSystem) -> None:
        """As the one that `spawn` returned."""
        await system.spawn(Account, "a")
        found = system.find("/user/a")

        assert found is not None
        assert await found.ask(Total()) == 7


class TestShutdown:
    async def test_lets_go_on_who_waits_for_it(self) -> None:
        """`until_shutdown` is the last line of a server."""
        async with ActorSystem() as system:
            ref = await system.spawn(Account, "a")
            waiting = soon(system.until_shutdown())
            await turns()
            before = waiting.done()
            await ref.ask(Shutdown())
            await waiting

        assert (before, system.live) == (False, 0)

    async def test_may_be_asked_for_before_anybody_waits(self) -> None:
        """And more than once."""
        async with ActorSystem() as system:
            system.shutdown()
            system.shutdown()

            await asyncio.wait_for(system.until_shutdown(), 1)

    async def test_may_be_awaited_by_many(self) -> None:
        """One that gives up takes nobody with it."""
        async with ActorSystem() as system:
            first, second = soon(system.until_shutdown()), soon(system.until_shutdown())
            await turns()
            first.cancel()
            await turns()
            system.shutdown()

            await second

        assert first.cancelled()

    async def test_comes_with_the_close(self) -> None:
        """Whoever waits is not left behind."""
        async with ActorSystem() as system:
            waiting = soon(system.until_shutdown())
            await turns()

        await waiting

    async def test_needs_a_system_that_was_entered(self) -> None:
        """The error says what to do."""
        with pytest.raises(RuntimeError, match="enter the system first"):
            await ActorSystem().until_shutdown()


class TestCrash:
    async def test_ends_the_body_and_raises_the_cause(self) -> None:
        """An error that nobody below could handle is not lost (W-15)."""
        with pytest.raises(SystemCrashed, match="the system crashed: ValueError: broken") as caught:
            async with ActorSystem() as system:
                await system.ref(Vital, "a").tell(Break())
                await asyncio.Event().wait()

        assert caught.value.__cause__ is ERROR
        assert isinstance(caught.value, PerdureError)

    async def test_may_be_called_by_anybody(self) -> None:
        """By an actor, say, with an error that it need not raise."""
        with pytest.raises(SystemCrashed) as caught:
            async with ActorSystem() as system:
                await system.ref(Account, "a").ask(Crash())
                await asyncio.Event().wait()

        assert caught.value.__cause__ is ERROR

    async def test_by_the_body_itself_is_raised_too(self) -> None:
        """Also where the body does not wait for anything any more."""
        with pytest.raises(SystemCrashed):
            async with ActorSystem() as system:
                system.crash(ERROR)

    async def test_leaves_no_cancellation_behind(self) -> None:
        """Whoever catches the error goes on as if nothing had been."""
        with pytest.raises(SystemCrashed):
            async with ActorSystem() as system:
                system.crash(ERROR)
                await asyncio.Event().wait()

        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    async def test_stops_the_actors_in_order(self) -> None:
        """Their last hooks run as at any end."""
        ended = []

        class Tidy(Account):
            async def stopping(self, context: Context) -> None:
                ended.append(context.key)

        with pytest.raises(SystemCrashed):
            async with ActorSystem() as system:
                await system.spawn(Tidy, "a")
                system.crash(ERROR)
                await asyncio.Event().wait()

        assert ended == ["a"]

    async def test_lets_the_body_clean_up(self) -> None:
        """It is cancelled, once, and may await in its `finally`."""
        cleaned = []
        with pytest.raises(SystemCrashed):
            async with ActorSystem() as system:
                try:
                    system.crash(ERROR)
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0)
                    cleaned.append(True)

        assert cleaned == [True]

    async def test_gives_way_to_an_error_of_the_body(self) -> None:
        """What the body raises of its own is what comes out."""
        with pytest.raises(KeyError):
            async with ActorSystem() as system:
                try:
                    system.crash(ERROR)
                    await asyncio.Event().wait()
                finally:
                    raise KeyError("my own")

    async def test_is_told_of_the_first_error(self) -> None:
        """A second one changes nothing."""
        with pytest.raises(SystemCrashed) as caught:
            async with ActorSystem() as system:
                system.crash(ERROR)
                system.crash(OSError("later"))
                await asyncio.Event().wait()

        assert caught.value.__cause__ is ERROR

    async def test_while_closing_is_raised_at_the_end(self) -> None:
        """What goes wrong with the last events is not lost."""
        ended = []

        class Leaving(Account):
            async def stopping(self, context: Context) -> None:
                context.publish("farewell")
                ended.append(context.key)

        async def deliver(event: object) -> None:
            raise ERROR

        with pytest.raises(SystemCrashed) as caught:
            async with ActorSystem() as system:
                ref = await system.spawn(Leaving, "a")
                system.sink("vital", ref.subscribe(), deliver, supervision=Escalate())

        assert (caught.value.__cause__, ended) == (ERROR, ["a"])

    async def test_releases_who_waits_for_a_shutdown(self) -> None:
        """In other tasks too."""
        waiting = []
        with pytest.raises(SystemCrashed):
            async with ActorSystem() as system:
                waiting.append(soon(system.until_shutdown()))
                await turns()
                system.crash(ERROR)
                await asyncio.Event().wait()

        await waiting[0]

    async def test_within_a_timeout_is_no_timeout(self) -> None:
        """The cancellation of a crash is its own."""
        with pytest.raises(SystemCrashed):
            async with asyncio.timeout(10):
                async with ActorSystem() as system:
                    system.crash(ERROR)
                    await asyncio.Event().wait()

    async def test_within_a_task_group_is_its_error(self) -> None:
        """The group hears of it as of any error."""

        async def serve() -> None:
            async with ActorSystem() as system:
                system.crash(ERROR)
                await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(serve())

        assert caught.group_contains(SystemCrashed)

    async def test_after_the_end_is_nothing(self) -> None:
        """There is nothing left to end."""
        async with ActorSystem() as system:
            pass

        system.crash(ERROR)

        assert system.live == 0


class TestClose:
    async def test_from_a_handler_does_not_wait_for_itself(self, clock: VirtualClock) -> None:
        """The handler goes on, its asker is answered, and then all of it ends (W-08)."""
        async with ActorSystem(clock=clock) as system:
            reply = await system.ref(Account, "a").ask(Close())
            await turns()

            assert (reply, system.live, clock.monotonic()) == (7, 0, 0)

    async def test_from_a_last_hook_does_not_wait_for_itself(self, clock: VirtualClock) -> None:
        """An actor may take all the others with it."""

        class Captain(Account):
            async def stopping(self, context: Context) -> None:
                await context.system.close()

        async with ActorSystem(clock=clock) as system:
            await system.spawn(Account, "crew")
            captain = await system.spawn(Captain, "captain")
            await captain.stop()
            await turns()

            assert (system.live, clock.monotonic()) == (0, 0)

    async def test_by_many_is_one(self) -> None:
        """All of them return when it is over."""
        async with ActorSystem() as system:
            await system.spawn(Account, "a")

            await asyncio.gather(*(system.close() for _ in range(5)))

            assert system.live == 0

    async def test_that_is_cancelled_goes_on_to_its_end(self, clock: VirtualClock) -> None:
        """Nothing is left half open; then the cancellation comes out."""
        system = ActorSystem(clock=clock)
        await system.__aenter__()
        waiting = soon(system.ref(Account, "a").ask(Wait()))
        await turns()
        closing = soon(system.close())
        await turns()
        closing.cancel()
        await turns()
        early = closing.done()
        Account.gate.set()
        await asyncio.wait([closing])

        assert (early, closing.cancelled(), system.live, await waiting) == (False, True, 0, 7)

    async def test_answers_those_who_come_meanwhile(self, clock: VirtualClock) -> None:
        """No ask is left without an end."""
        system = ActorSystem(clock=clock)
        await system.__aenter__()
        ref = system.ref(Account, "a")
        waiting = soon(ref.ask(Wait()))
        await turns()
        closing = soon(system.close())
        await turns()
        late = soon(ref.ask(Total()))
        await turns()
        Account.gate.set()
        await closing
        await waiting

        with pytest.raises(ActorStopped):
            await late

    async def test_takes_a_bounded_time(self, clock: VirtualClock) -> None:
        """Who does not come to an end is cancelled, and the system's events say so (AVE-40)."""
        system = ActorSystem(clock=clock, stop_timeout=5)
        await system.__aenter__()
        events = system.events()
        waiting = soon(system.ref(Account, "a").ask(Wait()))
        await turns()
        closing = soon(system.close())
        await clock.advance(5)
        await closing
        with pytest.raises(ActorStopped):
            await waiting

        assert [event.reason for event in events.take_all() if isinstance(event, Stopped)] == [StopReason.CANCELLED]

    async def test_before_it_is_entered_closes_it_for_good(self) -> None:
        """As with a file."""
        system = ActorSystem()
        await system.close()

        with pytest.raises(RuntimeError, match="a system is entered once"):
            await system.__aenter__()

    async def test_of_an_error_in_the_body_lets_it_out(self) -> None:
        """After the actors have ended."""
        with pytest.raises(KeyError):
            async with ActorSystem() as system:
                await system.spawn(Account, "a")
                raise KeyError("my own")

        assert system.live == 0
