"""Where the events of actors flow to: functions that a system feeds, supervises, and waits for at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from perdure._fields import fields
from perdure.actors._clock import Pause
from perdure.actors._streams import Subscription
from perdure.actors._supervision import Escalate, Failures, Restart, Resume, Supervision, directive
from perdure.errors import ActorStopped

if TYPE_CHECKING:
    from perdure.actors._system import ActorSystem

_log = logging.getLogger("perdure.actors")
E = TypeVar("E")


class Sink:
    """Hands each event to a function, one at a time, in order.

    What the function raises goes to supervision: `Restart` has the same event delivered again after a back-off,
    `Resume` goes on with the next one, `Stop` ends the sink, `Escalate` crashes the system. While the system closes, an
    event for an actor that is over is not delivered again.
    """

    GRACE: ClassVar[float] = 1.0  # seconds that a cancelled sink has to end

    def __init__(
        self,
        system: ActorSystem,
        name: str,
        events: AsyncIterable[E],
        deliver: Callable[[E], Awaitable[object]],
        supervision: Supervision,
    ) -> None:
        self.name = name
        self.delivered = 0
        """How many events the function has taken."""
        self._system = system
        self._events: AsyncIterable[Any] = events
        self._deliver: Callable[[Any], Awaitable[object]] = deliver
        self._supervision = supervision
        self._failures = Failures()
        self._task = system.loop.create_task(self._run(), name=f"perdure-sink {name}", context=system.context.copy())

    def __repr__(self) -> str:
        return f"<Sink {self.name}>"

    @property
    def is_running(self) -> bool:
        return not self._task.done()

    async def closed(self) -> None:
        """Return when the events are at their end and delivered, or the sink was ended."""
        await asyncio.wait([self._task])

    def cancel(self) -> None:
        """End now, in the middle of an event if need be."""
        self._task.cancel()
        if isinstance(self._events, Subscription):
            self._events.close()  # a task that has not begun would not do it

    async def end_by(self, deadline: float) -> None:
        """Return when it is over; cancel it at a time of the clock, and a little later leave it to itself."""
        if await self._is_over_by(deadline):
            return
        self._log(logging.WARNING, "did not take its events in time and is cancelled")
        self.cancel()
        if not await self._is_over_by(self._system.clock.monotonic() + self.GRACE):
            self._log(logging.ERROR, "does not end, though it was cancelled: it is left to itself")

    def _log(self, level: int, text: str, error: BaseException | None = None) -> None:
        trace = None if error is None else self._system.loggable(error)
        about = fields(sink=self.name, error=error)
        _log.log(level, f"the sink %s {text}", self.name, exc_info=trace, extra=about, stacklevel=2)

    async def _is_over_by(self, when: float) -> bool:
        clock = self._system.clock
        pause = Pause(clock, when - clock.monotonic())
        try:
            await asyncio.wait([self._task, pause.over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.end()
        return self._task.done()

    async def _run(self) -> None:
        try:
            async with _closing(self._events):
                async for event in self._events:
                    if not await self._took(event):
                        self._log(logging.ERROR, "is stopped by its supervision")
                        return
        except (Exception, asyncio.CancelledError) as error:
            if self._is_its_end(error):
                raise
            self._log(logging.ERROR, "cannot read its events any more", error)

    async def _took(self, event: object) -> bool:
        """Deliver an event as often as supervision says; False when the sink is to end."""
        while True:
            try:
                await self._deliver(event)
            except (Exception, asyncio.CancelledError) as error:
                if self._is_its_end(error):
                    raise
                self._log(logging.ERROR, "failed", error)
                what = directive(self._supervision, error)
                if isinstance(what, Resume) or self._is_in_vain(error):
                    return True
                if isinstance(what, Restart) and await self._backed_off(what):
                    continue
                if isinstance(what, Escalate):
                    self._system.crash(error)
                return False
            self.delivered += 1
            return True

    def _is_its_end(self, error: BaseException) -> bool:
        """Tell a cancellation of the sink from one that the function met."""
        return isinstance(error, asyncio.CancelledError) and self._task.cancelling() > 0

    def _is_in_vain(self, error: BaseException) -> bool:
        """Tell whether the event was for an actor that is over, in a system where none comes back."""
        return isinstance(error, ActorStopped) and self._system._state != "open"

    async def _backed_off(self, restart: Restart) -> bool:
        clock = self._system.clock
        delay = self._failures.delay(restart, clock.monotonic(), self._system.random())
        if delay is not None:
            await Pause(clock, delay)
        return delay is not None


def _closing(events: AsyncIterable[Any]) -> AbstractAsyncContextManager[Any]:
    """Return what lets go of events that are not read to their end."""
    if isinstance(events, AbstractAsyncContextManager):
        return events
    return aclosing(events) if hasattr(events, "aclose") else nullcontext()
