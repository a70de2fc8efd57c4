"""What a system says of its actors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors import (
    Actor,
    ActorRef,
    ActorSystem,
    Context,
    DeadLetter,
    Escalate,
    Failed,
    Fixed,
    Message,
    Passivated,
    Restart,
    Restarted,
    Resume,
    Started,
    Stop,
    Stopped,
    StopReason,
    SystemEvent,
    Terminated,
)
from perdure.errors import ActorStopped, Rejected
from perdure_testkit import VirtualClock

from .turning import rest, soon, turns


class Total(Message[int]):
    pass


class Raise(Message[int]):
    error: Exception


class Report(Message[int]):
    error: Exception


class Wait(Message[int]):
    pass


class Flush(Message[int], critical=True):
    pass


class Account(Actor):
    total = 7
    gate: asyncio.Event

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Raise(error):
                raise error
            case Report(error):
                context.report(error)
            case Wait():
                await self.gate.wait()
        return self.total


class Fragile(Account):
    supervision = Stop()


class Unborn(Account):
    error = LookupError("no parents")

    async def started(self, context: Context) -> None:
        raise self.error


@pytest.fixture(autouse=True)
async def _gate() -> None:
    Account.gate = asyncio.Event()


async def raises(ref: ActorRef, error: Exception) -> None:
    with pytest.raises(type(error)):
        await ref.ask(Raise(error))
    await turns()


class TestEvents:
    async def test_tell_of_a_start(self, system: ActorSystem) -> None:
        """Of spawned actors, and of those that a message brings to life."""
        events = system.events()

        spawned = await system.spawn(Account, "a")
        reached = system.ref(Account, "b")
        await reached.ask(Total())

        assert events.take_all() == [Started(spawned), Started(reached)]

    async def test_tell_of_a_start_that_failed(self, system: ActorSystem) -> None:
        """With the very error, and the end that follows (W-15)."""
        events = system.events()
        with pytest.raises(LookupError):
            await system.spawn(Unborn, "a")
        await turns()

        failed, stopped = events.take_all()

        assert isinstance(failed, Failed)
        assert failed.error is Unborn.error
        assert isinstance(stopped, Stopped)
        assert (stopped.reason, stopped.error) == (StopReason.FAILED, Unborn.error)

    async def test_tell_of_a_failure_and_the_restart(self, system: ActorSystem) -> None:
        """Both have the very error."""
        ref = await system.spawn(Account, "a")
        events = system.events()
        error = ValueError("broken")

        await raises(ref, error)

        assert events.take_all() == [Failed(ref, error), Restarted(ref, error)]

    async def test_tell_of_a_restart_that_failed(self, system: ActorSystem) -> None:
        """Each failed try is a failure of its own."""
        starts = []

        class Shaky(Account):
            supervision = Restart(backoff=Fixed(0))

            async def started(self, context: Context) -> None:
                starts.append(1)
                if len(starts) == 2:
                    raise OSError("not yet")

        ref = await system.spawn(Shaky, "a")
        events = system.events()

        await raises(ref, ValueError("broken"))

        assert [type(event) for event in events.take_all()] == [Failed, Failed, Restarted]

    async def test_tell_of_a_failure_that_is_passed_over(self, system: ActorSystem) -> None:
        """`Resume` restarts nothing, and hides nothing."""
        ref = await system.spawn(Account, "a", supervision=Resume())
        events = system.events()
        error = ValueError("broken")

        await raises(ref, error)

        assert events.take_all() == [Failed(ref, error)]

    async def test_tell_of_an_end_by_failure(self, system: ActorSystem) -> None:
        """With the reason and the very error (W-15, W-05)."""
        ref = await system.spawn(Fragile, "a")
        events = system.events()
        error = ValueError("broken")

        await raises(ref, error)

        assert events.take_all() == [Failed(ref, error), Stopped(ref, StopReason.FAILED, error)]

    async def test_tell_of_an_end_that_was_asked_for(self, system: ActorSystem) -> None:
        """There is no error."""
        ref = await system.spawn(Account, "a")
        events = system.events()

        await ref.stop()

        assert events.take_all() == [Stopped(ref, StopReason.STOPPED)]

    async def test_tell_of_an_end_that_overtook_a_failure(self, system: ActorSystem) -> None:
        """Whoever is stopped before a failure of its work is acted upon has not failed."""

        class Worker(Account):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                future: asyncio.Future[int] = system.loop.create_future()
                context.pipe_to_self(future, lambda _: Total())
                future.set_exception(ValueError("broken"))
                await turns()
                await context.ref.stop()
                return 0

        ref = await system.spawn(Worker, "a")
        events = system.events()
        await ref.ask(Total())
        await ref.closed()

        assert events.take_all() == [Stopped(ref, StopReason.STOPPED)]

    async def test_tell_of_an_end_by_force(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Who does not stop in time is cancelled."""
        ref = await system.spawn(Account, "a")
        waiting = soon(ref.ask(Wait()))
        await turns()
        events = system.events()
        stopping = soon(ref.stop(timeout=1))
        await clock.advance(1)
        await stopping
        with pytest.raises(ActorStopped):
            await waiting

        assert events.take_all()[-1] == Stopped(ref, StopReason.CANCELLED)

    async def test_tell_of_passivation(self, system: ActorSystem, clock: VirtualClock) -> None:
        """To be put away is not to stop, and to come back is to start."""
        ref = system.ref(Account, "a")
        events = system.events()
        await ref.ask(Total())
        await clock.advance(301)
        await ref.ask(Total())

        assert events.take_all() == [Started(ref), Passivated(ref), Started(ref)]

    async def test_tell_of_what_a_handler_reports(self, system: ActorSystem) -> None:
        """The actor goes on, with its state (AVE-38, AVE-57, AVE-59)."""
        ref = await system.spawn(Account, "a")
        events = system.events()
        error = ValueError("odd")

        reply = await ref.ask(Report(error))

        assert (reply, events.take_all()) == (7, [Failed(ref, error)])

    async def test_tell_of_no_rejection(self, system: ActorSystem) -> None:
        """A refusal is an answer, not a failure."""
        ref = await system.spawn(Account, "a")
        events = system.events()

        await raises(ref, Rejected("no"))

        assert events.take_all() == []

    async def test_come_to_every_subscriber_until_the_end_of_the_system(self) -> None:
        """Those of the last actors included."""
        async with ActorSystem() as system:
            readers = [soon(rest(system.events())) for _ in range(2)]
            await turns()
            ref = await system.spawn(Account, "a")

        expected: list[SystemEvent] = [Started(ref), Stopped(ref, StopReason.STOPPED)]
        assert [await reader for reader in readers] == [expected, expected]

    async def test_are_bounded(self, system: ActorSystem) -> None:
        """A subscriber that sleeps costs a bounded memory (W-31)."""
        events = system.events(capacity=2)
        for n in range(5):
            await system.spawn(Account, str(n))

        assert (len(events.take_all()), events.dropped) == (2, 3)


class TestFamily:
    async def test_a_parent_learns_of_a_childs_failure_and_publishes_it(self, system: ActorSystem) -> None:
        """The exact error; the child is gone, and the parent keeps serving (AVE-65, AVE-66)."""
        error = ValueError("broken")

        class Parent(Actor):
            async def started(self, context: Context) -> None:
                self.child = await context.spawn(Fragile, "child")
                context.watch(self.child)

            async def handle(self, message: Message[Any], context: Context) -> Any:
                if isinstance(message, Terminated):
                    context.publish(message.error)
                elif isinstance(message, Raise):
                    await self.child.tell(message)
                return len(context.children)

        ref = await system.spawn(Parent, "parent")
        events = ref.subscribe()

        await ref.ask(Raise(error))
        await turns()

        assert (events.take_all(), await ref.ask(Total()), system.find("/user/parent/child")) == ([error], 0, None)

    async def test_an_error_that_escalates_is_a_failure_of_both(self, system: ActorSystem) -> None:
        """The child is over, the parent restarts, each with the very error (AVE-66)."""
        error = ValueError("broken")

        class Parent(Actor):
            async def started(self, context: Context) -> None:
                self.child = await context.spawn(Account, "child", supervision=Escalate())

            async def handle(self, message: Message[Any], context: Context) -> Any:
                await self.child.tell(message)

        ref = await system.spawn(Parent, "parent")
        child = system.find("/user/parent/child")
        assert child is not None
        events = system.events()
        await ref.tell(Raise(error))
        await turns(50)

        told = events.take_all()

        assert {event for event in told if isinstance(event, Failed)} == {Failed(child, error), Failed(ref, error)}
        assert Stopped(child, StopReason.FAILED, error) in told
        assert Restarted(ref, error) in told


class TestDeadLetters:
    async def test_are_what_comes_too_late(self, system: ActorSystem) -> None:
        """Tells and asks to who is over are counted, and told of with the reason (AVE-88, W-16)."""
        ref = await system.spawn(Account, "a")
        await ref.stop()
        events = system.events()

        for call in (ref.tell(Total()), ref.ask(Total())):
            with pytest.raises(ActorStopped):
                await call

        assert events.take_all() == [DeadLetter(Total(), "/user/a", None, "the actor is stopped")] * 2
        assert system.dead_letters == 2

    async def test_are_what_was_queued_at_a_stop(self, system: ActorSystem, caplog: pytest.LogCaptureFixture) -> None:
        """But for what is critical, which is handled (AVE-89, W-16)."""
        ref = await system.spawn(Account, "a")
        events = system.events()
        waiting = soon(ref.ask(Wait()))
        await turns()
        queued, critical = soon(ref.ask(Total())), soon(ref.ask(Flush()))
        await turns()
        await ref.tell(Raise(ValueError("never raised")))
        stopping = soon(ref.stop())
        await turns()
        Account.gate.set()
        await stopping
        with pytest.raises(ActorStopped):
            await queued

        letters = [event.message for event in events.take_all() if isinstance(event, DeadLetter)]

        assert (await waiting, await critical, system.dead_letters) == (7, 7, 2)
        assert [type(letter) for letter in letters] == [Total, Raise]
        assert "/user/a did not handle 1 told messages" in caplog.text

    async def test_are_what_was_put_aside_at_a_stop(self, system: ActorSystem) -> None:
        """Whoever asked is told, and does not wait for ever."""

        class Later(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                context.stash()

        ref = await system.spawn(Later, "a")
        asked = soon(ref.ask(Total()))
        await turns()
        await ref.stop()

        with pytest.raises(ActorStopped):
            await asked
        assert system.dead_letters == 1

    async def test_are_what_waited_for_a_start_that_failed(self, system: ActorSystem) -> None:
        """With what made it fail as the reason."""
        ref = system.ref(Unborn, "a")
        events = system.events()

        with pytest.raises(LookupError, match="no parents"):
            await ref.ask(Total())
        await turns()

        assert [event.reason for event in events.take_all() if isinstance(event, DeadLetter)] == ["no parents"]

    async def test_name_their_sender(self, system: ActorSystem) -> None:
        """The actor that sent it, if it was one."""
        gone = await system.spawn(Account, "gone")
        await gone.stop()

        class Sender(Account):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                try:
                    await gone.tell(message)
                except ActorStopped:
                    return 0

        sender = await system.spawn(Sender, "sender")
        events = system.events()

        await sender.ask(Total())

        assert events.take_all() == [DeadLetter(Total(), "/user/gone", sender, "the actor is stopped")]

    async def test_are_none_of_what_was_handled(self, system: ActorSystem) -> None:
        """An asker that gave up has been answered nevertheless."""
        ref = await system.spawn(Account, "a")
        waiting = soon(ref.ask(Wait()))
        await turns()
        waiting.cancel()
        Account.gate.set()
        await ref.ask(Total())
        await ref.stop()

        assert system.dead_letters == 0
