"""The running actor: what stays when the instance inside is replaced.

An idle cell has no task and no queue. The first message makes both; the task takes messages until none is left and
ends. All of an actor's code runs in that task, one message at a time, so nothing here needs a lock.

A cell is `live` from its making until it is `closed`. While a life ends (a stop or a passivation), messages are still
accepted: after a stop they are answered with `ActorStopped`, after a passivation the cell begins a new life for them.
So there is one instance of a path at any time, and nobody has to wait for the old one to be over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from perdure.actors._actor import Actor
from perdure.actors._context import Context
from perdure.actors._mailbox import Envelope, Mailbox
from perdure.actors._ref import ActorRef
from perdure.actors._supervision import Failures
from perdure.errors import ActorStopped, Rejected, Unhandled

if TYPE_CHECKING:
    from perdure.actors._props import Props
    from perdure.actors._system import ActorSystem

_log = logging.getLogger("perdure.actors")


class End(Enum):
    """How the present life of a cell is to end."""

    NONE = 0
    PASSIVATE = 1
    STOP = 2


class Cell:
    """One actor of a system: its mailbox, its instance and its task, each there only while needed."""

    __slots__ = (
        "_actor",
        "_context",
        "_ending",
        "_failures",
        "_mailbox",
        "_over",
        "_pause",
        "_started",
        "_task",
        "closed",
        "key",
        "path",
        "props",
        "rested_at",
        "system",
    )

    def __init__(self, system: ActorSystem, path: str, key: str, props: Props) -> None:
        self.system = system
        self.path = path
        self.key = key
        self.props = props
        self.closed = False
        self.rested_at = 0.0
        self._actor: Actor | None = None
        self._context = Context(self)
        self._ending = End.NONE
        self._failures: Failures | None = None
        self._mailbox: Mailbox | None = None
        self._over: asyncio.Future[None] | None = None
        self._pause: asyncio.Future[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Cell {self.path}>"

    # What refs and the system call.

    def ref(self) -> ActorRef:
        return ActorRef(self.system, self.path, self.key, self.props, self)

    @property
    def idle(self) -> bool:
        """True while the instance waits for messages."""
        return self._task is None

    @property
    def is_running_here(self) -> bool:
        """True when called from this actor's own code."""
        return self._task is not None and self._task is asyncio.current_task(self.system.loop)

    def post(self, envelope: Envelope) -> asyncio.Future[None] | None:
        """Hand an envelope to the actor; where there is no room, park it and return the future of its admission."""
        if self._task is None:
            self._wake(envelope)
            return None
        if self._task.done():  # somebody cancelled it before its first step
            self._wake()
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._mailbox = Mailbox(self.props.actor_type.mailbox_capacity)
        return None if mailbox.offer(envelope) else mailbox.park(envelope)

    def start(self) -> asyncio.Future[None]:
        """Begin the first life; the future fails with what made the start fail."""
        self._started = self.system.loop.create_future()
        self._wake()
        return self._started

    def stop(self) -> asyncio.Future[None]:
        """End this life after the message in hand; the future is done when it is all over."""
        if self._over is None:
            self._over = self.system.loop.create_future()
        if self.closed:
            _settle(self._over, None)
            return self._over
        self._ending = End.STOP
        _settle(self._pause, None)
        if self._task is None or self._task.done():
            self._wake()
        return self._over

    def passivate(self) -> None:
        """Put an idle instance away; the next message begins a new life."""
        if self._task is not None or self.closed:
            return
        self._ending = End.PASSIVATE
        if self._actor is None or type(self._actor).stopping is Actor.stopping:
            self._close()
        else:
            self._wake()

    def cancel(self) -> None:
        """Cancel whatever the actor does: the deadline of a stop is over."""
        if self._task is not None:
            self._task.cancel()

    # The actor's task.

    def _wake(self, envelope: Envelope | None = None) -> None:
        system = self.system
        self._task = system.loop.create_task(self._run(envelope), context=system.context.copy())

    async def _run(self, envelope: Envelope | None) -> None:
        """Live until there is nothing to do; where a passivation is overtaken by messages, live again.

        The first envelope never sees the mailbox: most messages find their actor idle.
        """
        try:
            while not self.closed:
                if self._actor is None and self._ending is End.NONE and (error := await self._begin()) is not None:
                    self._refuse([envelope] if envelope is not None else (), error)
                    self._refuse_queued(error)
                    envelope = None
                while self._ending is End.NONE and (envelope is not None or self._mailbox):
                    if envelope is None:
                        envelope = self._mailbox.take()  # type: ignore[union-attr]
                    try:
                        reply = await self._actor._receive(envelope.message, self._context)  # type: ignore[union-attr]
                    except BaseException as error:
                        await self._fail(envelope, error)
                    else:
                        self._answer(envelope, reply)
                    envelope = None
                if self._ending is End.NONE:
                    return self._rest()
                if envelope is not None:
                    self._refuse([envelope], ActorStopped(self.path))
                    envelope = None
                await self._finish()
        except BaseException as error:
            self._break(envelope, error)
            raise

    async def _begin(self) -> Exception | None:
        """Make the first instance of this life; where that fails, end it, and return the reason for all who wait."""
        try:
            await self._incarnate()
        except Exception as error:
            self._ending = End.STOP
            _settle(self._started, error)
            return error
        _settle(self._started, None)
        return None

    async def _incarnate(self) -> None:
        actor = self.props.create()
        await actor._prepare(self._context)
        await actor.started(self._context)
        self._actor = actor

    def _answer(self, envelope: Envelope, reply: object) -> None:
        asker = envelope.reply
        if asker is None or asker.done():
            return
        if reply is None and envelope.message._needs_reply:
            kind = type(envelope.message)
            asker.set_exception(Unhandled(self.path, kind.__name__, _type_name(kind._reply_type)))
        else:
            asker.set_result(reply)

    async def _fail(self, envelope: Envelope, error: BaseException) -> None:
        """Tell the asker what happened, and do as supervision says; go on with what is not the actor's to handle."""
        if isinstance(error, Rejected):
            if envelope.reply is None:
                _log.info("%s rejected %s: %s", self.path, type(envelope.message).__name__, error)
            return envelope.fail(error)
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                envelope.fail(ActorStopped(self.path, "cancelled while it handled the message"))
                raise error
            envelope.fail(ActorStopped(self.path, "something that the handler awaited was cancelled"))
        elif isinstance(error, Exception):
            envelope.fail(error)
        else:
            envelope.fail(ActorStopped(self.path, f"the process is ending: {type(error).__name__}"))
            raise error
        if envelope.reply is None:
            _log.error("%s failed on %s", self.path, type(envelope.message).__name__, exc_info=error)
        await self._restart(error)

    async def _restart(self, error: BaseException) -> None:
        """Replace the instance, again where it does not start, or end this life, as supervision says."""
        if self._failures is None:
            self._failures = Failures()
        while True:
            delay = self._failures.delay(self.props.actor_type.supervision, self.system.clock.monotonic())
            if delay is None:
                _log.error("%s is stopped by its supervision", self.path, exc_info=error)
                self._ending = End.STOP
                reason = f"its supervision stopped it after {type(error).__name__}: {error}"
                return self._refuse_queued(ActorStopped(self.path, reason))
            self._actor = None
            if delay > 0:
                await self._wait(delay)
            if self._ending is not End.NONE:
                return
            try:
                return await self._incarnate()
            except Exception as again:
                _log.error("%s could not be restarted", self.path, exc_info=again)
                error = again

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not through a stop."""
        pause = self._pause = self.system.loop.create_future()
        clock = self.system.clock
        timer = clock.call_at(clock.monotonic() + seconds, lambda: _settle(pause, None))
        try:
            await pause
        finally:
            timer.cancel()
            self._pause = None

    async def _finish(self) -> None:
        """End this life: the last hook, then the answers to whoever still waits."""
        actor, self._actor = self._actor, None
        if actor is not None:
            try:
                await actor.stopping(self._context)
            except Exception as error:
                _log.error("%s failed while stopping", self.path, exc_info=error)
        if self._ending is End.PASSIVATE and self._mailbox:
            self._ending = End.NONE
        else:
            self._close()

    def _rest(self) -> None:
        """Be idle, with nothing but the instance."""
        self._mailbox = None
        self._task = None
        self.rested_at = self.system.clock.monotonic()
        if self.props.virtual and self.system.live > self.system.max_live:
            self.passivate()  # all the others are busy, or they would have gone before

    def _break(self, envelope: Envelope | None, error: BaseException) -> None:
        """Answer everybody at once, without awaiting: the task is cancelled, or the process is ending."""
        self._ending = End.STOP
        if envelope is not None:
            envelope.fail(ActorStopped(self.path))
        if not self.closed:
            _settle(self._started, ActorStopped(self.path, f"its start was ended by {type(error).__name__}"))
            self._close()

    def _close(self) -> None:
        self.closed = True
        self._actor = None
        self._task = None
        self._refuse_queued(ActorStopped(self.path))
        self.system._forget(self)
        _settle(self._started, ActorStopped(self.path, "it was stopped before it started"))
        _settle(self._over, None)

    def _refuse_queued(self, error: Exception) -> None:
        """Answer everything that is queued or parked with `error`."""
        if self._mailbox is not None:
            self._refuse(self._mailbox.drain(), error)

    def _refuse(self, envelopes: Iterable[Envelope], error: Exception) -> None:
        """Answer envelopes with `error`; log what nobody waits for."""
        lost = 0
        for envelope in envelopes:
            lost += envelope.reply is None
            envelope.fail(error)
        if lost:
            _log.warning("%s: %d told messages were not handled: %s", self.path, lost, error)


def _settle(future: asyncio.Future[None] | None, error: Exception | None) -> None:
    """Give a future its end, if somebody asked for it and it has none yet."""
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _type_name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
