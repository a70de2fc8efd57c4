"""Blocks that end only when what they expect has happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeGuard, TypeVar

from perdure.actors import ActorRef, ActorSystem, Clock, DeadLetter, Subscription, SystemEvent
from perdure_testkit._bell import Bell
from perdure_testkit._wanted import listed, meets, named

C = TypeVar("C")
E = TypeVar("E")

_CAPACITY = 1_000_000  # events that may come in one turn of the loop


@asynccontextmanager
async def expect_dead_letters(
    system: ActorSystem, *, count: int = 1, message: object = None, within: float | None = None
) -> AsyncIterator[Sequence[DeadLetter]]:
    """Expect `count` messages to end as dead letters from the beginning of the block on.

    `message`, if any, says which ones count: a message type, a message that is equal, or a predicate. At its end the
    block waits for those that are missing, for `within` seconds of the system's clock (by default 3; where `count` is
    0 it sees whether none comes for so long, by default 0.1), and time may jump meanwhile where that is a
    `VirtualClock`.

    Yields the letters that count, a list that grows as they come. Raises `AssertionError`, showing all that came, when
    there are fewer, or more by then. What the body raises comes out as it is.
    """
    seconds = within if within is not None else 3.0 if count else 0.1
    async with _Collected(system.events(capacity=_CAPACITY), system.clock, _counts(message)) as letters:
        yield letters.chosen
        await letters.until(lambda: len(letters.chosen) >= (count or 1), seconds)
    if len(letters.chosen) != count:
        what = "any message" if message is None else named(message)
        dead = [event for event in letters.all if isinstance(event, DeadLetter)]
        text = f"expected {count} dead letters of {what} within {seconds:g} s, but {len(letters.chosen)} came"
        raise AssertionError(text + listed("all dead letters", dead))


@asynccontextmanager
async def expect_events(
    system: ActorSystem, *wanted: object, within: float = 3.0
) -> AsyncIterator[Sequence[SystemEvent]]:
    """Expect these events of a system, in this order, from the beginning of the block on; others may be in between.

    Each is a type (`Restarted`), a predicate (`lambda event: …`) or an event that is equal. At its end the block waits
    for those that are missing, for `within` seconds of the system's clock, and time may jump meanwhile where that is a
    `VirtualClock`.

    Yields the events that were expected, a list that grows as they come. Raises `AssertionError`, which names the first
    that did not come and shows what came. What the body raises comes out as it is.
    """
    async with _in_order(system.events(capacity=_CAPACITY), system.clock, wanted, within) as events:
        yield events


@asynccontextmanager
async def expect_published(ref: ActorRef, *wanted: object, within: float = 3.0) -> AsyncIterator[Sequence[Any]]:
    """Expect an actor to publish these events, in this order, from the beginning of the block on.

    All as in `expect_events`. An actor that stops publishes no more: then the block does not wait on.
    """
    clock = ref._system.clock
    async with _in_order(ref.subscribe(capacity=_CAPACITY), clock, wanted, within) as events:
        yield events


@asynccontextmanager
async def _in_order(
    subscription: Subscription[E], clock: Clock, wanted: Sequence[object], within: float
) -> AsyncIterator[Sequence[E]]:
    if not wanted:
        raise TypeError("say which events are expected")

    def comes_next(event: E) -> TypeGuard[E]:
        number = len(events.chosen)
        return number < len(wanted) and meets(event, wanted[number])

    async with _Collected(subscription, clock, comes_next) as events:
        yield events.chosen
        await events.until(lambda: len(events.chosen) == len(wanted), within)
    if len(events.chosen) < len(wanted):
        order = ", then ".join(map(named, wanted))
        missing = named(wanted[len(events.chosen)])
        text = f"expected {order} within {within:g} s, but {missing} did not come"
        raise AssertionError(text + (listed("what came", events.all) or "; nothing came"))


class _Collected(Generic[E, C]):
    """What comes from a subscription, from `async with` to its end: all of it, and what was chosen."""

    def __init__(self, subscription: Subscription[E], clock: Clock, choose: Callable[[E], TypeGuard[C]]) -> None:
        self.all: list[E] = []
        self.chosen: list[C] = []
        self._bell = Bell(clock)
        self._choose = choose
        self._subscription = subscription
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> _Collected[E, C]:
        self._task = asyncio.create_task(self._collect(), name="perdure-expectation")
        self._task.add_done_callback(lambda _: self._bell.ring())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._subscription.close()  # the collector takes what has come, and ends
        await self._task

    async def until(self, condition: Callable[[], object], within: float) -> None:
        """Wait until the condition is true, the events are over, or so many seconds."""
        await self._bell.wait_for(lambda: self._task.done() or condition(), within)

    async def _collect(self) -> None:
        async for event in self._subscription:
            self.all.append(event)
            if self._choose(event):
                self.chosen.append(event)
            self._bell.ring()


def _counts(message: object) -> Callable[[SystemEvent], TypeGuard[DeadLetter]]:
    """Return what tells whether an event is a dead letter of such a message."""

    def counts(event: SystemEvent) -> TypeGuard[DeadLetter]:
        return isinstance(event, DeadLetter) and (message is None or meets(event.message, message))

    return counts
