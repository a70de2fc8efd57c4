"""References: how the world talks to an actor."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.actors._current import current
from perdure.actors._mailbox import Envelope
from perdure.actors._message import Message
from perdure.actors._path import ActorPath
from perdure.actors._streams import Overflow, Subscription
from perdure.errors import ActorStopped, AskedItself, AskTimeout, MailboxFull

if TYPE_CHECKING:
    from perdure.actors._cell import Cell
    from perdure.actors._props import Props
    from perdure.actors._system import ActorSystem

R = TypeVar("R")


class ActorRef:
    """The address of an actor. Refs are equal when their paths are, cheap, and never keep an actor in memory alive.

    A ref from `ActorSystem.ref` is always valid: its messages bring the actor to life. A ref from
    `ActorSystem.spawn` is valid until that actor stops.
    """

    __slots__ = ("_cell", "_props", "_system", "key", "path")

    def __init__(self, system: ActorSystem, path: ActorPath, key: str, props: Props, cell: Cell | None) -> None:
        self._system = system
        self._props = props
        self._cell = cell
        self.path = path
        self.key = key

    @property
    def type_name(self) -> str:
        """The name of the actor's type."""
        return self._props.actor_type.type_name

    def __repr__(self) -> str:
        return f"ActorRef({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActorRef):
            return NotImplemented
        return self.path == other.path and self._system is other._system

    def __hash__(self) -> int:
        return hash(self.path)

    async def ask(self, message: Message[R], *, timeout: float | None = None) -> R:
        """Send `message` and return the reply of its handler.

        Raises what the handler raised; `AskTimeout` after `timeout` seconds (by default the system's `ask_timeout`),
        and then the message may still be handled; `ActorStopped` when the actor is over; `AskedItself` where an actor
        would wait for itself, at first or at second hand.
        """
        cell = self._cell
        if cell is None or cell.closed or not isinstance(message, Message):
            cell = self._live_cell(message)
        sender = current.get()
        blocks = sender is not None and sender.is_running_here
        if blocks:
            check_waits(sender, cell)
        system = self._system
        seconds = system.ask_timeout if timeout is None else timeout
        reply: asyncio.Future[R] = system.loop.create_future()
        waits = system.deadlines.add(reply, seconds)
        context = copy_context()
        asking = system.observed.asking
        ended = None if asking is None else asking(cell, type(message).__name__, context)
        admitted = cell.post(Envelope(message, reply, sender, context, blocks))
        try:
            return await reply
        except AskTimeout as error:
            if error.path:  # a nested ask of the handler timed out, and says where
                raise
            raise AskTimeout(seconds, self.path) from None
        finally:
            waits.pop(reply, None)
            if admitted is not None:
                admitted.cancel()
            if ended is not None:
                ended(asyncio.CancelledError() if reply.cancelled() else reply.exception())

    async def tell(self, message: Message[Any], *, timeout: float | None = None) -> None:
        """Send `message` and forget it; waits for room in the mailbox.

        Raises `ActorStopped` when the actor is over; `MailboxFull` when there was no room for `timeout` seconds (by
        default the system's `ask_timeout`). What its handler raises is logged and goes to supervision.
        """
        cell = self._live_cell(message)
        admitted = cell.post(Envelope(message, None, current.get(), copy_context()))
        if admitted is None:
            return
        system = self._system
        seconds = system.ask_timeout if timeout is None else timeout
        waits = system.deadlines.add(admitted, seconds)
        try:
            await admitted
        except AskTimeout:
            raise MailboxFull(self.path, self._props.actor_type.mailbox_capacity, seconds) from None
        finally:
            waits.pop(admitted, None)

    def post(self, message: Message[Any]) -> None:
        """Send `message` and forget it, at once or not at all, without waiting.

        Raises `ActorStopped` when the actor is over; `MailboxFull` when there is no room now.
        """
        cell = self._live_cell(message)
        if not cell.offer(Envelope(message, None, current.get(), copy_context())):
            raise MailboxFull(self.path, self._props.actor_type.mailbox_capacity, 0.0)

    async def stop(self, *, timeout: float | None = None) -> None:
        """Have the actor finish the message in hand and stop, with its children; return when all of it is over.

        Whatever has not ended after `timeout` seconds (by default the system's `stop_timeout`) is cancelled. What is
        queued is answered with `ActorStopped`, but for critical messages, which are handled. Silent when the actor is
        over already. An actor reached by `ref` comes back with the next message. An actor that stops itself, or one
        above it, does not wait, and nor do the tasks that it has started.
        """
        cell = self._present()
        if cell is None:
            return
        cell.stop(None if timeout is None else self._system.clock.monotonic() + timeout)
        if not (cell.closed or _is_inside(current.get(), cell)):
            await asyncio.shield(cell.over())

    async def closed(self) -> None:
        """Return when the actor that lives now, if any, is over, its children and its hooks included.

        Raises `AskedItself` in that actor's own code, and in that of those below it.
        """
        cell = self._present()
        if cell is not None:
            here = current.get()
            if here is not None and here.is_running_here and _is_inside(here, cell):
                raise AskedItself(cell.path)
            await asyncio.shield(cell.over())

    @property
    def is_live(self) -> bool:
        """True while the actor is in memory."""
        return self._present() is not None

    def subscribe(
        self, *, after: int | None = None, capacity: int = 1024, overflow: Overflow = "drop_oldest"
    ) -> Subscription[Any]:
        """Return an async iterator over what the actor publishes from now on, until it stops.

        `capacity` events at most wait to be read; then, as `overflow` says, the oldest or the newest are dropped, and
        counted, or the iteration fails with `Overflowed`. The actor is never held up.

        With `after`, of a persistent actor: its durable events, as `perdure.persistence.Numbered`, from the first after
        that sequence number on. The log is replayed, then followed, without a gap and without a duplicate; `capacity`
        bounds the memory, and nothing overflows, for what was dropped is read from the log again. Of a durable state
        actor: its state, as `perdure.persistence.Changed`, if its revision is greater, and then whatever it becomes;
        who is slow sees the newest.
        """
        return self._system._subscribe(self, after, capacity, overflow)

    def _present(self) -> Cell | None:
        cell = self._system._find(self.path)
        if cell is not None and (self._cell is None or self._props.virtual or cell is self._cell):
            return cell
        return None

    def _live_cell(self, message: Message[Any]) -> Cell:
        if not isinstance(message, Message):
            raise TypeError(f"{self.path}: a message is an instance of perdure.Message, not {type(message).__name__}")
        cell = self._cell
        if cell is None or cell.closed:
            try:
                cell = self._cell = self._system._activate(self)
            except ActorStopped as error:
                self._system._dead(message, self.path, current.get(), error.reason)
                raise
        return cell


def check_waits(sender: Cell | None, target: Cell) -> None:
    """Raise `AskedItself` if `target` waits for what its asker is doing: neither would ever go on.

    It waits for an actor that it has asked or is starting, or for its children to stop, or for whoever waits for these.
    """
    via: list[str] = []
    cell = sender
    while cell is not None and cell is not target:
        via.append(cell.path)
        if target.parting and target.path.is_ancestor_of(cell.path):
            break
        envelope = cell.in_hand
        if envelope is None:
            cell = cell.creator
        elif not envelope.blocks or envelope.reply is None or envelope.reply.done():
            return
        else:
            cell = envelope.sender
    if cell is not None:
        raise AskedItself(target.path, tuple(reversed(via)))


def _is_inside(cell: Cell | None, other: Cell) -> bool:
    """Tell whether a cell is `other`, or below it."""
    while cell is not None and cell is not other:
        cell = cell.parent
    return cell is other
