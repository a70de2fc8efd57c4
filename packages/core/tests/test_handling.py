"""What a handler may do with the message in hand, and what it knows of its sender."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from perdure.actors import Actor, ActorRef, ActorSystem, Context, Failed, Message
from perdure.errors import ActorStopped, AskedItself, StashFull
from perdure_testkit import VirtualClock

from .turning import soon, turns


class Put(Message[int]):
    number: int


class Open(Message[None]):
    pass


class Close(Message[None]):
    pass


class Break(Message[None]):
    pass


class Ask(Message[Any]):
    """Have the actor ask another one."""

    to: Any
    message: Any


class Who(Message[Any]):
    """The reply is the sender."""


class Chest(Actor):
    """Puts numbers aside until it is open; its replies count what it has taken."""

    def __init__(self) -> None:
        self.open = False
        self.numbers: list[int] = []

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Put() if not self.open:
                context.stash()
            case Put(number):
                self.numbers.append(number)
                return number * 10 + len(self.numbers)
            case Open():
                self.open = True
                context.unstash()
            case Close():
                self.open = False
            case Break():
                raise ValueError("broken")


class Asker(Actor):
    """Asks others."""

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Ask(to, what):
                return await to.ask(what)
            case Who():
                return context.sender


async def put(ref: ActorRef, *numbers: int) -> list[asyncio.Task[int]]:
    asks = [soon(ref.ask(Put(number))) for number in numbers]
    await turns()
    return asks


class TestStash:
    async def test_keeps_the_order_and_the_replies(self, system: ActorSystem) -> None:
        """Who asked first is answered first, when the time has come."""
        ref = await system.spawn(Chest, "a")
        asks = await put(ref, 1, 2, 3)
        waiting = [ask.done() for ask in asks]

        await ref.ask(Open())

        assert (waiting, await asyncio.gather(*asks)) == ([False] * 3, [11, 22, 33])

    async def test_comes_before_what_was_queued_later(self, system: ActorSystem) -> None:
        """The messages are handled in the order in which they were sent."""
        ref = await system.spawn(Chest, "a")
        asks = await put(ref, 1, 2)

        replies = await asyncio.gather(ref.ask(Open()), ref.ask(Put(3)), *asks)

        assert replies == [None, 33, 11, 22]

    async def test_may_be_put_aside_again(self, system: ActorSystem) -> None:
        """Each `unstash` brings back what is aside then."""
        ref = await system.spawn(Chest, "a")
        asks = await put(ref, 1, 2)
        await asyncio.gather(ref.ask(Open()), ref.ask(Close()))
        [late] = await put(ref, 3)
        await ref.ask(Open())

        assert await asyncio.gather(*asks, late) == [11, 22, 33]

    async def test_is_kept_over_a_restart(self, system: ActorSystem) -> None:
        """The next instance has it again, in order, and nobody is forgotten."""
        ref = await system.spawn(Chest, "a")
        asks = await put(ref, 1, 2)
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Break())
        await turns()

        await ref.ask(Open())

        assert await asyncio.gather(*asks) == [11, 22]

    async def test_is_refused_at_a_stop(self, system: ActorSystem) -> None:
        """Nobody waits for an actor that is over."""
        ref = await system.spawn(Chest, "a")
        [ask] = await put(ref, 1)

        await ref.stop()

        with pytest.raises(ActorStopped, match="/user/a"):
            await ask

    async def test_keeps_the_actor_from_being_put_away(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Whoever owes an answer is not idle."""
        ref = system.ref(Chest, "a")
        ask = soon(ref.ask(Put(1), timeout=10_000))
        await clock.advance(1000)

        await ref.ask(Open())

        assert await ask == 11

    async def test_is_bounded_as_the_mailbox_is(self, system: ActorSystem) -> None:
        """One message too many fails its handler, and the error says what to do."""
        small = type("Small", (Chest,), {"mailbox_capacity": 2})
        ref = await system.spawn(small, "a")
        asks = await put(ref, 1, 2)

        with pytest.raises(StashFull, match="/user/a has put 2 messages aside, and may not put aside more"):
            await ref.ask(Put(3))

        await ref.ask(Open())
        assert await asyncio.gather(*asks) == [11, 22]

    async def test_of_one_message_twice_is_refused(self, system: ActorSystem) -> None:
        """It is not in hand any more."""

        class Greedy(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                context.stash()
                context.stash()

        ref = await system.spawn(Greedy, "a")
        events = system.events()
        asked = soon(ref.ask(Put(1)))
        await turns()
        [failed, *_] = events.take_all()
        await ref.stop()
        with pytest.raises(ActorStopped):
            await asked

        assert isinstance(failed, Failed)
        assert "has no message in hand: it was put aside before" in str(failed.error)

    async def test_of_nothing_is_undone_in_silence(self, system: ActorSystem) -> None:
        """To unstash may be called at any time."""
        ref = await system.spawn(Chest, "a")

        await ref.ask(Open())

        assert await ref.ask(Put(1)) == 11


class Desk(Actor):
    """Leaves everything to another."""

    def __init__(self, to: ActorRef, after: Callable[[Context], Any] | None = None) -> None:
        self.to = to
        self.after = after

    async def handle(self, message: Message[Any], context: Context) -> Any:
        context.forward(self.to)
        return None if self.after is None else await self.after(context)


class TestForward:
    async def test_leaves_the_reply_to_the_other(self, system: ActorSystem) -> None:
        """The asker does not notice."""
        chest = await system.spawn(Chest, "chest")
        await chest.ask(Open())
        desk = await system.spawn(Desk, "desk", chest)

        assert await desk.ask(Put(1)) == 11

    async def test_leaves_errors_to_the_other(self, system: ActorSystem) -> None:
        """The asker has the very error; the one in the middle has not failed."""
        chest = await system.spawn(Chest, "chest")
        desk = await system.spawn(Desk, "desk", chest)
        events = system.events()

        with pytest.raises(ValueError, match="broken"):
            await desk.ask(Break())

        assert [event.ref for event in events.take_all() if isinstance(event, Failed)] == [chest]

    async def test_keeps_the_sender(self, system: ActorSystem) -> None:
        """The last one sees the first one."""
        last = await system.spawn(Asker, "last")
        middle = await system.spawn(Desk, "middle", last)
        first = await system.spawn(Asker, "first")

        assert await first.ask(Ask(middle, Who())) == first

    async def test_goes_through_many(self, system: ActorSystem) -> None:
        """One after the other."""
        ref = await system.spawn(Asker, "last")
        for n in range(5):
            ref = await system.spawn(Desk, str(n), ref)

        assert await ref.ask(Who()) is None

    async def test_of_a_tell_is_a_tell(self, system: ActorSystem) -> None:
        """There is no reply to be left."""
        chest = await system.spawn(Chest, "chest")
        await chest.ask(Open())
        desk = await system.spawn(Desk, "desk", chest)
        await desk.tell(Put(1))
        await turns()

        assert await chest.ask(Put(2)) == 22

    async def test_to_who_is_over_fails(self, system: ActorSystem) -> None:
        """The asker is told who it was, and the message is a dead letter."""
        chest = await system.spawn(Chest, "chest")
        await chest.stop()
        desk = await system.spawn(Desk, "desk", chest)

        with pytest.raises(ActorStopped, match="/user/chest"):
            await desk.ask(Put(1))

        assert system.dead_letters == 1

    async def test_leaves_the_forwarder_itself(self, system: ActorSystem) -> None:
        """What it does afterwards it does in its own name, whatever the other does."""
        gate = asyncio.Event()
        senders = []

        class Busy(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                await gate.wait()

        async def after(context: Context) -> None:
            await turns(3)
            senders.append(await asker.ask(Who()))

        asker = await system.spawn(Asker, "asker")
        busy = await system.spawn(Busy, "busy")
        desk = await system.spawn(Desk, "desk", busy, after)
        asked = soon(desk.ask(Open()))
        await turns(50)
        gate.set()
        await asked

        assert senders == [desk]

    async def test_back_to_a_waiting_asker_is_refused(self, system: ActorSystem) -> None:
        """Whoever has the message now would wait for who waits for it (W-08)."""
        first = await system.spawn(Asker, "first")

        class Back(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                return await first.ask(Who())

        last = await system.spawn(Back, "last")
        middle = await system.spawn(Desk, "middle", last)

        with pytest.raises(AskedItself, match="/user/first waits for"):
            await first.ask(Ask(middle, Open()))


class Pipe(Message[Any]):
    """Pipe something to the actor itself."""

    work: Any
    on_error: bool = True


class Got(Message[None]):
    what: Any


class Piping(Actor):
    def __init__(self, got: list[Any]) -> None:
        self.got = got

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Pipe(work, on_error):
                context.pipe_to_self(work, Got, Got if on_error else None)
            case Got(what):
                self.got.append(what)
            case Who():
                return len(self.got)
            case Break():
                raise ValueError("broken")


async def later(gate: asyncio.Event, result: Any) -> Any:
    await gate.wait()
    if isinstance(result, Exception):
        raise result
    return result


class TestPipeToSelf:
    async def test_sends_the_result(self, system: ActorSystem) -> None:
        """As a message, while others are handled meanwhile."""
        gate, got = asyncio.Event(), list[Any]()
        ref = await system.spawn(Piping, "a", got)
        await ref.ask(Pipe(later(gate, 7)))
        meanwhile = await ref.ask(Who())
        gate.set()
        await turns()

        assert (meanwhile, got) == (0, [7])

    async def test_sends_the_error(self, system: ActorSystem) -> None:
        """As the message that is made of it."""
        gate, got = asyncio.Event(), list[Any]()
        ref = await system.spawn(Piping, "a", got)
        error = OSError("cut off")
        await ref.ask(Pipe(later(gate, error)))
        gate.set()
        await turns()

        assert got == [error]

    async def test_without_a_message_for_errors_fails_the_actor(
        self, system: ActorSystem, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Supervision hears of it, and the log."""
        gate, got = asyncio.Event(), list[Any]()
        ref = await system.spawn(Piping, "a", got)
        events = system.events()
        error = OSError("cut off")
        gate.set()
        await ref.ask(Pipe(later(gate, error), on_error=False))
        await turns()

        assert (got, events.take_all()[0]) == ([], Failed(ref, error))
        assert "/user/a failed on what it had piped to itself" in caplog.text

    async def test_that_can_make_no_message_fails_the_actor(self, system: ActorSystem) -> None:
        """An error in the making of a message is not lost."""

        def fail(thing: object) -> Message[None]:
            raise LookupError(f"no message for {thing}")

        class Clumsy(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                future: asyncio.Future[int] = context.system.loop.create_future()
                context.pipe_to_self(future, fail, fail)
                if isinstance(message, Break):
                    future.set_exception(OSError("cut off"))
                else:
                    future.set_result(1)

        ref = await system.spawn(Clumsy, "a")
        events = system.events()
        for message in (Open(), Break()):
            await ref.ask(message)
            await turns()

        errors = [str(event.error) for event in events.take_all() if isinstance(event, Failed)]
        assert errors == ["no message for 1", "no message for cut off"]

    async def test_is_cancelled_with_the_instance(self, system: ActorSystem) -> None:
        """A new instance gets no results of work that it did not begin."""
        gate, got = asyncio.Event(), list[Any]()
        ref = await system.spawn(Piping, "a", got)
        work = soon(later(gate, 7))
        await ref.ask(Pipe(work))
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Break())
        gate.set()
        await turns()

        assert (got, work.cancelled()) == ([], True)

    async def test_that_resists_its_cancellation_is_for_nobody(self, system: ActorSystem) -> None:
        """What it returns nevertheless is dropped."""
        got = list[Any]()

        async def stubborn() -> int:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
            return 7

        ref = await system.spawn(Piping, "a", got)
        await ref.ask(Pipe(stubborn()))
        await turns()
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Break())
        await turns()

        assert got == []

    async def test_that_has_not_begun_is_cancelled_without_a_warning(self, system: ActorSystem) -> None:
        """Work may be given up in the turn in which it was given."""

        class Fickle(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                context.pipe_to_self(later(asyncio.Event(), 7), Got)
                raise ValueError("broken")

        ref = await system.spawn(Fickle, "a")

        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Open())

    async def test_that_is_cancelled_by_others_sends_nothing(self, system: ActorSystem) -> None:
        """There is neither a result nor an error; the actor goes on."""
        gate, got = asyncio.Event(), list[Any]()
        ref = await system.spawn(Piping, "a", got)
        work = soon(later(gate, 7))
        await ref.ask(Pipe(work))
        work.cancel()
        await turns()

        assert (await ref.ask(Who()), got) == (0, [])

    async def test_keeps_the_actor_from_being_put_away(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Whoever waits for a result is not idle."""
        gate, got = asyncio.Event(), list[Any]()

        class Passing(Piping):
            def __init__(self) -> None:
                super().__init__(got)

        ref = system.ref(Passing, "a")
        await ref.ask(Pipe(later(gate, 7)))
        await clock.advance(1000)
        live = ref.is_live
        gate.set()
        await clock.advance(1000)

        assert (live, got, ref.is_live) == (True, [7], False)


class TestSender:
    async def test_is_the_actor_that_asked(self, system: ActorSystem) -> None:
        """A real ref, to which one can reply (AVE-85, W-16)."""
        first, second = system.ref(Asker, "first"), await system.spawn(Asker, "second")

        assert [await first.ask(Ask(second, Who())), await second.ask(Ask(first, Who()))] == [first, second]

    async def test_is_none_from_outside(self, system: ActorSystem) -> None:
        """A program is no actor."""
        assert await system.ref(Asker, "a").ask(Who()) is None

    async def test_is_none_from_a_timer(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Though the actor has set it itself."""
        senders = []

        class Waking(Actor):
            async def started(self, context: Context) -> None:
                context.schedule_once(1, Who())

            async def handle(self, message: Message[Any], context: Context) -> Any:
                senders.append(context.sender)

        await system.spawn(Waking, "a")
        await clock.advance(1)

        assert senders == [None]

    async def test_is_also_that_of_the_tasks_it_starts(self, system: ActorSystem) -> None:
        """What a handler does side by side it does in its own name."""

        class Gathering(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                return await asyncio.gather(*(system.ref(Asker, name).ask(Who()) for name in "ab"))

        ref = await system.spawn(Gathering, "a")

        assert await ref.ask(Who()) == [ref, ref]

    async def test_is_that_of_the_message_in_hand(self, system: ActorSystem) -> None:
        """Not that of the one before."""
        ref = await system.spawn(Asker, "a")
        other = await system.spawn(Asker, "b")

        assert [await other.ask(Ask(ref, Who())), await ref.ask(Who())] == [other, None]

    async def test_can_be_told_something_after_it_was_put_away(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The ref of an actor that is reached by `ref` stays valid."""
        senders: list[ActorRef | None] = []

        class Keeping(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                senders.append(context.sender)

        keeper = await system.spawn(Keeping, "keeper")
        await system.ref(Asker, "a").ask(Ask(keeper, Who()))
        await clock.advance(301)
        [sender] = senders
        assert sender is not None

        assert (sender.is_live, await sender.ask(Who())) == (False, None)


request: ContextVar[str] = ContextVar("request", default="none")


class Name(Message[str]):
    """The reply is the request that the handler sees."""

    then: Any = None


class Tracing(Actor):
    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Name(None):
                return request.get()
            case Name(then):
                return await then.ask(Name())
            case Put(number):
                request.set(f"handler {number}")
                return number


class TestContextVariables:
    async def test_of_the_asker_are_seen_by_the_handler(self, system: ActorSystem) -> None:
        """So a trace or a request id needs no parameter."""
        request.set("mine")

        assert await system.ref(Tracing, "a").ask(Name()) == "mine"

    async def test_of_the_asker_are_seen_by_what_the_handler_asks(self, system: ActorSystem) -> None:
        """At any depth."""
        request.set("mine")

        assert await system.ref(Tracing, "a").ask(Name(system.ref(Tracing, "b"))) == "mine"

    async def test_of_two_askers_do_not_mix(self, system: ActorSystem) -> None:
        """Each message is handled with its own."""
        ref = await system.spawn(Tracing, "a")

        async def ask(name: str) -> str:
            request.set(name)
            return await ref.ask(Name())

        names = [str(n) for n in range(20)]

        assert await asyncio.gather(*map(ask, names)) == names

    async def test_of_a_handler_are_not_seen_by_the_next_one(self, system: ActorSystem) -> None:
        """Nothing leaks from message to message."""
        ref = await system.spawn(Tracing, "a")
        await ref.ask(Put(1))

        assert await ref.ask(Name()) == "none"

    async def test_of_a_handler_do_not_come_back_to_the_asker(self, system: ActorSystem) -> None:
        """A message goes one way."""
        await system.ref(Tracing, "a").ask(Put(1))

        assert request.get() == "none"

    async def test_are_kept_by_a_timer(self, system: ActorSystem, clock: VirtualClock) -> None:
        """What is set off later belongs to the same request."""
        seen = []

        class Delaying(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                if isinstance(message, Open):
                    context.schedule_once(5, Close())
                seen.append(request.get())

        ref = await system.spawn(Delaying, "a")
        request.set("mine")
        await ref.ask(Open())
        request.set("another")
        await clock.advance(5)

        assert seen == ["mine", "mine"]


class Pair(Message[int]):
    """Has fields within fields."""

    left: tuple[int, str | None]
    right: list[dict[str, int]]


class TestHandle:
    async def test_gets_the_message_as_it_was_sent(self, system: ActorSystem) -> None:
        """Nothing is copied or coded on the way (AVE-83)."""
        got = []

        class Noting(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                got.append(message)
                return len(message.right) if isinstance(message, Pair) else 0

        pair = Pair((1, None), [{"a": 1}, {}])
        count = await system.ref(Noting, "a").ask(pair)

        assert (count, got[0] is pair) == (2, True)

    async def test_that_returns_a_coroutine_has_forgotten_to_await(self, system: ActorSystem) -> None:
        """The error names it."""

        class Forgetful(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                return self.count()

            async def count(self) -> int:
                return 1

        with pytest.raises(TypeError, match=r"/Forgetful/a: .*Forgetful\.count: did it forget to await it\?"):
            await system.ref(Forgetful, "a").ask(Put(1))

    @pytest.mark.parametrize("name", ["handle", "started", "restarting", "stopping"])
    async def test_without_async_is_refused(self, name: str) -> None:
        """At the definition of the class, and so are the hooks."""

        def plain(self: Actor, *arguments: Any) -> None:
            pass

        with pytest.raises(TypeError, match=f"Plain.{name} must be written with `async def`"):
            type("Plain", (Actor,), {name: plain})

    async def test_that_is_missing_says_so(self, system: ActorSystem) -> None:
        """With the name of the class."""
        empty = type("Empty", (Actor,), {})

        with pytest.raises(NotImplementedError, match="Empty has no handle method"):
            await system.ref(empty, "a").ask(Put(1))
