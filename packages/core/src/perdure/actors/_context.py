"""What an actor knows of its surroundings, and may do in them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from perdure.actors._message import Message
from perdure.actors._path import ActorPath
from perdure.actors._redelivery import Redelivered, Redelivery
from perdure.actors._ref import ActorRef
from perdure.actors._reply import Reply
from perdure.actors._signals import Failed, StopReason, Terminated
from perdure.actors._supervision import Schedule, Supervision
from perdure.actors._timers import ActorTimer
from perdure.errors import StashFull

if TYPE_CHECKING:
    from perdure.actors._actor import Actor
    from perdure.actors._cell import Cell
    from perdure.actors._system import ActorSystem

T = TypeVar("T")


class Context:
    """Passed to every hook and handler of an actor."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    # Who is who.

    @property
    def path(self) -> ActorPath:
        """The actor's path: `/TYPE/KEY` when reached by `ref`, `/user/NAME` when spawned, `PARENT/NAME` for a child."""
        return self._cell.path

    @property
    def key(self) -> str:
        """The key given to `ref`, or the name given to `spawn`."""
        return self._cell.key

    @property
    def ref(self) -> ActorRef:
        """A reference to this actor."""
        return self._cell.ref()

    @property
    def sender(self) -> ActorRef | None:
        """The actor that sent the message in hand; None when it came from outside of actors, or from a timer."""
        envelope = self._cell.in_hand
        return None if envelope is None or envelope.sender is None else envelope.sender.ref()

    @property
    def system(self) -> ActorSystem:
        """The system in which the actor lives."""
        return self._cell.system

    # The family.

    @property
    def parent(self) -> ActorRef | None:
        """The actor that spawned this one; None when it was spawned by the system, or is reached by `ref`."""
        return None if self._cell.parent is None else self._cell.parent.ref()

    @property
    def children(self) -> list[ActorRef]:
        """The live children, in the order of their making."""
        return [child.ref() for child in self._cell.children()]

    def child(self, name: str) -> ActorRef | None:
        """Return the live child of this name, if there is one."""
        return next((child.ref() for child in self._cell.children() if child.key == name), None)

    async def spawn(
        self,
        actor_type: type[Actor],
        name: str,
        *arguments: Any,
        supervision: Supervision | None = None,
        **keywords: Any,
    ) -> ActorRef:
        """Start a child now, and return its ref when it has started. It stops before its parent does, or restarts.

        Raises what made the start fail, and the name is free again; `NameTaken`; `InvalidIdentifier`; `ActorStopped`
        while the parent stops.
        """
        return await self.system._spawn(self._cell, actor_type, name, arguments, keywords, supervision)

    def watch(self, ref: ActorRef) -> None:
        """Have a `Terminated` message sent to this actor when that one is over; at once, if it is not live now.

        To be put away is not to be over: the watch of an actor reached by `ref` goes on.
        """
        system = self.system
        if ref._present() is None and not ref._props.virtual:
            self._cell.post_own(Terminated(ref, StopReason.ABSENT), copy_context())
        else:
            system._watches.add(self._cell, ref.path)

    def unwatch(self, ref: ActorRef) -> None:
        """Watch no more. Silent when that was not watched."""
        self.system._watches.remove(self._cell, ref.path)

    # Events.

    def publish(self, event: object) -> None:
        """Hand an event to whoever has subscribed to this actor. Never waits; without subscribers it is dropped."""
        self.system._publish(self._cell.path, event)

    def report(self, error: BaseException) -> None:
        """Tell the system's events of an error, as `Failed`, and go on."""
        self.system._happened(Failed, self._cell, error)

    # Time.

    def schedule_once(self, delay: float, message: Message[Any], *, name: str | None = None) -> ActorTimer:
        """Send this actor a message in `delay` seconds. A timer of the same name is cancelled."""
        return ActorTimer(self._cell, name, message, _seconds("delay", delay))

    def every(
        self, interval: float, message: Message[Any], *, first: float | None = None, name: str | None = None
    ) -> ActorTimer:
        """Send this actor a message every `interval` seconds, the first one after `first`, by default as many.

        It does not drift; while a message of it still waits to be handled, and for times that were missed, none is
        added. A timer of the same name is cancelled.
        """
        if not interval > 0:
            raise ValueError(f"an interval is more than 0 seconds, not {interval!r}")
        delay = interval if first is None else _seconds("first", first)
        return ActorTimer(self._cell, name, message, delay, interval)

    def cancel(self, name: str) -> None:
        """Cancel the timer of a name. Silent when there is none."""
        timer = self._cell.own().timers.get(name)
        if timer is not None:
            timer.cancel()

    def set_receive_timeout(self, seconds: float | None) -> None:
        """Have `ReceiveTimeout` sent whenever no message has come for so many seconds; None for no more."""
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a receive timeout is more than 0 seconds, not {seconds!r}")
        self._cell.own().receive_timeout = seconds

    # The message in hand.

    def stash(self) -> None:
        """Put the message in hand aside, to be handled after `unstash`; whoever asked waits on.

        Raises `StashFull` beyond the mailbox's capacity, and the message stays in hand.
        """
        stash = self._cell.own().stash
        capacity = self._cell.props.actor_type.mailbox_capacity
        if len(stash) >= capacity:
            raise StashFull(self.path, capacity)
        stash.append(self._cell.put_aside())

    def unstash(self) -> None:
        """Have what was put aside handled next, in the order in which it came."""
        self._cell.unstash()

    def reply_later(self) -> Reply:
        """Take the reply to the message in hand into one's own hands: the handler returns, and whoever asked waits on.

        The reply may be given from any code in the loop, and goes with the instance.
        """
        return Reply(self._cell.put_aside().reply, self._cell.own().replies)

    def forward(self, ref: ActorRef) -> None:
        """Leave the message in hand, and its reply, to another actor, which sees the original sender.

        Raises `ActorStopped` when that is over, and the message stays in hand.
        """
        envelope = self._cell.in_hand
        cell = ref._live_cell(envelope.message) if envelope is not None else self._cell
        cell.post(structs.replace(self._cell.put_aside(), context=copy_context()))

    # Work beside the messages.

    def pipe_to_self(
        self,
        work: Awaitable[T],
        on_result: Callable[[T], Message[Any]],
        on_error: Callable[[Exception], Message[Any]] | None = None,
    ) -> asyncio.Future[T]:
        """Await something beside the handling of messages, and send its result to this actor as a message.

        What it raises becomes a message by `on_error`; without that, or where no message can be made, it goes to
        supervision. Work that is cancelled sends nothing; it is cancelled with the instance.
        """
        future: asyncio.Future[T] = asyncio.ensure_future(work)
        tasks = self._cell.own().tasks
        tasks.add(future)
        future.add_done_callback(lambda _: self._piped(future, tasks, on_result, on_error))
        return future

    def redeliver(self, message: Message[Any], to: ActorRef, schedule: Schedule, *, max: int = 10) -> Redelivery:
        """Send a message to an actor again and again, until it replies or is over, or the attempts are exhausted.

        The first delivery is at once; after the n-th the next one follows in `schedule.delay(n)` seconds; there are at
        most `max`. Then this actor gets one `Redelivered`. Cancelled with the instance.
        """
        redelivery = Redelivery(message, to, schedule, max)
        task = self.system.loop.create_task(self._redeliver(redelivery))
        tasks = self._cell.own().tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return redelivery

    def _piped(
        self,
        future: asyncio.Future[T],
        tasks: set[asyncio.Future[Any]],
        on_result: Callable[[T], Message[Any]],
        on_error: Callable[[Exception], Message[Any]] | None,
    ) -> None:
        if future not in tasks or future.cancelled():
            return tasks.discard(future)
        tasks.discard(future)
        try:
            message = _outcome(future, on_result, on_error)
        except Exception as error:
            self._cell.log(logging.ERROR, "failed on what it had piped to itself", error=error)
            self._cell.fail(error)
        else:
            self._cell.post_own(message, copy_context())

    async def _redeliver(self, redelivery: Redelivery) -> None:
        outcome: Redelivered = await redelivery.run(self.system)
        self._cell.post_own(outcome, copy_context())


def _outcome(
    future: asyncio.Future[T],
    on_result: Callable[[T], Message[Any]],
    on_error: Callable[[Exception], Message[Any]] | None,
) -> Message[Any]:
    """Return the message that tells of a result or an error; raise an error that nothing is to be made of."""
    error = future.exception()
    if isinstance(error, Exception) and on_error is not None:
        return on_error(error)
    return on_result(future.result())


def _seconds(what: str, seconds: float) -> float:
    if not seconds >= 0:
        raise ValueError(f"the {what} is 0 seconds or more, not {seconds!r}")
    return seconds
