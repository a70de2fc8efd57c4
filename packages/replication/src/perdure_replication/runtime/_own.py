"""The runtime of perdure's own actors."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import msgspec

from perdure import Actor, ActorRef, ActorSystem, Clock, Context, Message
from perdure_replication._fields import fields
from perdure_replication._node import Node
from perdure_replication.runtime._bridge import Bridge
from perdure_replication.runtime._ref import LocalRef
from perdure_replication.runtime._runtime import ActorRuntime, Receive

_log = logging.getLogger("perdure.replication")


class Sent(Message[Any]):
    """Any object, as a message for which nobody waits."""

    body: Any


class Asked(Message[Any]):
    """Any object, as a message that has a reply."""

    body: Any


class Raised(msgspec.Struct, frozen=True):
    """What a handler raised, as a reply: it is the asker's alone, and no matter of supervision."""

    error: Exception


class Life:
    """Whether an actor is over."""

    def __init__(self, over: Callable[[], None]) -> None:
        self.is_over = False
        self._over = over

    def end(self) -> None:
        self.is_over = True
        self._over()


class Worker(Actor):
    """An actor that is a function."""

    def __init__(self, receive: Receive, life: Life) -> None:
        self._receive_body = receive
        self._life = life

    async def handle(self, message: Sent | Asked, context: Context) -> Any:
        try:
            result = self._receive_body(message.body)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:
            if isinstance(message, Asked):
                return Raised(error)
            path = context.ref.path
            _log.exception("the actor %s failed on a message", path, extra=fields(actor=path, error=error))

    async def stopping(self, context: Context) -> None:
        self._life.end()


class PerdureRuntime(ActorRuntime):
    """Actors of a `perdure.ActorSystem`, in the event loop: supervised, with its mailboxes."""

    kind = "perdure"
    awaits = True
    _workers: ClassVar[dict[int, type[Worker]]] = {}

    def __init__(
        self,
        node: Node | None = None,
        *,
        system: ActorSystem | None = None,
        messages: Iterable[type[Any]] = (),
        clock: Clock | None = None,
    ) -> None:
        """Take an open system, which stays open, and its clock; or make one."""
        super().__init__(node, messages=messages, clock=clock or (system.clock if system is not None else None))
        self._given = system
        self._system = system or ActorSystem(clock=self.clock)

    @property
    def system(self) -> ActorSystem:
        """Where the actors are."""
        return self._system

    async def _open(self) -> None:
        if self._given is None:
            await self._system.__aenter__()

    async def _close(self) -> None:
        if self._given is None:
            await self._system.close()

    async def _start(self, name: str, receive: Receive, capacity: int) -> LocalRef[Any]:
        worker, life = self._worker(capacity), Life(lambda: self._over(name))
        actor = await self._system.spawn(worker, name, receive, life)
        return PerdureRef(self._place, name, actor, life, self.bridge)

    def _worker(self, capacity: int) -> type[Worker]:
        if capacity not in self._workers:
            self._workers[capacity] = type("Worker", (Worker,), {"mailbox_capacity": capacity})
        return self._workers[capacity]


class PerdureRef(LocalRef[Any]):
    """The address of one of perdure's own actors, which is at `actor`."""

    def __init__(self, node: str, name: str, actor: ActorRef, life: Life, bridge: Bridge) -> None:
        super().__init__(node, name)
        self.actor = actor
        self._life = life
        self._bridge = bridge

    def send(self, message: object) -> None:
        self._bridge.call(self.actor.post, Sent(message))

    async def ask(self, message: object, *, timeout: float = 30.0) -> Any:
        reply = await self.actor.ask(Asked(message), timeout=timeout)
        if isinstance(reply, Raised):
            raise reply.error
        return reply

    async def stop(self) -> None:
        await self.actor.stop()

    @property
    def is_live(self) -> bool:
        return self.actor.is_live and not self._life.is_over
