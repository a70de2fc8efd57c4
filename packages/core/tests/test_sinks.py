"""Functions that a system feeds with events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.actors import (
    Actor,
    ActorSystem,
    Backoff,
    ByError,
    Context,
    Delays,
    Escalate,
    Fixed,
    Message,
    Restart,
    Resume,
    Started,
    Stop,
    Stopped,
)
from perdure.errors import SystemCrashed
from perdure_testkit import VirtualClock

from .turning import soon, turns


class Say(Message[None]):
    texts: tuple[str, ...]


class Speaker(Actor):
    """Publishes what it is told to, and a farewell."""

    async def handle(self, message: Message[Any], context: Context) -> Any:
        if isinstance(message, Say):
            for text in message.texts:
                context.publish(text)

    async def stopping(self, context: Context) -> None:
        context.publish("farewell")


class Paper:
    """Notes what is delivered; fails as often as it is told to for a text."""

    def __init__(self, **failures: int) -> None:
        self.attempts: list[str] = []
        self.texts: list[str] = []
        self._failures = failures

    async def write(self, text: str) -> None:
        self.attempts.append(text)
        if self._failures.get(text, 0) > 0:
            self._failures[text] -= 1
            raise OSError(f"no ink for {text}")
        self.texts.append(text)


class TestDelivery:
    async def test_is_in_order(self, system: ActorSystem) -> None:
        """The function takes one event after the other, whole (AVE-79, ATS-130)."""
        ref = await system.spawn(Speaker, "a")
        paper = Paper()
        sink = system.sink("paper", ref.subscribe(), paper.write)

        await ref.ask(Say(("one", "two", "three")))
        await ref.stop()
        await sink.closed()

        assert (paper.texts, sink.delivered) == (["one", "two", "three", "farewell"], 4)

    async def test_is_of_one_event_at_a_time(self, system: ActorSystem) -> None:
        """The next one waits until the function has returned."""
        gate = asyncio.Event()
        begun = []

        async def write(text: str) -> None:
            begun.append(text)
            await gate.wait()

        ref = await system.spawn(Speaker, "a")
        system.sink("slow", ref.subscribe(), write)
        await ref.ask(Say(("one", "two")))
        await turns()
        before = list(begun)
        gate.set()
        await turns()

        assert (before, begun) == (["one"], ["one", "two"])

    async def test_of_the_last_hooks_events_is_awaited_by_the_system(self) -> None:
        """What is published while the system ends is delivered before it has ended (AVE-49, W-33)."""
        paper = Paper()

        async def write(text: str) -> None:
            await turns(50)
            await paper.write(text)

        async with ActorSystem() as system:
            ref = await system.spawn(Speaker, "a")
            system.sink("slow", ref.subscribe(), write)
            await ref.tell(Say(("one", "two")))

        assert paper.texts == ["one", "two", "farewell"]

    async def test_of_the_systems_own_events_goes_to_its_very_end(self) -> None:
        """The ends of the last actors are among them."""
        kinds = []

        async def note(event: object) -> None:
            kinds.append(type(event))

        async with ActorSystem() as system:
            system.sink("audit", system.events(), note)
            await system.spawn(Speaker, "a")

        assert kinds == [Started, Stopped]

    async def test_takes_any_asynchronous_events(self, system: ActorSystem) -> None:
        """Not only those of actors."""

        async def numbers() -> AsyncIterator[str]:
            for n in range(3):
                yield str(n)

        paper = Paper()
        await system.sink("numbers", numbers(), paper.write).closed()

        assert paper.texts == ["0", "1", "2"]

    async def test_in_a_system_that_is_not_open_is_refused(self) -> None:
        """Nobody would wait for it."""
        system = ActorSystem()
        events = system.ref(Speaker, "a").subscribe()
        with pytest.raises(RuntimeError, match="enter the system first"):
            system.sink("early", events, Paper().write)
        async with system:
            pass

        with pytest.raises(RuntimeError, match="the system is closed"):
            system.sink("late", events, Paper().write)


class TestFailure:
    async def test_has_the_event_delivered_again(self, system: ActorSystem, clock: VirtualClock) -> None:
        """By default nothing is skipped, and the tries are further and further apart (W-33, ATS-131)."""
        paper = Paper(two=2)
        ref = await system.spawn(Speaker, "a")
        restart = Restart(backoff=Backoff(first=1, initial=5))
        sink = system.sink("paper", ref.subscribe(), paper.write, supervision=restart)
        await ref.ask(Say(("one", "two", "three")))

        counts = []
        for seconds in (0.5, 0.6, 4, 1):
            await clock.advance(seconds)
            counts.append(len(paper.attempts))

        assert counts == [2, 3, 3, 5]
        assert (paper.texts, sink.delivered) == (["one", "two", "three"], 3)

    async def test_harms_neither_the_actor_nor_other_sinks(self, system: ActorSystem) -> None:
        """An actor does not know who listens (AVE-80)."""
        ref = await system.spawn(Speaker, "a")
        broken, whole = Paper(one=99), Paper()
        system.sink("broken", ref.subscribe(), broken.write, supervision=Stop())
        system.sink("whole", ref.subscribe(), whole.write)

        await ref.ask(Say(("one",)))
        await ref.ask(Say(("two",)))
        await turns()

        assert (broken.texts, whole.texts) == ([], ["one", "two"])

    async def test_may_skip_the_event(self, system: ActorSystem) -> None:
        """`Resume` goes on with the next one (ATS-131)."""
        paper = Paper(one=1)
        ref = await system.spawn(Speaker, "a")
        sink = system.sink("paper", ref.subscribe(), paper.write, supervision=Resume())

        await ref.ask(Say(("one", "two")))
        await turns()

        assert (paper.attempts, paper.texts, sink.delivered) == (["one", "two"], ["two"], 1)

    async def test_may_end_the_sink(self, system: ActorSystem, caplog: pytest.LogCaptureFixture) -> None:
        """`Stop` reads no more, keeps nothing more, and the log says so (ATS-131)."""
        paper = Paper(one=1)
        ref = await system.spawn(Speaker, "a")
        events = ref.subscribe()
        sink = system.sink("paper", events, paper.write, supervision=Stop())
        await ref.ask(Say(("one", "two")))
        await sink.closed()

        await ref.ask(Say(("three",)))

        assert (paper.attempts, sink.is_running, events.take_all()) == (["one"], False, ["two"])
        assert "no ink for one" in caplog.text
        assert "the sink paper is stopped by its supervision" in caplog.text

    async def test_too_often_ends_the_sink(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The budget of `Restart` is for a sink as for an actor (ATS-131)."""
        paper = Paper(one=99)
        ref = await system.spawn(Speaker, "a")
        supervision = Restart(max=2, backoff=Fixed(1))
        sink = system.sink("paper", ref.subscribe(), paper.write, supervision=supervision)
        await ref.ask(Say(("one",)))

        await clock.advance(10)

        assert (paper.attempts, sink.is_running) == (["one"] * 3, False)

    async def test_at_the_end_of_its_schedule_ends_the_sink(self, system: ActorSystem, clock: VirtualClock) -> None:
        """As many tries as there are delays, and the first."""
        paper = Paper(one=99)
        ref = await system.spawn(Speaker, "a")
        supervision = Restart(backoff=Delays((1, 2)))
        sink = system.sink("paper", ref.subscribe(), paper.write, supervision=supervision)
        await ref.ask(Say(("one",)))

        await clock.advance(10)

        assert (paper.attempts, sink.is_running) == (["one"] * 3, False)

    async def test_may_crash_the_system(self) -> None:
        """`Escalate` is for what must not go on without its listener."""
        with pytest.raises(SystemCrashed, match="no ink for one") as caught:
            async with ActorSystem() as system:
                ref = await system.spawn(Speaker, "a")
                system.sink("paper", ref.subscribe(), Paper(one=1).write, supervision=Escalate())
                await ref.ask(Say(("one",)))
                await asyncio.Event().wait()

        assert isinstance(caught.value.__cause__, OSError)

    async def test_may_be_judged_by_its_error(self, system: ActorSystem) -> None:
        """Supervision chooses as for an actor."""
        paper = Paper(one=1)
        ref = await system.spawn(Speaker, "a")
        by_error = ByError({OSError: Resume()}, otherwise=Stop())
        system.sink("paper", ref.subscribe(), paper.write, supervision=by_error)

        await ref.ask(Say(("one", "two")))
        await turns()

        assert paper.texts == ["two"]

    async def test_is_also_a_cancellation_that_the_function_met(self, system: ActorSystem) -> None:
        """Only the sink's own end is its end; what the function awaited may be cancelled."""
        texts = []

        async def write(text: str) -> None:
            if text == "one":
                future = system.loop.create_future()
                future.cancel()
                await future
            texts.append(text)

        ref = await system.spawn(Speaker, "a")
        system.sink("paper", ref.subscribe(), write, supervision=Resume())

        await ref.ask(Say(("one", "two")))
        await turns()

        assert texts == ["two"]

    async def test_of_the_events_themselves_is_logged(
        self, system: ActorSystem, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A sink whose source is broken does not end in silence."""

        async def source() -> AsyncIterator[str]:
            yield "one"
            raise OSError("the wire is cut")

        paper = Paper()
        await system.sink("wire", source(), paper.write).closed()

        assert paper.texts == ["one"]
        assert "the sink wire cannot read its events any more" in caplog.text
        assert "the wire is cut" in caplog.text


class TestEnd:
    async def test_cuts_off_a_function_that_hangs(self, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
        """Closing takes a bounded time, and the log says what was lost."""
        system = ActorSystem(clock=clock, stop_timeout=5)
        await system.__aenter__()
        ref = await system.spawn(Speaker, "a")

        async def hang(text: str) -> None:
            await asyncio.Event().wait()

        system.sink("stuck", ref.subscribe(), hang)
        closing = soon(system.close())
        await clock.advance(4.9)
        before = closing.done()
        await clock.advance(0.2)

        assert (before, closing.done()) == (False, True)
        assert "the sink stuck did not take its events in time and is cancelled" in caplog.text

    async def test_leaves_a_function_to_itself_that_cannot_be_cancelled(self, clock: VirtualClock) -> None:
        """Closing takes a bounded time, whatever the function does."""
        system = ActorSystem(clock=clock, stop_timeout=5)
        await system.__aenter__()
        ref = await system.spawn(Speaker, "a")
        gate = asyncio.Event()

        async def defy(text: str) -> None:
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    pass

        sink = system.sink("stubborn", ref.subscribe(), defy)
        closing = soon(system.close())
        await clock.advance(7)
        done = closing.done()
        gate.set()
        await sink.closed()
        await closing

        assert done

    async def test_does_not_try_again_to_reach_actors_that_are_over(self, clock: VirtualClock) -> None:
        """A sink that hands on to an actor does not hold up the end, in which nobody can be reached any more."""
        async with ActorSystem(clock=clock) as system:
            ref = await system.spawn(Speaker, "a")
            reader = await system.spawn(Speaker, "reader")
            sink = system.sink("reader", ref.subscribe(), lambda text: reader.tell(Say((text,))))

        assert (clock.monotonic(), sink.delivered, system.dead_letters) == (0, 0, 1)

    async def test_ends_the_wait_for_another_try(self, clock: VirtualClock) -> None:
        """A back-off that is longer than the system's end does not outlive it."""
        system = ActorSystem(clock=clock, stop_timeout=5)
        await system.__aenter__()
        ref = await system.spawn(Speaker, "a")
        supervision = Restart(backoff=Fixed(1000))
        sink = system.sink("paper", ref.subscribe(), Paper(farewell=1).write, supervision=supervision)

        closing = soon(system.close())
        await clock.advance(6)

        assert (closing.done(), sink.is_running) == (True, False)

    async def test_by_hand_before_it_began_lets_go_of_the_events(self, system: ActorSystem) -> None:
        """Nothing is kept for a listener that never was."""
        ref = await system.spawn(Speaker, "a")
        events = ref.subscribe()
        sink = system.sink("paper", events, Paper().write)

        sink.cancel()
        await sink.closed()
        await ref.ask(Say(("one",)))

        assert events.take_all() == []

    async def test_by_hand_leaves_the_rest(self, system: ActorSystem) -> None:
        """`cancel` is for a listener that is not wanted any more."""
        paper = Paper()
        ref = await system.spawn(Speaker, "a")
        sink = system.sink("paper", ref.subscribe(), paper.write)
        await ref.ask(Say(("one",)))
        await turns()

        sink.cancel()
        await sink.closed()
        await ref.ask(Say(("two",)))

        assert (paper.texts, sink.is_running) == (["one"], False)
