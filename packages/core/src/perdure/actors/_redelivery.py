"""A message that is sent again and again until it is acknowledged."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from perdure.actors._clock import Pause
from perdure.actors._current import current
from perdure.actors._mailbox import Envelope
from perdure.actors._message import Message
from perdure.actors._supervision import Schedule
from perdure.errors import ActorStopped

if TYPE_CHECKING:
    from perdure.actors._ref import ActorRef
    from perdure.actors._system import ActorSystem

Outcome: TypeAlias = Literal["acknowledged", "exhausted", "stopped"]


class Redelivered(Message[None]):
    """Tells the owner of a redelivery, once, how it ended.

    `acknowledged`: the target replied, or somebody called `acknowledge`; `exhausted`: it did not, however often the
    message was sent; `stopped`: the target is over. `reply` is the reply, if there was one.
    """

    message: Message[Any]
    outcome: Outcome
    deliveries: int
    reply: Any = None


class Redelivery:
    """The deliveries of one message. A reply acknowledges it; an error of the handler does not.

    After the n-th delivery it waits for `schedule.delay(n)` seconds; the end of the schedule is the end.
    """

    def __init__(self, message: Message[Any], target: ActorRef, schedule: Schedule, max: int) -> None:
        if max < 1:
            raise ValueError(f"max is 1 or more deliveries, not {max}")
        self.deliveries = 0
        """How often the message was sent."""
        self._message = message
        self._target = target
        self._schedule = schedule
        self._max = max
        self._acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def acknowledge(self, reply: object = None) -> None:
        """End the deliveries: the message has done what it was sent for. May be called again."""
        if not self._acknowledged.done():
            self._acknowledged.set_result(reply)

    async def run(self, system: ActorSystem) -> Redelivered:
        """Deliver to the end, and return how it ended."""
        while not self._acknowledged.done():
            delay = self._schedule.delay(self.deliveries + 1, system.random()) if self.deliveries < self._max else None
            if delay is None:
                return self._ended("exhausted")
            try:
                over = self._deliver(system)
            except ActorStopped:
                return self._ended("stopped")
            await self._wait(Pause(system.clock, delay), over)
            if over is not None and over.done() and not self._acknowledged.done():
                return self._ended("stopped")
        return self._ended("acknowledged", self._acknowledged.result())

    def _deliver(self, system: ActorSystem) -> asyncio.Future[None] | None:
        """Send the message once; return the future of the target's end, if it has one that is final."""
        cell = self._target._live_cell(self._message)
        reply: asyncio.Future[Any] = system.loop.create_future()
        reply.add_done_callback(self._replied)
        cell.post(Envelope(self._message, reply, current.get(), copy_context()))
        self.deliveries += 1
        return None if cell.props.virtual else cell.over()

    def _replied(self, reply: asyncio.Future[Any]) -> None:
        if not reply.cancelled() and reply.exception() is None:
            self.acknowledge(reply.result())

    async def _wait(self, pause: Pause, over: asyncio.Future[None] | None) -> None:
        """Wait for the pause, the acknowledgement or the target's end, whichever is first."""
        ends = [future for future in (pause.over, self._acknowledged, over) if future is not None]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.end()

    def _ended(self, outcome: Outcome, reply: object = None) -> Redelivered:
        return Redelivered(self._message, outcome, self.deliveries, reply)
