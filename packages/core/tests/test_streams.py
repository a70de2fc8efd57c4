"""What an actor publishes, and who reads it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors import Actor, ActorRef, ActorSystem, Context, Message, Overflow, Stopped
from perdure.errors import Overflowed
from perdure_testkit import VirtualClock

from .turning import rest, soon, turns


class Say(Message[None]):
    """Publish each of the texts."""

    texts: tuple[str, ...]


class Break(Message[None]):
    pass


class Increment(Message[int]):
    amount: int


class Speaker(Actor):
    """Publishes what it is told to, and a farewell."""

    total = 0

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Say(texts):
                for text in texts:
                    context.publish(text)
            case Increment(amount):
                self.total += amount
                context.publish(self.total)
                return self.total
            case Break():
                raise ValueError("broken")

    async def stopping(self, context: Context) -> None:
        context.publish("farewell")


class Quiet(Speaker):
    async def stopping(self, context: Context) -> None:
        pass


async def broken(ref: ActorRef) -> None:
    with pytest.raises(ValueError, match="broken"):
        await ref.ask(Break())


class TestPublish:
    async def test_reaches_a_subscriber_in_order(self, system: ActorSystem) -> None:
        """Events come as they were published (AVE-79, AVE-86)."""
        ref = await system.spawn(Quiet, "a")
        events = ref.subscribe()

        await ref.ask(Increment(10))
        await ref.ask(Increment(10))
        await ref.stop()

        assert await rest(events) == [10, 20]

    async def test_reaches_every_subscriber(self, system: ActorSystem) -> None:
        """Each has a buffer of its own (AVE-75)."""
        ref = await system.spawn(Quiet, "a")
        subscriptions = [ref.subscribe() for _ in range(3)]

        await ref.ask(Say(("x", "y")))

        assert [events.take_all() for events in subscriptions] == [["x", "y"]] * 3

    async def test_wakes_who_waits(self, system: ActorSystem) -> None:
        """A reader may come before the event."""
        ref = await system.spawn(Quiet, "a")
        waiting = soon(anext(ref.subscribe()))
        await turns()

        await ref.ask(Say(("x",)))

        assert await waiting == "x"

    async def test_without_subscribers_drops_the_event(self, system: ActorSystem) -> None:
        """Who comes later sees what is published later."""
        ref = await system.spawn(Quiet, "a")
        await ref.ask(Say(("early",)))
        events = ref.subscribe()

        await ref.ask(Say(("late",)))

        assert events.take_all() == ["late"]

    async def test_by_the_last_hook_is_read(self, system: ActorSystem) -> None:
        """A subscription outlives its actor by what is in its buffer (AVE-49)."""
        ref = await system.spawn(Speaker, "a")
        events = ref.subscribe()

        await ref.stop()

        assert await rest(events) == ["farewell"]

    async def test_by_parent_and_child_comes_from_each_in_order(self, system: ActorSystem) -> None:
        """What a parent passes on to its child, the child publishes (AVE-64)."""

        class Parent(Actor):
            async def started(self, context: Context) -> None:
                self.child = await context.spawn(Quiet, "child")

            async def handle(self, message: Message[Any], context: Context) -> Any:
                return await self.child.ask(message)

        parent = await system.spawn(Parent, "parent")
        child = system.find("/user/parent/child")
        assert child is not None
        events = child.subscribe()

        totals = [await parent.ask(Increment(10)), await parent.ask(Increment(-2))]

        assert (totals, events.take_all()) == ([10, 8], [10, 8])


class TestSubscription:
    async def test_ends_when_the_actor_stops(self, system: ActorSystem) -> None:
        """Its reader goes on after the loop (AVE-81)."""
        ref = await system.spawn(Quiet, "a")
        reading = soon(rest(ref.subscribe()))
        await turns()

        await ref.stop()

        assert await reading == []

    async def test_ends_with_the_system(self) -> None:
        """Also that to an actor which never came to life."""
        async with ActorSystem() as system:
            reading = soon(rest(system.ref(Quiet, "a").subscribe()))
            await turns()

        assert await reading == []

    async def test_of_what_is_over_ends_at_once(self, system: ActorSystem) -> None:
        """Nobody waits for events that cannot come."""
        ref = await system.spawn(Quiet, "a")
        await ref.stop()

        assert await rest(ref.subscribe()) == []

    async def test_of_what_is_over_says_nothing_of_a_namesake(self, system: ActorSystem) -> None:
        """A ref from `spawn` means that one actor."""
        old = await system.spawn(Quiet, "a")
        await old.stop()
        new = await system.spawn(Quiet, "a")
        events = old.subscribe()

        await new.ask(Say(("x",)))

        assert await rest(events) == []

    async def test_of_a_closed_system_ends_at_once(self) -> None:
        """What was published before is gone."""
        async with ActorSystem() as system:
            ref = system.ref(Quiet, "a")

        assert (await rest(ref.subscribe()), await rest(system.events())) == ([], [])

    async def test_survives_a_restart(self, system: ActorSystem) -> None:
        """It is to the actor, not to the instance."""
        ref = await system.spawn(Quiet, "a")
        events = ref.subscribe()
        await ref.ask(Say(("before",)))
        await broken(ref)

        await ref.ask(Say(("after",)))

        assert events.take_all() == ["before", "after"]

    async def test_survives_passivation(self, system: ActorSystem, clock: VirtualClock) -> None:
        """To be put away is not to stop."""
        ref = system.ref(Quiet, "a")
        events = ref.subscribe()
        await ref.ask(Say(("before",)))
        await clock.advance(301)

        await ref.ask(Say(("after",)))

        assert events.take_all() == ["before", "after"]

    async def test_that_is_closed_takes_no_more(self, system: ActorSystem) -> None:
        """What it has can still be read."""
        ref = await system.spawn(Quiet, "a")
        async with ref.subscribe() as events:
            await ref.ask(Say(("x",)))

        await ref.ask(Say(("y",)))

        assert await rest(events) == ["x"]

    async def test_that_is_closed_leaves_nothing_behind(self, system: ActorSystem) -> None:
        """Those who look in at a thousand actors pay for none of them afterwards."""
        for n in range(1000):
            async with system.ref(Quiet, str(n)).subscribe():
                pass

        assert not system._topics

    async def test_has_one_reader_at_a_time(self, system: ActorSystem) -> None:
        """Two would each get a part."""
        ref = await system.spawn(Quiet, "a")
        events = ref.subscribe()
        waiting = soon(anext(events))
        await turns()

        with pytest.raises(RuntimeError, match="one reader at a time: subscribe twice"):
            await anext(events)

        await ref.ask(Say(("x",)))
        assert await waiting == "x"

    async def test_whose_reader_is_cancelled_loses_nothing(self, system: ActorSystem) -> None:
        """An event that comes in the same moment is for the next reader."""
        readers: list[asyncio.Task[Any]] = []

        class Mean(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                context.publish("x")
                readers[0].cancel()

        ref = await system.spawn(Mean, "a")
        events = ref.subscribe()
        readers.append(soon(anext(events)))
        await turns()
        await ref.ask(Break())
        await turns()

        assert (readers[0].cancelled(), await anext(events)) == (True, "x")

    async def test_whose_reader_fails_harms_nobody(self, system: ActorSystem) -> None:
        """The actor and the others go on (AVE-80)."""
        ref = await system.spawn(Quiet, "a")
        other = ref.subscribe()

        async def read() -> None:
            async for _ in ref.subscribe():
                raise RuntimeError("I cannot read")

        reading = soon(read())
        await turns()
        await ref.ask(Say(("x",)))
        with pytest.raises(RuntimeError, match="I cannot read"):
            await reading

        assert (await ref.ask(Increment(1)), other.take_all()) == (1, ["x", 1])


class TestOverflow:
    @pytest.mark.parametrize(
        ("overflow", "left"), [("drop_oldest", ["c", "d"]), ("drop_newest", ["a", "b"])], ids=["oldest", "newest"]
    )
    async def test_drops_and_counts(self, system: ActorSystem, overflow: Overflow, left: list[str]) -> None:
        """The buffer is bounded, and what was lost is known (W-31)."""
        ref = await system.spawn(Quiet, "a")
        events = ref.subscribe(capacity=2, overflow=overflow)

        await ref.ask(Say(("a", "b", "c", "d")))

        assert (events.take_all(), events.dropped) == (left, 2)

    async def test_may_fail_the_reader(self, system: ActorSystem) -> None:
        """It gets what came before, then the error."""
        ref = await system.spawn(Quiet, "a")
        events = ref.subscribe(capacity=2, overflow="fail")
        await ref.ask(Say(("a", "b", "c")))

        assert [await anext(events), await anext(events)] == ["a", "b"]
        with pytest.raises(Overflowed, match="2 events were waiting for it when another came"):
            await anext(events)

    async def test_of_one_is_not_of_another(self, system: ActorSystem) -> None:
        """A slow reader loses its own events only (AVE-80)."""
        ref = await system.spawn(Quiet, "a")
        slow, roomy = ref.subscribe(capacity=1), ref.subscribe()

        await ref.ask(Say(("a", "b", "c")))

        assert (slow.take_all(), roomy.take_all()) == (["c"], ["a", "b", "c"])

    async def test_does_not_come_while_the_reader_keeps_up(self, system: ActorSystem) -> None:
        """A small buffer is enough for who reads."""
        ref = await system.spawn(Quiet, "a")
        events = ref.subscribe(capacity=1, overflow="fail")
        reading = soon(rest(events))
        for text in "abc":
            await ref.ask(Say((text,)))
            await turns()
        await ref.stop()

        assert await reading == ["a", "b", "c"]

    async def test_of_no_room_at_all_is_refused(self, system: ActorSystem) -> None:
        """The error says what a capacity is."""
        with pytest.raises(ValueError, match="capacity is 1 or more, not 0"):
            system.ref(Quiet, "a").subscribe(capacity=0)

    async def test_of_an_unknown_policy_is_refused(self, system: ActorSystem) -> None:
        """The error names the policies."""
        with pytest.raises(ValueError, match="'drop_oldest', 'drop_newest' or 'fail', not 'block'"):
            system.ref(Quiet, "a").subscribe(overflow="block")  # type: ignore[arg-type]

    async def test_of_a_follower_from_a_number_needs_a_log(self, system: ActorSystem) -> None:
        """Only a persistent actor has past events."""
        with pytest.raises(TypeError, match="/Quiet/a is no persistent actor"):
            system.ref(Quiet, "a").subscribe(after=0)


async def test_the_end_of_an_actor_is_in_the_systems_events_too(system: ActorSystem) -> None:
    """Whoever subscribed to the system sees all actors."""
    events = system.events()
    ref = await system.spawn(Quiet, "a")

    await ref.stop()

    assert [type(event) for event in events.take_all()][-1] is Stopped
