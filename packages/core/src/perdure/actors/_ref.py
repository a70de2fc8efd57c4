"""References: how the world talks to an actor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.actors._mailbox import Envelope
from perdure.actors._message import Message
from perdure.errors import AskedItself, AskTimeout

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

    def __init__(self, system: ActorSystem, path: str, key: str, props: Props, cell: Cell | None) -> None:
        self._system = system
        self._props = props
        self._cell = cell
        self.path = path
        self.key = key

    def __repr__(self) -> str:
        return f"ActorRef({self.path!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActorRef):
            return NotImplemented
        return self.path == other.path and self._system is other._system

    def __hash__(self) -> int:
        return hash(self.path)

    async def ask(self, message: Message[R], *, timeout: float | None = None) -> R:
        """Send `message` and return the reply of its handler.

        Raises what the handler raised; `AskTimeout` after `timeout` seconds (by default the system's `ask_timeout`),
        and then the message may still be handled; `ActorStopped` when the actor is over; `AskedItself`.
        """
        cell = self._live_cell(message)
        if cell.is_running_here:
            raise AskedItself(self.path)
        system = self._system
        seconds = system.ask_timeout if timeout is None else timeout
        reply: asyncio.Future[R] = system.loop.create_future()
        system.deadlines.add(reply, seconds)
        admitted = cell.post(Envelope(message, reply))
        try:
            return await reply
        except AskTimeout as error:
            if error.path:  # a nested ask of the handler timed out, and says where
                raise
            raise AskTimeout(seconds, self.path) from None
        finally:
            system.deadlines.discard(reply, seconds)
            if admitted is not None:
                admitted.cancel()

    async def tell(self, message: Message[Any]) -> None:
        """Send `message` and forget it; waits for room in the mailbox. Raises `ActorStopped` when the actor is over.

        What its handler raises is logged and goes to supervision.
        """
        admitted = self._live_cell(message).post(Envelope(message, None))
        if admitted is not None:
            await admitted

    async def stop(self) -> None:
        """Have the actor finish the message in hand and stop; return when it is over. Silent when it is over already.

        What is queued is answered with `ActorStopped`. An actor reached by `ref` comes back with the next message.
        """
        cell = self._system._find(self.path)
        if cell is not None and (self._cell is None or self._props.virtual or cell is self._cell):
            over = cell.stop()
            if not cell.is_running_here:
                await asyncio.shield(over)

    def _live_cell(self, message: Message[Any]) -> Cell:
        if not isinstance(message, Message):
            raise TypeError(f"{self.path}: a message is an instance of perdure.Message, not {type(message).__name__}")
        cell = self._cell
        if cell is None or cell.closed:
            cell = self._cell = self._system._activate(self)
        return cell
