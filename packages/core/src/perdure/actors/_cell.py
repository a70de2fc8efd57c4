"""The running actor: what stays when the instance inside is replaced.

An idle cell has no task and no queue. When there is something to do it is scheduled, once, and takes turns: each
handles one message, or changes the life of the actor (a start, a restart, an end). Turns never overlap, so all of an
actor's own code runs one thing at a time and nothing here needs a lock.

A cell is live from its making until it is `closed`. While a life ends (a stop or a passivation), messages are still
accepted: after a stop they are answered with `ActorStopped`, but for critical ones, which are handled; after a
passivation the cell begins a new life for them. So there is one instance of a path at any time, and nobody has to wait
for the old one to be over.

An end comes in this order: the message in hand, the critical messages, the children (all at once), the hook `stopping`.
A restart: the children, the hook `restarting` of the old instance, `started` of the new one. A cell is never closed
before its children are, even where they have to be left to themselves. What a parent decides of a child it has said
beforehand, as data, so no failure ever waits for a busy parent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable, Iterator
from contextvars import Context as Variables
from enum import IntEnum
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar

from perdure._fields import fields
from perdure.actors._actor import Actor
from perdure.actors._belongings import Belongings
from perdure.actors._clock import Pause, Timer
from perdure.actors._context import Context
from perdure.actors._current import current
from perdure.actors._mailbox import Envelope, Mailbox
from perdure.actors._message import Message
from perdure.actors._path import ActorPath
from perdure.actors._ref import ActorRef, check_waits
from perdure.actors._signals import Failed, Passivated, Restarted, Started, Stopped, StopReason
from perdure.actors._supervision import (
    AllForOne,
    Directive,
    Escalate,
    Failures,
    Restart,
    Resume,
    Stop,
    directive,
    is_superseded,
)
from perdure.actors._timers import ActorTimer, ReceiveTimeout
from perdure.actors._views import Known, Life
from perdure.errors import ActorStopped, AskedItself, Rejected, StartTimeout, Superseded, Unhandled
from perdure.telemetry._observation import until

if TYPE_CHECKING:
    from perdure.actors._props import Props
    from perdure.actors._system import ActorSystem

_log = logging.getLogger("perdure.actors")


class Change(IntEnum):
    """What is to happen to the present instance; a greater one outdoes the others."""

    NONE = 0
    RESTART = 1
    FAIL = 2
    PASSIVATE = 3
    STOP = 4


_NONE = Change.NONE  # looked up faster than the member
_STOP = Change.STOP


class Cell:
    """One actor of a system."""

    GRACE: ClassVar[float] = 1.0  # seconds that a cancelled actor has to end

    __slots__ = (
        "_actor",
        "_belongings",
        "_change",
        "_context",
        "_creator",
        "_deadline",
        "_error",
        "_failures",
        "_first",
        "_in_hand",
        "_late",
        "_mailbox",
        "_over",
        "_pause",
        "_reason",
        "_scheduled",
        "_started",
        "_task",
        "closed",
        "key",
        "parent",
        "parting",
        "path",
        "props",
        "rested_at",
        "system",
        "type_name",
    )

    def __init__(self, system: ActorSystem, parent: Cell | None, path: ActorPath, key: str, props: Props) -> None:
        self.system = system
        self.parent = parent
        self.path = path
        self.key = key
        self.props = props
        self.type_name = props.actor_type.type_name
        self.closed = False
        self.parting = False  # true while it waits for the end of its children
        self.rested_at = 0.0
        self._actor: Actor | None = None
        self._belongings: Belongings | None = None
        self._change = Change.NONE
        self._context = Context(self)
        self._creator: Cell | None = None
        self._deadline: tuple[float, Timer] | None = None
        self._error: BaseException | None = None
        self._failures: Failures | None = None
        self._first: Envelope | None = None  # most messages find their actor idle, and never see a queue
        self._in_hand: Envelope | None = None
        self._late = False
        self._mailbox: Mailbox | None = None
        self._over: asyncio.Future[None] | None = None
        self._pause: Pause | None = None
        self._reason = StopReason.STOPPED
        self._scheduled = False
        self._started: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Cell {self.path}>"

    # What observers see.

    @property
    def shown(self) -> str:
        return str(self.system.shown(self.path, self.props))

    def log(
        self,
        level: int,
        text: str,
        *arguments: object,
        error: BaseException | None = None,
        message: str | None = None,
    ) -> None:
        """Log what this actor did, or what became of it, with the error that it was, and the type of the message."""
        if not _log.isEnabledFor(level):
            return
        about = fields(actor=self.shown, actor_type=self.type_name, message=message, error=error)
        trace = None if error is None else self.system.loggable(error)
        _log.log(level, f"%s {text}", self.shown, *arguments, exc_info=trace, extra=about, stacklevel=2)

    # What refs, contexts and the system call.

    def ref(self) -> ActorRef:
        return ActorRef(self.system, self.path, self.key, self.props, self)

    @property
    def idle(self) -> bool:
        """True while the instance waits for messages and may be put away."""
        return not (self._scheduled or self._belongings)

    @property
    def _has_no_last_hook(self) -> bool:
        return self._actor is None or type(self._actor).stopping is Actor.stopping

    @property
    def is_running_here(self) -> bool:
        """True when called from this actor's own code, not from a task that it has started."""
        return self._task is not None and self._task is asyncio.current_task(self.system.loop)

    @property
    def is_ending(self) -> bool:
        """True from the moment when a stop was asked for."""
        return self.closed or self._change is Change.STOP

    @property
    def in_hand(self) -> Envelope | None:
        """The message that is being handled, unless it was put aside."""
        return self._in_hand

    @property
    def creator(self) -> Cell | None:
        """The actor that waits for this one to start, if there is one."""
        return None if self._started is None or self._started.done() else self._creator

    @property
    def life(self) -> Life:
        """What it does now."""
        if self._change in (Change.STOP, Change.PASSIVATE):
            return "stopping"
        if self._in_hand is not None:
            return "handling"
        if not self._scheduled:
            return "idle"
        if self._task is None and not self.parting:
            return "queued"
        if self._failures is not None or self.parting:
            return "restarting"
        return "handling" if self._actor is not None else self.props.actor_type._FIRST

    @property
    def depth(self) -> int:
        """How many messages wait for their turn, or for room."""
        return (self._first is not None) + (0 if self._mailbox is None else self._mailbox.waiting)

    @property
    def stashed(self) -> int:
        return 0 if self._belongings is None else len(self._belongings.stash)

    def known(self, *, states: bool) -> Known:
        """Return what the instance knows of itself, its state if wished."""
        return Known() if self._actor is None else self._actor._known(states=states)

    def own(self) -> Belongings:
        if self._belongings is None:
            self._belongings = Belongings()
        return self._belongings

    def children(self) -> list[Cell]:
        return list(self._belongings.children.values()) if self._belongings is not None else []

    def post(self, envelope: Envelope) -> asyncio.Future[None] | None:
        """Hand an envelope to the actor; where there is no room, park it and return the future of its admission."""
        if not self._scheduled:
            self._first = envelope
            self._scheduled = True
            self.system.dispatcher.schedule(self)
            return None
        mailbox = self._queue()
        if mailbox.offer(envelope):
            return None
        if envelope.sender is self and self._task is not None:  # it would wait for itself to make room
            mailbox.push(envelope)
            return None
        return mailbox.park(envelope)

    def offer(self, envelope: Envelope) -> bool:
        """Hand an envelope to the actor if there is room."""
        if self._scheduled:
            return self._queue().offer(envelope)
        self.post(envelope)
        return True

    def post_own(self, message: Message[Any], context: Variables) -> Envelope:
        """Hand over what the actor is to hear, room or not."""
        envelope = Envelope(message, None, None, context, own=True)
        if self.closed:
            self._refuse([envelope], ActorStopped(self.path))
        elif self._scheduled:
            self._queue().push(envelope)
        else:
            self.post(envelope)
        return envelope

    def holds(self, envelope: Envelope) -> bool:
        """Tell whether an envelope still waits for its turn."""
        return self._first is envelope or (self._mailbox is not None and envelope in self._mailbox)

    def put_aside(self) -> Envelope:
        """Take the message in hand from its turn: it is not answered when that ends. Raises `RuntimeError`."""
        envelope, self._in_hand = self._in_hand, None
        if envelope is None:
            raise RuntimeError(f"{self.path} has no message in hand: it was put aside before, or none is being handled")
        return envelope

    def unstash(self) -> None:
        """Queue what was stashed before all others."""
        if self._belongings is not None and self._belongings.stash:
            self._queue().put_first(self._belongings.stash)
            self._belongings.stash.clear()
            self._schedule()

    def start(self) -> asyncio.Future[None]:
        """Begin the first life; the future fails with what made the start fail."""
        self._started = self.system.loop.create_future()
        creator = current.get()
        if creator is not None and creator.is_running_here:
            self._creator = creator
        self._schedule()
        return self._started

    def over(self) -> asyncio.Future[None]:
        """Return the future that is done when it is all over."""
        if self._over is None:
            self._over = self.system.loop.create_future()
            if self.closed:
                self._over.set_result(None)
        return self._over

    def stop(self, deadline: float | None = None) -> None:
        """End this life, by a time at the latest; at once, where nothing is left to do."""
        if self.closed:
            return
        if self._change is not Change.STOP:
            self._change, self._error = Change.STOP, None  # a failure that waited for its turn is none
        if self.idle and self._has_no_last_hook:
            return self._close()
        self._end_by(deadline)
        if self._pause is not None:
            self._pause.end()
        self._schedule()

    def restart(self, error: BaseException) -> None:
        """Replace the instance after the message in hand: a sibling has failed."""
        self._change_to(Change.RESTART, error)

    def fail(self, error: BaseException) -> None:
        """Fail, after the message in hand, with the error of a child."""
        self._change_to(Change.FAIL, error)

    def passivate(self) -> None:
        """Put an idle instance away; the next message begins a new life."""
        if not self.idle or self.closed:
            return
        self._change = Change.PASSIVATE
        if self._has_no_last_hook:
            self._close()
        else:
            self._schedule()

    # What the dispatcher and its runners call.

    def turn(self, runner: asyncio.Task[None]) -> tuple[Variables, Coroutine[Any, Any, None]]:
        """Return what is to be done next, and the context variables to do it in."""
        self._task = runner
        change = self._change
        if change is _STOP:
            self._sift()
        if self._belongings is not None:
            self._belongings.heard()
        if self._actor is not None and (change is _NONE or (change is _STOP and self._has_mail())):
            envelope = self._first
            if envelope is None:
                envelope = self._queue().take()
            else:
                self._first = None
            self._in_hand = envelope
            return envelope.context, self._handle(envelope)
        first = self._first
        return (self.system.context if first is None else first.context).copy(), self._change_life()

    def ended_turn(self) -> bool:
        """Note the end of a turn, and tell whether there is to be another."""
        self._task = self._in_hand = None
        if self._first is not None or self._mailbox or self._change is not _NONE:
            return not self.closed
        if self.closed:
            return False
        self._scheduled = False
        self._mailbox = None
        if self._belongings is not None:
            self._await_silence(self._belongings)
        if self.props.virtual:
            system = self.system
            self.rested_at = system.clock.monotonic()
            if len(system._cells) > system.max_live:
                self.passivate()  # all the others are busy, or they would have gone before
        return False

    def break_off(self, error: BaseException) -> None:
        """Answer everybody at once, without awaiting: the turn was cancelled, or the process is ending.

        What is left to do, if there are children, is to wait for their end, in another turn.
        """
        if self._in_hand is not None:
            self._in_hand.fail(ActorStopped(self.path, f"ended by {type(error).__name__}"))
        if self.closed:
            return
        self._task = self._in_hand = None
        self._reason = StopReason.CANCELLED
        self._change = Change.STOP
        _settle(self._started, ActorStopped(self.path, f"its start was ended by {type(error).__name__}"))
        if self.children():
            self._end_by(None)
            self._late = True
            self._sift()
            self.system.dispatcher.schedule(self)
        else:
            self._close()

    # Messages.

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.system.dispatcher.schedule(self)

    def _queue(self) -> Mailbox:
        if self._mailbox is None:
            self._mailbox = Mailbox(self.props.actor_type.mailbox_capacity)
        return self._mailbox

    def _has_mail(self) -> bool:
        return self._first is not None or bool(self._mailbox)

    def _take(self) -> Envelope:
        envelope = self._first
        if envelope is None:
            return self._queue().take()
        self._first = None
        return envelope

    def _take_all(self) -> Iterator[Envelope]:
        if self._first is not None:
            yield self._take()
        if self._mailbox is not None:
            yield from self._mailbox.drain()

    async def _handle(self, envelope: Envelope) -> None:
        current.set(self)
        try:
            handled: Awaitable[Any] = self._actor._receive(envelope.message, self._context)  # type: ignore[union-attr]
            if (handling := self.system.observed.handling) is not None:
                ended = handling(self, type(envelope.message).__name__, envelope.reply is not None)
                if ended is not None:
                    handled = until(handled, ended)
            reply = await handled
            if type(reply) is CoroutineType:
                raise _not_awaited(self.path, reply)
        except BaseException as error:
            del envelope  # the collector does not see envelopes, and the error keeps this frame
            return await self._fail(error)
        asker = envelope.reply
        if asker is None or asker.done() or self._in_hand is not envelope:
            return
        if reply is None and envelope.message._needs_reply:
            kind = type(envelope.message)
            asker.set_exception(Unhandled(self.path, kind.__name__, _type_name(kind._reply_type)))
        else:
            asker.set_result(reply)

    def _sift(self) -> None:
        """Of what is queued at a stop, keep what is critical, and answer the rest."""
        envelopes = list(self._take_all())
        if self._belongings is not None:
            envelopes[:0] = self._belongings.stash
            self._belongings.stash.clear()
        works = self._actor is not None and self._reason is StopReason.STOPPED and not self._late
        kept = [envelope for envelope in envelopes if works and envelope.message._critical]
        if kept:
            self._queue().put_first(kept)
        if len(kept) < len(envelopes):
            self._refuse([envelope for envelope in envelopes if envelope not in kept], self._gone())

    def _refuse(self, envelopes: Iterable[Envelope], error: BaseException) -> None:
        """Answer envelopes with `error`; log what nobody waits for."""
        lost = 0
        for envelope in envelopes:
            if envelope.own:
                continue
            lost += envelope.reply is None
            envelope.fail(error)
            self.system._dead(envelope.message, self.path, envelope.sender, str(error))
        if lost:
            self.log(logging.WARNING, "did not handle %d told messages: %s", lost, self.system.loggable(error))

    def _gone(self) -> ActorStopped | Superseded:
        if self._error is None:
            return ActorStopped(self.path)
        if isinstance(self._error, Superseded) and is_superseded(self.path, self._error):  # they are to go elsewhere
            return self._error
        return ActorStopped(self.path, f"its supervision stopped it after {type(self._error).__name__}: {self._error}")

    def _await_silence(self, own: Belongings) -> None:
        if own.receive_timeout is not None:
            ActorTimer(self, ReceiveTimeout, ReceiveTimeout(), own.receive_timeout)

    # Failures.

    async def _fail(self, error: BaseException) -> None:
        """Tell the asker what happened, and do as supervision says; go on with what is not the actor's to handle."""
        envelope = self._in_hand
        told: BaseException = error
        if isinstance(error, asyncio.CancelledError):
            if _is_cancelled():
                if envelope is not None:
                    envelope.fail(ActorStopped(self.path, "cancelled while it handled the message"))
                raise error
            told = ActorStopped(self.path, "something that the handler awaited was cancelled")
        elif not isinstance(error, Exception):
            if envelope is not None:
                envelope.fail(ActorStopped(self.path, f"the process is ending: {type(error).__name__}"))
            raise error
        if envelope is not None:
            envelope.fail(told)
        unheard = envelope is None or envelope.reply is None
        if isinstance(error, Rejected):
            if unheard and envelope is not None:
                name = type(envelope.message).__name__
                self.log(logging.INFO, "rejected %s: %s", name, self.system.loggable(error), message=name)
            return
        if unheard:
            message = None if envelope is None else type(envelope.message).__name__
            self.log(logging.ERROR, "failed on %s", message or "a message", error=error, message=message)
        self._in_hand = None
        self.system._happened(Failed, self, error)
        await self._supervise(error)
        if self._change is Change.STOP and not self._has_mail():
            await self._finish()  # in this turn: the next message of whoever has the error finds nothing half over

    async def _supervise(self, error: BaseException) -> None:
        """Go on, replace the instance, or end this life, as supervision says."""
        failure: BaseException | None = error
        while failure is not None and self._change is not Change.STOP:
            superseded = is_superseded(self.path, failure)
            what = Stop() if superseded else directive(self.props.supervision, failure)
            if isinstance(what, Resume) and self._actor is not None:
                return
            delay = self._delay(what)
            if isinstance(self.props.supervision, AllForOne) and self.parent is not None:
                self._share(failure, delay)
            if delay is not None:
                failure = await self._restart(failure, delay)
            else:
                return self._die(failure, escalate=isinstance(what, Escalate))

    def _delay(self, what: Directive) -> float | None:
        """Return how long to wait before a restart; None when there is to be none."""
        if not isinstance(what, Restart):
            return None
        if self._failures is None:
            self._failures = Failures()
        try:
            return self._failures.delay(what, self.system.clock.monotonic(), self.system.random())
        except Exception as error:
            self.log(logging.ERROR, "has a schedule that failed", error=error)
            return None

    def _share(self, error: BaseException, delay: float | None) -> None:
        """Have the siblings restart or stop as well."""
        assert self.parent is not None
        if delay is not None and self._change is Change.RESTART:
            return  # a sibling has failed before it, and all are to restart already
        for sibling in self.parent.children():
            if sibling is not self and delay is not None:
                sibling.restart(error)
            elif sibling is not self:
                sibling.stop()

    def _die(self, error: BaseException, *, escalate: bool) -> None:
        self.log(logging.ERROR, "is stopped by its supervision", error=error)
        self._change = Change.STOP
        self._reason = StopReason.FAILED
        self._error = error
        self._end_by(None)
        self._sift()
        if escalate and self.parent is not None:
            self.parent.fail(error)
        elif escalate:
            self.system.crash(error)

    async def _restart(self, error: BaseException, delay: float) -> BaseException | None:
        """Replace the instance, after a pause; return what the start of the new one raised."""
        await self._leave("restarting", error)
        if delay > 0:
            await self._wait(delay)
        if self._change is Change.STOP:
            return None
        self._change, self._error = Change.NONE, None  # whoever else wants a new instance gets this one
        try:
            await self._incarnate()
        except Exception as again:
            self.log(logging.ERROR, "could not be restarted", error=again)
            self.system._happened(Failed, self, again)
            await asyncio.sleep(0)  # without a back-off the loop would never turn
            return again
        self.system._happened(Restarted, self, error)
        return None

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not through a stop."""
        self._pause = Pause(self.system.clock, seconds)
        try:
            await self._pause
        finally:
            self._pause = None

    # Lives.

    def _change_to(self, change: Change, error: BaseException) -> None:
        if change > self._change and not self.closed:
            self._change = change
            self._error = error
            self._schedule()

    async def _change_life(self) -> None:
        current.set(self)
        change, error = self._change, self._error
        if change in (Change.RESTART, Change.FAIL) and error is not None:
            self._change, self._error = Change.NONE, None
            if change is Change.RESTART:
                again = await self._restart(error, 0)
                if again is not None:
                    await self._supervise(again)
            else:
                self.system._happened(Failed, self, error)
                await self._supervise(error)
        elif change is Change.NONE:
            await self._begin()
        else:
            await self._finish()

    async def _begin(self) -> None:
        """Make the first instance of this life; where that fails, end it with the reason for all who wait."""
        try:
            await self._incarnate()
        except Exception as error:
            self._change = Change.STOP
            self._reason = StopReason.FAILED
            self._error = error
            await self._give_up_belongings()
            self._refuse(self._take_all(), error)
            self.system._happened(Failed, self, error)
            _settle(self._started, error)
            self._close()  # in this turn: whoever waited may use the name again
        else:
            _settle(self._started, None)
            self.system._happened(Started, self)
        self._creator = None

    async def _incarnate(self) -> None:
        """Make and start an instance. Raises what its start raises, and leaves nothing of it behind."""
        actor = self.props.create()
        seconds = self.props.actor_type.start_timeout
        if seconds is None:
            await self._start(actor)
        else:
            await self._start_within(seconds, actor)

    async def _start_within(self, seconds: float, actor: Actor) -> None:
        task, expired = self._task, False
        assert task is not None

        def expire() -> None:
            nonlocal expired
            expired = True
            task.cancel()

        clock = self.system.clock
        timer = clock.call_at(clock.monotonic() + seconds, expire)
        try:
            await self._start(actor)
        except asyncio.CancelledError:
            if expired and task.cancelling() == 1:
                raise StartTimeout(self.path, seconds) from None
            raise
        finally:
            timer.cancel()
            if expired:
                task.uncancel()

    async def _start(self, actor: Actor) -> None:
        await actor._prepare(self._context)
        self._actor = actor
        try:
            await actor.started(self._context)
        except BaseException as error:
            await self._leave("stopping")
            if isinstance(error, asyncio.CancelledError) and not _is_cancelled():
                raise ActorStopped(self.path, "something that its start awaited was cancelled") from error
            raise
        self.unstash()

    async def _finish(self) -> None:
        """End this life."""
        await self._leave("stopping")
        if self._change is Change.PASSIVATE and self._has_mail():
            self._change = Change.NONE
        else:
            self._close()

    async def _leave(self, hook: str, *arguments: object) -> None:
        """Part with the instance: its children, its timers and tasks, its last hook."""
        await self._give_up_belongings()
        actor, self._actor = self._actor, None
        if actor is None or self._late:
            return
        try:
            await getattr(actor, hook)(self._context, *arguments)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            self.log(logging.ERROR, "failed while %s", hook, error=error)
        if hook == "stopping":
            actor._put_away()
        await self._give_up_belongings()  # the hook may have made new ones

    async def _give_up_belongings(self) -> None:
        if self._belongings is not None:
            self._belongings.drop(self.path)
            if self._belongings.children:
                await self._stop_children()

    async def _stop_children(self) -> None:
        """Stop the children at the same time. They have deadlines, so nothing cuts this short."""
        deadline = None if self._deadline is None else self._deadline[0]
        task, self._task = self._task, None
        self.parting = True
        try:
            for child in self.children():
                self.system._watches.remove(self, child.path)  # it is the one who ends them
                child.stop(deadline)
            self._answer_waiting()
            if ends := [child.over() for child in self.children()]:
                await asyncio.wait(ends)
        finally:
            self.parting = False
            self._task = task

    def _answer_waiting(self) -> None:
        """Answer what is queued of those who cannot end, nor have others end, before they have an answer."""
        envelopes = list(self._take_all())
        for envelope in list(envelopes):
            if envelope.blocks:
                try:
                    check_waits(envelope.sender, self)
                except AskedItself as error:
                    envelopes.remove(envelope)
                    self._refuse([envelope], error)
        if envelopes:
            self._queue().put_first(envelopes)

    def _close(self) -> None:
        if self.closed:  # it was left to itself, and has come to its end after all
            return
        self.closed = True
        if self._actor is not None:
            self._actor._put_away()
            self._actor = None
        self._task = None
        if self._deadline is not None:
            self._deadline[1].cancel()
        if self._has_mail():
            self._refuse(self._take_all(), self._gone())
        if self._belongings is not None:
            self._belongings.drop(self.path)
            self._refuse(self._belongings.stash, self._gone())
        if self._change is Change.PASSIVATE:
            self.system._forget(self, None)
            self.system._happened(Passivated, self)
        else:
            self.system._forget(self, self._reason, self._error)
            self.system._happened(Stopped, self, self._reason, self._error)
        _settle(self._started, ActorStopped(self.path, "it was stopped before it started"))
        _settle(self._over, None)

    # Deadlines.

    def _end_by(self, when: float | None) -> None:
        """See to it that the end comes by a time, or by the system's timeout; and by the actor's own, if it has one."""
        now = self.system.clock.monotonic()
        if when is None:
            when = now + self.system.stop_timeout
        if self.props.actor_type.stop_timeout is not None:
            when = min(when, now + self.props.actor_type.stop_timeout)
        if self._deadline is not None:
            if self._late or self._deadline[0] <= when:
                return
            self._deadline[1].cancel()
        self._deadline = (when, self.system.clock.call_at(when, self._overdue))

    def _overdue(self) -> None:
        self.log(logging.WARNING, "did not stop in time and is cancelled")
        self._cut_short()
        clock = self.system.clock
        when = clock.monotonic() + self.GRACE
        self._deadline = (when, clock.call_at(when, self._abandon))

    def _cut_short(self) -> None:
        self._late = True
        if self._pause is not None:
            self._pause.end()
        for child in self.children():
            child._cut_short()
        if self._task is not None:
            self._task.cancel()

    def _abandon(self) -> None:
        self.log(logging.ERROR, "does not end, though it was cancelled: it is left to itself")
        for child in self.children():
            child._abandon()
        self.break_off(TimeoutError())


def _settle(future: asyncio.Future[None] | None, error: Exception | None) -> None:
    """Give a future its end, if somebody asked for it and it has none yet."""
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _is_cancelled() -> bool:
    """Tell whether a `CancelledError` is meant for what runs here, and not for something that it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _not_awaited(path: str, reply: CoroutineType[Any, Any, Any]) -> TypeError:
    reply.close()
    return TypeError(f"{path}: the handler returned the coroutine {reply.__qualname__}: did it forget to await it?")


def _type_name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
