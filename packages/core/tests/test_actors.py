from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Coroutine
from typing import Any, ClassVar

import pytest

from perdure.actors import Actor, ActorRef, ActorSystem, Backoff, Context, Message, Restart, Stop
from perdure.errors import (
    ActorStopped,
    AskedItself,
    AskTimeout,
    InvalidIdentifier,
    NameTaken,
    PerdureError,
    Rejected,
    Unhandled,
)
from perdure_testkit import VirtualClock


class Add(Message[int]):
    amount: int


class Total(Message[int]):
    pass


class Fail(Message[int]):
    text: str = "broken"


class Refuse(Message[int]):
    pass


class Wait(Message[int]):
    """Wait until the gate of the test opens."""


class Strange(Message[int]):
    pass


class Quiet(Message[None]):
    pass


class Pause(Message[int]):
    pass


class Counter(Actor):
    """Adds up in memory; what it does is noted in `did`, by path."""

    gate: ClassVar[asyncio.Event]
    did: ClassVar[list[str]]

    def __init__(self, total: int = 0) -> None:
        self.total = total

    async def started(self, context: Context) -> None:
        self.did.append(f"started {context.key}")

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Add(amount):
                self.total += amount
                return self.total
            case Total():
                return self.total
            case Fail(text):
                self.total = -1
                raise ValueError(text)
            case Refuse():
                raise Rejected("no")
            case Wait():
                self.did.append("waiting")
                await self.gate.wait()
                return self.total
            case Pause():
                await asyncio.sleep(0)
                return self.total

    async def stopping(self, context: Context) -> None:
        self.did.append(f"stopping {context.key}")


class Plain(Actor):
    """Has no hooks."""

    handle = Counter.handle
    total = 0


@pytest.fixture(autouse=True)
async def _fresh() -> None:
    Counter.gate = asyncio.Event()
    Counter.did = []


@pytest.fixture
async def system(clock: VirtualClock) -> AsyncIterator[ActorSystem]:
    async with ActorSystem(clock=clock, stop_timeout=5) as system:
        yield system
        Counter.gate.set()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def soon(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coroutine)


class TestAsk:
    async def test_returns_the_reply(self, system: ActorSystem) -> None:
        """The reply is what the handler returned."""
        assert await system.ref(Counter, "a").ask(Add(2)) == 2

    async def test_messages_are_handled_one_at_a_time_in_order(self, system: ActorSystem) -> None:
        """First come, first served, tells and asks alike (AVE-84, AVE-73)."""
        ref = system.ref(Counter, "a")
        for amount in (1, 2, 3):
            await ref.tell(Add(amount))

        replies = await asyncio.gather(*(ref.ask(Add(amount)) for amount in (4, 5, 6)))

        assert replies == [10, 15, 21]

    async def test_raises_what_the_handler_raised(self, system: ActorSystem) -> None:
        """The asker gets the very error (AVE-82)."""
        with pytest.raises(ValueError, match="my words"):
            await system.ref(Counter, "a").ask(Fail("my words"))

    async def test_gives_up_after_its_timeout(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The error names the actor and the seconds."""
        ask = soon(system.ref(Counter, "a").ask(Wait(), timeout=5))

        await clock.advance(4.9)
        assert not ask.done()
        await clock.advance(0.2)

        with pytest.raises(AskTimeout, match="/Counter/a did not reply within 5 s; the message may still be handled"):
            await ask

    async def test_has_the_systems_timeout_by_default(self, clock: VirtualClock) -> None:
        """Nobody waits for ever by accident (W-08)."""
        async with ActorSystem(clock=clock, ask_timeout=7) as system:
            ask = soon(system.ref(Counter, "a").ask(Wait()))
            await clock.advance(7)

            with pytest.raises(AskTimeout, match="within 7 s"):
                await ask
            Counter.gate.set()

    async def test_that_timed_out_is_a_timeout_error(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Code that knows only the standard error catches it."""
        ask = soon(system.ref(Counter, "a").ask(Wait(), timeout=1))
        await clock.advance(1)

        with pytest.raises(TimeoutError):
            await ask

    async def test_that_timed_out_is_still_handled(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A message is not withdrawn."""
        ref = system.ref(Counter, "a")
        waiting = soon(ref.ask(Wait()))
        ask = soon(ref.ask(Add(5), timeout=1))
        await clock.advance(1)
        with pytest.raises(AskTimeout):
            await ask
        Counter.gate.set()
        await waiting

        assert await ref.ask(Total()) == 5

    async def test_without_a_case_says_so(self, system: ActorSystem) -> None:
        """A handler that returns nothing where a reply was promised is a mistake with a name."""
        with pytest.raises(Unhandled, match="/Counter/a gave no reply to Strange, which promises int"):
            await system.ref(Counter, "a").ask(Strange())

    async def test_without_a_case_restarts_nothing(self, system: ActorSystem) -> None:
        """The actor goes on."""
        ref = system.ref(Counter, "a")
        await ref.ask(Add(1))
        with pytest.raises(Unhandled):
            await ref.ask(Strange())

        assert await ref.ask(Total()) == 1

    async def test_of_a_message_without_a_reply_returns_none(self, system: ActorSystem) -> None:
        """`Message[None]` promises nothing but that it was handled."""
        reply: object = await system.ref(Counter, "a").ask(Quiet())

        assert reply is None

    async def test_of_an_actor_by_itself_is_refused(self, system: ActorSystem) -> None:
        """It would wait for its own reply for ever (W-08)."""

        class Narcissus(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                return await context.ref.ask(Total())

        with pytest.raises(AskedItself, match="/Narcissus/a asks itself inside a handler"):
            await system.ref(Narcissus, "a").ask(Total())

    @pytest.mark.parametrize("thing", [None, 1, "Add", Add, object()])
    async def test_of_what_is_no_message_is_refused(self, system: ActorSystem, thing: Any) -> None:
        """The error says what a message is."""
        with pytest.raises(TypeError, match="/Counter/a: a message is an instance of"):
            await system.ref(Counter, "a").ask(thing)

    async def test_whose_nested_ask_timed_out_names_the_nested_actor(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """The path in the error is the one that did not reply."""

        class Middle(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                return await context.system.ref(Counter, "deep").ask(Wait(), timeout=1)

        ask = soon(system.ref(Middle, "a").ask(Total(), timeout=9))
        await clock.advance(1)

        with pytest.raises(AskTimeout, match="/Counter/deep did not reply within 1 s"):
            await ask

    async def test_with_a_timeout_of_its_own_leaves_nothing_behind(self, system: ActorSystem) -> None:
        """Timeouts that are computed anew for each ask cost nothing once they are answered."""
        ref = system.ref(Counter, "a")
        for n in range(1000):
            await ref.ask(Total(), timeout=30 + n / 1000)

        assert len(system.deadlines._waits) == len(system.deadlines._timers) < 20

    async def test_with_a_timeout_of_its_own_is_failed_in_time(self, system: ActorSystem, clock: VirtualClock) -> None:
        """However many durations there are, each wait ends at its own."""
        ref = system.ref(Counter, "a")
        asks = [soon(ref.ask(Wait(), timeout=n)) for n in range(1, 41)]
        await clock.advance(20)

        assert [ask.done() for ask in asks] == [True] * 20 + [False] * 20
        assert {type(error) for error in await asyncio.gather(*asks[:20], return_exceptions=True)} == {AskTimeout}
        Counter.gate.set()
        assert await asyncio.gather(*asks[20:]) == [0] * 20

    async def test_that_is_cancelled_disturbs_nobody(self, system: ActorSystem) -> None:
        """The actor goes on with the next message."""
        ref = system.ref(Counter, "a")
        ask = soon(ref.ask(Wait()))
        await turns()
        ask.cancel()
        Counter.gate.set()

        assert await ref.ask(Add(1)) == 1


class TestTell:
    async def test_waits_for_room_in_the_mailbox(self, system: ActorSystem) -> None:
        """The mailbox is bounded; whoever finds it full waits, and nothing is lost."""
        small = type("Small", (Counter,), {"mailbox_capacity": 2})
        ref = system.ref(small, "a")
        waiting = soon(ref.ask(Wait()))
        await turns()
        tells = [soon(ref.tell(Add(1))) for _ in range(5)]
        await turns()
        admitted = [tell.done() for tell in tells]
        Counter.gate.set()
        await waiting

        await asyncio.gather(*tells)

        assert (admitted, await ref.ask(Total())) == ([True, True, False, False, False], 5)

    async def test_that_is_cancelled_while_it_waits_was_never_sent(self, system: ActorSystem) -> None:
        """Whoever gives up before there is room has sent nothing."""
        small = type("Small", (Counter,), {"mailbox_capacity": 1})
        ref = system.ref(small, "a")
        waiting = soon(ref.ask(Wait()))
        await turns()
        tells = [soon(ref.tell(Add(amount))) for amount in (1, 10, 100)]
        await turns()
        tells[1].cancel()
        await turns()
        Counter.gate.set()
        await waiting

        assert (await ref.ask(Total()), tells[1].cancelled()) == (101, True)

    async def test_keeps_its_place_behind_those_who_wait_longer(self, system: ActorSystem) -> None:
        """Nobody overtakes at a full mailbox."""
        small = type("Small", (Counter,), {"mailbox_capacity": 1})
        ref = system.ref(small, "a")
        waiting = soon(ref.ask(Wait()))
        await turns()

        asks = [soon(ref.ask(Add(amount))) for amount in (1, 2, 3, 4)]
        await turns()
        Counter.gate.set()

        assert (await waiting, await asyncio.gather(*asks)) == (0, [1, 3, 6, 10])

    async def test_logs_what_the_handler_raised(self, system: ActorSystem, caplog: pytest.LogCaptureFixture) -> None:
        """An error that nobody waits for is not lost."""
        ref = system.ref(Counter, "a")

        await ref.tell(Fail("unheard"))
        await ref.ask(Total())

        assert "/Counter/a failed on Fail" in caplog.text
        assert "unheard" in caplog.text

    async def test_a_mailbox_without_room_is_refused(self) -> None:
        """No message would ever be handled."""
        with pytest.raises(ValueError, match="Nothing: mailbox_capacity is 1 or more, not 0"):
            type("Nothing", (Counter,), {"mailbox_capacity": 0})


class TestRestart:
    async def test_replaces_the_instance(self, system: ActorSystem) -> None:
        """After a failure the actor is a new one: nothing of the broken state is left (W-12)."""
        ref = system.ref(Counter, "a")
        await ref.ask(Add(5))
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Fail())

        assert (await ref.ask(Total()), Counter.did) == (0, ["started a", "stopping a", "started a"])

    async def test_keeps_the_mailbox(self, system: ActorSystem) -> None:
        """What was queued when the actor failed is handled by the next instance (W-12, AVE-34, AVE-35)."""
        ref = system.ref(Counter, "a")

        replies = await asyncio.gather(ref.ask(Fail()), *(ref.ask(Add(1)) for _ in range(3)), return_exceptions=True)

        assert (type(replies[0]), replies[1:]) == (ValueError, [1, 2, 3])

    async def test_keeps_the_arguments_of_a_spawned_actor(self, system: ActorSystem) -> None:
        """The new instance is made as the first one was."""
        ref = await system.spawn(Counter, "a", 10)
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Fail())

        assert await ref.ask(Total()) == 10

    async def test_backs_off_more_and_more(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The first restart is at once; each further one waits longer."""
        waits = []
        eager = type("Eager", (Counter,), {"supervision": Restart(backoff=Backoff(initial=1, factor=3, longest=5))})
        ref = system.ref(eager, "a")
        for _ in range(5):
            with pytest.raises(ValueError, match="broken"):
                await ref.ask(Fail())
            before = clock.monotonic()
            ask = soon(ref.ask(Total()))
            while not ask.done():
                await clock.advance(0.5)
            waits.append(clock.monotonic() - before)

        assert waits == [0.5, 1, 3, 5, 5]

    async def test_is_bounded_within_a_window(self, system: ActorSystem, clock: VirtualClock) -> None:
        """An actor that fails too often is stopped, however well it starts (W-11)."""
        eager = type("Eager", (Counter,), {"supervision": Restart(max=3, within=60)})
        ref = await system.spawn(eager, "a")
        for _ in range(4):
            failing = soon(ref.ask(Fail()))
            await clock.advance(10)
            with pytest.raises(ValueError, match="broken"):
                await failing

        with pytest.raises(ActorStopped):
            await ref.ask(Total())

    async def test_forgets_failures_outside_the_window(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Now and then a failure is no crash loop (W-11)."""
        eager = type("Eager", (Counter,), {"supervision": Restart(max=1, within=60)})
        ref = await system.spawn(eager, "a")
        for _ in range(5):
            with pytest.raises(ValueError, match="broken"):
                await ref.ask(Fail())
            await clock.advance(61)

        assert await ref.ask(Total()) == 0

    async def test_that_fails_is_tried_again(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A start hook that raises at a restart costs another back-off (AVE-52, AVE-69, ATS-68)."""
        starts = []

        class Shaky(Counter):
            async def started(self, context: Context) -> None:
                starts.append(clock.monotonic())
                if len(starts) in (2, 3):
                    raise RuntimeError("not yet")

        ref = await system.spawn(Shaky, "a")
        failing, total = soon(ref.ask(Fail())), soon(ref.ask(Total()))
        await clock.advance(1)

        assert (await total, len(starts)) == (0, 4)
        with pytest.raises(ValueError, match="broken"):
            await failing

    async def test_does_not_hold_up_a_stop(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A stop ends the back-off at once (W-06)."""
        slow = type("Slow", (Counter,), {"supervision": Restart(backoff=Backoff(first=1000))})
        ref = await system.spawn(slow, "a")
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Fail())
        await turns()

        await ref.stop()

        assert (clock.monotonic(), system.live) == (0, 0)

    async def test_is_not_done_for_rejected(self, system: ActorSystem) -> None:
        """A refusal reaches the asker alone."""
        ref = system.ref(Counter, "a")
        await ref.ask(Add(5))
        with pytest.raises(Rejected, match="no"):
            await ref.ask(Refuse())

        assert (await ref.ask(Total()), Counter.did) == (5, ["started a"])

    async def test_follows_a_cancellation_that_the_handler_made_itself(self, system: ActorSystem) -> None:
        """Only the actor's own end is its end; what a handler awaited may be cancelled."""

        class Cancelling(Counter):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                if isinstance(message, Fail):
                    task = asyncio.ensure_future(asyncio.sleep(100))
                    task.cancel()
                    await task
                return await super().handle(message, context)

        ref = system.ref(Cancelling, "a")
        with pytest.raises(ActorStopped, match="something that the handler awaited was cancelled"):
            await ref.ask(Fail())

        assert await ref.ask(Add(1)) == 1

    async def test_is_not_done_where_supervision_says_stop(self, system: ActorSystem) -> None:
        """The asker gets the reason, those behind it that the actor is over."""
        fragile = type("Fragile", (Counter,), {"supervision": Stop()})
        ref = await system.spawn(fragile, "a")

        first, second = await asyncio.gather(ref.ask(Fail()), ref.ask(Total()), return_exceptions=True)

        assert (type(first), type(second), system.live) == (ValueError, ActorStopped, 0)


class TestSpawn:
    async def test_returns_when_the_actor_has_started(self, system: ActorSystem) -> None:
        """The start hook has run (AVE-45)."""
        ref = await system.spawn(Counter, "a")

        assert (Counter.did, ref.path, ref.key) == (["started a"], "/user/a", "a")

    async def test_raises_what_the_start_raised(self, system: ActorSystem) -> None:
        """The creator gets the cause, and the name is free again (AVE-32, AVE-53, W-01, W-15)."""

        class Unborn(Counter):
            async def started(self, context: Context) -> None:
                raise LookupError("no parents")

        with pytest.raises(LookupError, match="no parents"):
            await system.spawn(Unborn, "a")

        assert (await (await system.spawn(Counter, "a")).ask(Total()), system.live) == (0, 1)

    async def test_of_a_name_that_lives_is_refused(self, system: ActorSystem) -> None:
        """Of sixty-four at once one succeeds (AVE-67)."""
        spawned = await asyncio.gather(*(system.spawn(Counter, "a") for _ in range(64)), return_exceptions=True)

        assert sorted(type(result).__name__ for result in spawned) == ["ActorRef"] + ["NameTaken"] * 63

    async def test_of_a_name_that_has_stopped_is_allowed(self, system: ActorSystem) -> None:
        """A name is free when its actor is over (AVE-76)."""
        for _ in range(10):
            ref = await system.spawn(Counter, "a")
            await ref.ask(Add(1))
            await ref.stop()

        assert system.live == 0

    @pytest.mark.parametrize("name", ["", "a/b", "/", "a\0", "\ud800", "x" * 901])
    async def test_of_a_bad_name_is_refused(self, system: ActorSystem, name: str) -> None:
        """A name with a slash would be another path (W-16)."""
        with pytest.raises(InvalidIdentifier):
            await system.spawn(Counter, name)

        assert system.live == 0

    async def test_that_is_cancelled_leaves_a_live_actor_or_a_free_name(self, system: ActorSystem) -> None:
        """At whatever turn it is cancelled, nothing is stuck."""
        for k in range(8):
            spawn = soon(system.spawn(Counter, str(k)))
            await turns(k)
            spawn.cancel()
            await turns()
            cell = system._find(f"/user/{k}")

            assert cell is None or await cell.ref().ask(Total()) == 0


class TestStop:
    async def test_finishes_the_message_in_hand(self, system: ActorSystem) -> None:
        """The asker has its reply, and the stop hook runs after it."""
        ref = await system.spawn(Counter, "a")
        waiting = soon(ref.ask(Wait()))
        await turns()
        stop = soon(ref.stop())
        await turns()
        assert not stop.done()
        Counter.gate.set()

        await stop

        assert (await waiting, Counter.did) == (0, ["started a", "waiting", "stopping a"])

    async def test_answers_what_is_queued(self, system: ActorSystem) -> None:
        """Nobody waits for an actor that is over (AVE-88)."""
        ref = await system.spawn(Counter, "a")
        waiting, queued = soon(ref.ask(Wait())), soon(ref.ask(Total()))
        await turns()
        stop = soon(ref.stop())
        await turns()
        Counter.gate.set()
        await stop

        with pytest.raises(ActorStopped, match="/user/a"):
            await queued
        assert await waiting == 0

    async def test_may_be_asked_for_by_many(self, system: ActorSystem) -> None:
        """All succeed, and the hook runs once (AVE-68)."""
        ref = await system.spawn(Counter, "a")

        await asyncio.gather(*(ref.stop() for _ in range(48)))

        assert Counter.did == ["started a", "stopping a"]

    async def test_of_what_is_over_is_silent(self, system: ActorSystem) -> None:
        """It may be called again."""
        ref = await system.spawn(Counter, "a")
        await ref.stop()

        await ref.stop()

        with pytest.raises(ActorStopped):
            await ref.ask(Total())
        with pytest.raises(ActorStopped):
            await ref.tell(Add(1))

    async def test_from_inside_the_handler_does_not_wait_for_itself(self, system: ActorSystem) -> None:
        """The actor stops after the message in hand (AVE-87, W-08)."""

        class Quitter(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                await context.ref.stop()
                return 7

        ref = await system.spawn(Quitter, "a")

        assert await ref.ask(Total()) == 7
        await turns()
        assert system.live == 0

    async def test_lets_an_actor_of_a_ref_come_back(self, system: ActorSystem) -> None:
        """A ref from `ref` is always valid."""
        ref = system.ref(Counter, "a")
        await ref.ask(Add(5))
        await ref.stop()

        assert await ref.ask(Total()) == 0

    async def test_of_an_old_ref_leaves_a_namesake_alone(self, system: ActorSystem) -> None:
        """A ref from `spawn` means that one actor."""
        old = await system.spawn(Counter, "a")
        await old.stop()
        new = await system.spawn(Counter, "a")

        await old.stop()

        assert await new.ask(Total()) == 0
        with pytest.raises(ActorStopped):
            await old.ask(Total())

    async def test_survives_a_hook_that_raises(self, system: ActorSystem, caplog: pytest.LogCaptureFixture) -> None:
        """The error is logged, and the actor is over."""

        class Sore(Counter):
            async def stopping(self, context: Context) -> None:
                raise RuntimeError("ouch")

        ref = await system.spawn(Sore, "a")

        await ref.stop()

        assert (system.live, "/user/a failed while stopping" in caplog.text) == (0, True)


class TestPassivation:
    async def test_comes_with_idleness(self, system: ActorSystem, clock: VirtualClock) -> None:
        """After so many seconds without a message the actor is put away, with its last hook."""
        brief = type("Brief", (Counter,), {"passivate_after": 10.0})
        await system.ref(brief, "a").ask(Add(1))

        await clock.advance(9)
        live = system.live
        await clock.advance(2)

        assert (live, system.live, Counter.did) == (1, 0, ["started a", "stopping a"])

    async def test_does_not_come_while_messages_do(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Each message begins the time anew."""
        brief = type("Brief", (Counter,), {"passivate_after": 10.0})
        ref = system.ref(brief, "a")
        for _ in range(5):
            await ref.ask(Add(1))
            await clock.advance(9)

        assert await ref.ask(Total()) == 5

    async def test_does_not_come_while_a_message_is_handled(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A busy actor is not idle, however long it takes."""
        brief = type("Brief", (Counter,), {"passivate_after": 10.0})
        waiting = soon(system.ref(brief, "a").ask(Wait(), timeout=1000))
        await clock.advance(100)
        Counter.gate.set()

        assert (await waiting, Counter.did) == (0, ["started a", "waiting"])

    async def test_is_undone_by_the_next_message(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The actor comes back as new."""
        ref = system.ref(Counter, "a")
        await ref.ask(Add(1))
        await clock.advance(301)

        assert (system.live, await ref.ask(Total()), system.live) == (0, 0, 1)

    async def test_that_is_overtaken_by_a_message_begins_a_new_life(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """Two instances of one path never overlap."""
        hook = asyncio.Event()

        class Lingering(Counter):
            async def stopping(self, context: Context) -> None:
                await hook.wait()
                self.did.append("stopped")

        ref = system.ref(Lingering, "a")
        await ref.ask(Add(1))
        await clock.advance(301)
        ask = soon(ref.ask(Total()))
        await turns()
        assert not ask.done()
        hook.set()

        assert (await ask, Counter.did) == (0, ["started a", "stopped", "started a"])

    async def test_is_not_for_spawned_actors(self, system: ActorSystem, clock: VirtualClock) -> None:
        """What was started by name stays until it is stopped."""
        ref = await system.spawn(Counter, "a")
        await ref.ask(Add(1))
        await clock.advance(10_000)

        assert await ref.ask(Total()) == 1

    async def test_comes_for_the_longest_idle_over_the_cap(self, clock: VirtualClock) -> None:
        """No more actors are live than the system allows."""
        async with ActorSystem(clock=clock, max_live=3) as system:
            for name in "abcde":
                await system.ref(Plain, name).ask(Total())
                await clock.advance(1)

            assert [name for name in "abcde" if system._find(f"/Plain/{name}")] == ["c", "d", "e"]

    async def test_over_the_cap_leaves_busy_actors_alone(self, clock: VirtualClock) -> None:
        """The cap is for the idle; work is never cut short."""
        async with ActorSystem(clock=clock, max_live=1) as system:
            asks = [soon(system.ref(Counter, name).ask(Wait())) for name in "abc"]
            await turns()
            live = system.live
            Counter.gate.set()

            assert (live, await asyncio.gather(*asks)) == (3, [0, 0, 0])

    async def test_over_the_cap_is_undisturbed_by_spawned_actors(self, clock: VirtualClock) -> None:
        """When they alone fill the cap, the others live for their messages only."""
        async with ActorSystem(clock=clock, max_live=1) as system:
            for name in "abc":
                await system.spawn(Plain, name)
            await system.ref(Plain, "x").ask(Total())

            assert (await system.ref(Plain, "y").ask(Total()), system.live) == (0, 3)

    async def test_at_once_does_not_spin_while_actors_work(self) -> None:
        """With a time of zero the loop has nothing to do while a handler waits."""
        async with ActorSystem(passivate_after=0.0) as system:
            waiting = soon(system.ref(Counter, "a").ask(Wait()))
            await turns()
            looks = 0
            expire = system._passivation._expire

            def counting(period: float) -> None:
                nonlocal looks
                looks += 1
                expire(period)

            system._passivation._expire = counting  # type: ignore[method-assign]
            await asyncio.sleep(0.02)
            Counter.gate.set()
            await waiting

            assert looks < 30

    async def test_leaves_no_memory_behind(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A passivated actor is nothing."""
        for n in range(100):
            await system.ref(Plain, str(n)).ask(Total())
        await clock.advance(301)
        gc.collect()

        assert not [thing for thing in gc.get_objects() if isinstance(thing, Plain)]


class TestIdleness:
    async def test_has_no_task_and_no_queue(self, system: ActorSystem) -> None:
        """An actor costs a task and a queue only while it works (W-37, W-40)."""
        before = len(asyncio.all_tasks())
        refs = [system.ref(Plain, str(n)) for n in range(2_000)]
        await asyncio.gather(*(ref.ask(Pause()) for ref in refs for _ in range(3)))
        await turns()

        assert len(asyncio.all_tasks()) <= before + 512  # the tasks that all actors share
        assert [cell._mailbox for cell in system._cells.values()] == [None] * 2_000


class TestSystem:
    async def test_closes_its_actors(self, clock: VirtualClock) -> None:
        """Leaving `async with` stops all of them, each with its hook (AVE-78)."""
        async with ActorSystem(clock=clock) as system:
            await system.ref(Counter, "a").ask(Total())
            await system.spawn(Counter, "b")

        assert (sorted(Counter.did), system.live) == (["started a", "started b", "stopping a", "stopping b"], 0)

    async def test_stops_its_actors_at_the_same_time(self) -> None:
        """The slowest decides, not the sum (AVE-50)."""
        met = asyncio.Barrier(20)

        class Meeting(Counter):
            async def stopping(self, context: Context) -> None:
                await met.wait()

        async with ActorSystem(stop_timeout=5) as system:
            for n in range(20):
                await system.spawn(Meeting, str(n))

        assert not met.broken

    async def test_cancels_those_that_take_too_long(self, caplog: pytest.LogCaptureFixture) -> None:
        """Closing takes a bounded time, and the asker is told (AVE-39, AVE-40, W-03)."""
        system = ActorSystem(stop_timeout=0.01)
        async with system:
            waiting = soon(system.ref(Counter, "a").ask(Wait()))
            await turns()

        with pytest.raises(ActorStopped):
            await waiting
        assert (system.live, "/Counter/a did not stop in time" in caplog.text) == (0, True)

    async def test_takes_no_messages_when_it_is_closed(self) -> None:
        """Every use says that the system is closed, and makes nothing (AVE-37)."""
        async with ActorSystem() as system:
            ref = system.ref(Counter, "a")

        for call in (ref.ask(Total()), ref.tell(Add(1)), system.spawn(Counter, "b")):
            with pytest.raises(ActorStopped, match="the system is closed"):
                await call
        assert system.live == 0

    async def test_takes_no_new_actors_while_it_closes(self) -> None:
        """Whoever tries from a stop hook is told (AVE-37)."""
        errors = []

        class Late(Counter):
            async def stopping(self, context: Context) -> None:
                try:
                    await context.system.spawn(Counter, "late")
                except ActorStopped as error:
                    errors.append(str(error))

        async with ActorSystem() as system:
            await system.spawn(Late, "a")

        assert errors == ["/user/late: the system is closing"]

    async def test_takes_no_messages_before_it_is_entered(self) -> None:
        """The error says what to do."""
        system = ActorSystem()

        with pytest.raises(ActorStopped, match="enter the system first"):
            await system.ref(Counter, "a").ask(Total())

    async def test_is_entered_once(self) -> None:
        """A closed system stays closed."""
        async with ActorSystem() as system:
            pass

        with pytest.raises(RuntimeError, match="a system is entered once"):
            await system.__aenter__()

    async def test_may_be_closed_again(self) -> None:
        """The second close is silent."""
        async with ActorSystem() as system:
            pass

        await system.close()

    async def test_that_is_forgotten_warns(self) -> None:
        """Nobody leaves a system open unawares."""
        system = ActorSystem()
        await system.__aenter__()

        with pytest.warns(ResourceWarning, match="was never closed; use `async with`"):
            system.__del__()

        await system.close()


class TestRefs:
    async def test_are_equal_when_their_paths_are(self, system: ActorSystem) -> None:
        """A ref is an address."""
        assert system.ref(Counter, "a") == system.ref(Counter, "a") != system.ref(Counter, "b")
        assert len({system.ref(Counter, "a"), system.ref(Counter, "a")}) == 1

    async def test_do_not_bring_an_actor_to_life(self, system: ActorSystem) -> None:
        """The first message does."""
        system.ref(Counter, "a")

        assert system.live == 0

    async def test_that_come_to_life_at_once_meet_one_instance(self, system: ActorSystem) -> None:
        """One live instance of a path, however many refs (AVE-67)."""
        refs = [system.ref(Counter, "a") for _ in range(64)]

        replies = await asyncio.gather(*(ref.ask(Add(1)) for ref in refs))

        assert (sorted(replies), Counter.did) == (list(range(1, 65)), ["started a"])

    async def test_of_two_types_with_one_name_are_refused(self, system: ActorSystem) -> None:
        """The error says how to tell them apart."""
        system.ref(Counter, "a")
        other = type("Counter", (Actor,), {})

        with pytest.raises(InvalidIdentifier, match="set type_name on one of them"):
            system.ref(other, "a")

    async def test_whose_actor_cannot_start_say_why_and_stay_valid(self, system: ActorSystem) -> None:
        """All who wait get the reason; the next message tries again (ATS-66)."""
        attempts: list[int] = []

        class Late(Counter):
            async def started(self, context: Context) -> None:
                attempts.append(1)
                await asyncio.sleep(0)
                if len(attempts) == 1:
                    raise LookupError("too early")

        ref = system.ref(Late, "a")
        first = await asyncio.gather(ref.ask(Total()), ref.ask(Total()), return_exceptions=True)

        assert ([type(error) for error in first], await ref.ask(Total())) == ([LookupError, LookupError], 0)

    async def test_an_actor_knows_its_own(self, system: ActorSystem) -> None:
        """Path, key, system and ref are in the context (AVE-85)."""

        class Knowing(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                return [context.path, context.key, context.system, context.ref]

        ref: ActorRef = system.ref(Knowing, "a")

        assert await ref.ask(Total()) == ["/Knowing/a", "a", system, ref]  # type: ignore[comparison-overlap]


def test_every_error_has_the_one_root() -> None:
    """Whoever catches `PerdureError` catches all that is raised on purpose."""
    assert all(issubclass(kind, PerdureError) for kind in (ActorStopped, AskTimeout, NameTaken, Rejected, Unhandled))
