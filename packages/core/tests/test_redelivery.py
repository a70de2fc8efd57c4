"""A message that is sent again and again until it is acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors import (
    Actor,
    ActorRef,
    ActorSystem,
    Backoff,
    Context,
    Delays,
    Fixed,
    Message,
    Redelivered,
    Redelivery,
    Schedule,
)
from perdure_testkit import VirtualClock

from .turning import turns


class Order(Message[str]):
    number: int = 1


class Send(Message[None]):
    """Redeliver an order."""

    to: Any
    schedule: Any = Fixed(1)
    max: int = 3


class Break(Message[None]):
    pass


class Received(Message[None]):
    """The order has come, says the target."""


class Owner(Actor):
    """Redelivers orders, and notes how that ended."""

    def __init__(self, outcomes: list[Redelivered]) -> None:
        self.outcomes = outcomes
        self.redelivery: Redelivery | None = None

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Send(to, schedule, max):
                self.redelivery = context.redeliver(Order(), to, schedule, max=max)
            case Redelivered():
                self.outcomes.append(message)
            case Received() if self.redelivery is not None:
                self.redelivery.acknowledge("received")
                self.redelivery.acknowledge()
            case Break():
                raise ValueError("broken")


class Target(Actor):
    """Fails a number of orders, then replies; notes when they came."""

    def __init__(self, times: list[float], failures: int = 0) -> None:
        self.times = times
        self.failures = failures

    async def handle(self, message: Message[Any], context: Context) -> Any:
        self.times.append(context.system.clock.monotonic())
        if len(self.times) <= self.failures:
            raise OSError("out of order")
        return f"done by {context.key}"


class Silent(Target):
    """Takes orders and never replies to them."""

    async def handle(self, message: Message[Any], context: Context) -> Any:
        self.times.append(context.system.clock.monotonic())
        context.stash()


@pytest.fixture
def outcomes() -> list[Redelivered]:
    return []


@pytest.fixture
def times() -> list[float]:
    return []


@pytest.fixture
async def owner(system: ActorSystem, outcomes: list[Redelivered]) -> ActorRef:
    return await system.spawn(Owner, "owner", outcomes)


class TestRedelivery:
    async def test_ends_with_the_first_reply(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """The owner is told once, with the reply (AVE-91)."""
        await owner.ask(Send(await system.spawn(Target, "target", times)))

        await clock.advance(10)

        assert (times, outcomes) == ([0], [Redelivered(Order(), "acknowledged", 1, "done by target")])

    async def test_goes_on_after_errors(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """A handler that raises has not acknowledged the message."""
        await owner.ask(Send(await system.spawn(Target, "target", times, 2), Fixed(5)))

        await clock.advance(100)

        assert (times, [(end.outcome, end.deliveries) for end in outcomes]) == ([0, 5, 10], [("acknowledged", 3)])

    async def test_ends_when_the_target_says_so_otherwise(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """An acknowledgement may come in a message of its own (AVE-91)."""
        await owner.ask(Send(await system.spawn(Silent, "target", times), max=9))
        await clock.advance(1.5)
        await owner.tell(Received())

        await clock.advance(100)

        assert (times, outcomes) == ([0, 1], [Redelivered(Order(), "acknowledged", 2, "received")])

    async def test_that_is_acknowledged_before_it_begins_sends_nothing(
        self, system: ActorSystem, clock: VirtualClock, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """The owner is told all the same."""

        class Hasty(Owner):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                await super().handle(message, context)
                if isinstance(message, Send) and self.redelivery is not None:
                    self.redelivery.acknowledge()

        hasty = await system.spawn(Hasty, "hasty", outcomes)
        await hasty.ask(Send(await system.spawn(Target, "target", times)))

        await clock.advance(10)

        assert (times, [(end.outcome, end.deliveries) for end in outcomes]) == ([], [("acknowledged", 0)])

    async def test_ends_when_the_attempts_are_exhausted(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """One more wait after the last delivery, and the owner is told once (AVE-62, AVE-93, AVE-94)."""
        await owner.ask(Send(await system.spawn(Silent, "target", times), Fixed(5), 3))
        await clock.advance(14)
        early = list(outcomes)

        await clock.advance(100)

        assert (times, early, outcomes) == ([0, 5, 10], [], [Redelivered(Order(), "exhausted", 3)])

    @pytest.mark.parametrize(
        ("schedule", "expected"),
        [(Delays((2, 3)), [0, 2]), (Backoff(first=1, initial=2, factor=3, longest=10), [0, 1, 3, 9, 19])],
        ids=["delays", "backoff"],
    )
    async def test_follows_its_schedule(
        self,
        system: ActorSystem,
        clock: VirtualClock,
        owner: ActorRef,
        times: list[float],
        schedule: Schedule,
        expected: list[float],
    ) -> None:
        """The n-th delay follows the n-th delivery; the end of the schedule is the end (AVE-54)."""
        await owner.ask(Send(await system.spawn(Silent, "target", times), schedule, 5))

        await clock.advance(100)

        assert times == expected

    async def test_without_intervals_delivers_all_at_once(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """Zero seconds are no seconds (AVE-36)."""
        await owner.ask(Send(await system.spawn(Silent, "target", times), Fixed(0), 3))

        await clock.advance(0)

        assert (times, [end.outcome for end in outcomes]) == ([0, 0, 0], ["exhausted"])

    async def test_ends_when_the_target_stops(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """At once, not after the next wait (AVE-92)."""
        target = await system.spawn(Silent, "target", times)
        await owner.ask(Send(target, Fixed(1000)))
        await turns()

        await target.stop()
        await turns()

        assert (clock.monotonic(), outcomes) == (0, [Redelivered(Order(), "stopped", 1)])

    async def test_to_who_is_over_ends_at_once(
        self, system: ActorSystem, owner: ActorRef, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """Nothing was delivered."""
        target = await system.spawn(Silent, "target", times)
        await target.stop()

        await owner.ask(Send(target))
        await turns()

        assert outcomes == [Redelivered(Order(), "stopped", 0)]

    async def test_brings_an_actor_of_a_ref_back(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, outcomes: list[Redelivered]
    ) -> None:
        """An actor that was stopped in between is no end: its next message brings it to life."""
        replies = []

        class Forgetful(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                replies.append(context.key)
                if len(replies) < 3:
                    await context.ref.stop()
                    raise OSError("not now")
                return "at last"

        await owner.ask(Send(system.ref(Forgetful, "a")))
        await clock.advance(10)

        assert outcomes == [Redelivered(Order(), "acknowledged", 3, "at last")]

    async def test_names_its_owner_as_the_sender(self, system: ActorSystem, owner: ActorRef) -> None:
        """The target can answer it."""
        senders = []

        class Curious(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                senders.append(context.sender)
                return ""

        await owner.ask(Send(await system.spawn(Curious, "target")))
        await turns()

        assert senders == [owner]

    async def test_ends_with_the_instance_of_its_owner(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, outcomes: list[Redelivered], times: list[float]
    ) -> None:
        """A new instance knows nothing of it, and hears nothing of it."""
        await owner.ask(Send(await system.spawn(Silent, "target", times), max=9))
        await clock.advance(1.5)
        with pytest.raises(ValueError, match="broken"):
            await owner.ask(Break())

        await clock.advance(100)

        assert (times, outcomes) == ([0, 1], [])

    async def test_ends_with_its_owner(
        self, system: ActorSystem, clock: VirtualClock, owner: ActorRef, times: list[float]
    ) -> None:
        """Nobody is left to be told."""
        await owner.ask(Send(await system.spawn(Silent, "target", times), max=9))
        await clock.advance(1.5)
        await owner.stop()

        await clock.advance(100)

        assert (times, system.dead_letters) == ([0, 1], 0)

    async def test_keeps_its_owner_from_being_put_away(
        self, system: ActorSystem, clock: VirtualClock, times: list[float]
    ) -> None:
        """Whoever waits for an outcome is not idle."""
        outcomes: list[Redelivered] = []

        class Passing(Owner):
            passivate_after = 10.0

            def __init__(self) -> None:
                super().__init__(outcomes)

        ref = system.ref(Passing, "a")
        await ref.ask(Send(await system.spawn(Silent, "target", times), Fixed(100), 2))

        await clock.advance(201)

        assert [end.outcome for end in outcomes] == ["exhausted"]

    async def test_holds_up_nobody(self, system: ActorSystem, owner: ActorRef, times: list[float]) -> None:
        """The owner handles messages meanwhile, and several redeliveries run side by side."""
        for name in "ab":
            await owner.ask(Send(await system.spawn(Silent, name, times), Fixed(1000)))
        await turns()

        await asyncio.wait_for(owner.ask(Received()), 1)

        assert len(times) == 2

    async def test_without_deliveries_is_refused(self, system: ActorSystem, owner: ActorRef) -> None:
        """The error says what `max` is."""
        with pytest.raises(ValueError, match="max is 1 or more deliveries, not 0"):
            await owner.ask(Send(owner, max=0))
