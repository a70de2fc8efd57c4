"""A host: what runs in the process of a Ray actor, an `ActorSystem` on a store that every node reaches.

The invariant is the store's: the last host that has claimed an actor is the only one that writes to its log. Each
process of a host is an owner of its own. So one that was given up, cut off or paused, and still believes that it has an
actor, is refused when it writes (`Superseded`), and has that actor no more. Ray keeps one live process a host, as well
as it can know: that makes this rare, and the store makes it harmless. Leases were rejected: they make restarts wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any, TypeAlias

import msgspec

from perdure import Actor, ActorRef, ActorSystem, Message
from perdure_replication._fields import fields
from perdure_replication.errors import CannotCross, HostUnavailable, InvalidHosts, ReplyLost
from perdure_replication.ray._library import library
from perdure_replication.ray._names import named
from perdure_replication.ray._wire import Done, Failed, Request, encode, error_of, failed, read_request

Opener: TypeAlias = Callable[[str], AbstractAsyncContextManager[ActorSystem]]
"""Returns a system, for the name of the owner that the host is."""

_log = logging.getLogger("perdure.ray")
_NOTHING = msgspec.Raw(msgspec.msgpack.encode(None))


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """What all hosts of a name have in common: how many there are, and what opens their system."""

    name: str
    namespace: str
    count: int
    store: str = ""
    opener: str = ""

    def open(self, owner: str) -> AbstractAsyncContextManager[ActorSystem]:
        if self.opener:
            opened: AbstractAsyncContextManager[ActorSystem] = named(self.opener)(owner)
            return opened
        return ActorSystem(store=self.store, owner=owner)


class HostInfo(msgspec.Struct, frozen=True, array_like=True):
    """A host as it is now: its number, Ray's id of its node, its process, and how many actors are live there.

    `count` is how many hosts there are.
    """

    number: int
    count: int
    node: str
    pid: int
    live: int


class Host:
    """One of several hosts, which opens its system when it is first needed."""

    def __init__(self, plan: bytes, number: int) -> None:
        self._plan = msgspec.msgpack.decode(plan, type=Plan)
        self._number = number
        self._system: ActorSystem | None = None
        self._opening: asyncio.Future[ActorSystem] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._is_over = False
        if _is_restarted():
            self._begin().add_done_callback(_say_why_not)  # what is opened beside the system is to be there again

    async def open(self, plan: bytes) -> bytes:
        """Open the system, and answer with a `HostInfo`, or with why not; refuse whoever has another plan."""
        try:
            wanted = msgspec.msgpack.decode(plan, type=Plan)
            if wanted != self._plan:
                raise InvalidHosts(self._plan.name, _difference(wanted, self._plan))
            await self._opened()
        except Exception as error:
            return encode(failed(error))
        return encode(Done(msgspec.Raw(await self.describe())))

    async def describe(self) -> bytes:
        """Answer with a `HostInfo`."""
        live = 0 if self._system is None else self._system.live
        return encode(HostInfo(self._number, self._plan.count, _node(), os.getpid(), live))

    async def ask(self, frame: bytes) -> bytes:
        """Have a message handled, and answer with its reply."""
        return encode(await self._ask(read_request(frame)))

    async def tell(self, frame: bytes) -> bytes:
        """Have a message queued, and answer when it is."""
        request = read_request(frame)
        try:
            ref, message = await self._target(request)
            await ref.tell(message, timeout=request.seconds)
        except Exception as error:
            return encode(failed(error))
        return encode(Done(_NOTHING))

    async def ask_plainly(self, frame: bytes) -> Any:
        """Have a message handled, and return its reply, or raise, as any Ray actor does."""
        request = read_request(frame)
        try:
            ref, message = await self._target(request)
            return await ref.ask(message, timeout=request.seconds)
        except Exception as error:
            raise error_of(_path(request), failed(error)) from None

    async def close(self) -> None:
        """End the system, after the messages in hand."""
        self._is_over = True
        if self._serving is not None:
            if self._system is not None:
                self._system.shutdown()
            await asyncio.wait([self._serving])

    async def _ask(self, request: Request) -> Done | Failed:
        try:
            ref, message = await self._target(request)
            reply = await ref.ask(message, timeout=request.seconds)
        except Exception as error:
            return failed(error)
        try:
            return Done(msgspec.Raw(encode(reply)))
        except Exception as error:
            return failed(ReplyLost(_path(request), str(error)))

    async def _target(self, request: Request) -> tuple[ActorRef, Message[Any]]:
        kind, decoder = _actor_type(request.actor), _decoder(request.message)
        message: Message[Any] = decoder.decode(request.body)
        return (self._system or await self._opened()).ref(kind, request.key), message

    async def _opened(self) -> ActorSystem:
        """Return the open system; opened now when there is none, or when the last one has ended."""
        if self._is_over:
            raise HostUnavailable(self._name, 0.0, "it was stopped")
        if self._serving is None or self._serving.done():
            self._begin()
        assert self._opening is not None
        return await asyncio.shield(self._opening)

    def _begin(self) -> asyncio.Future[ActorSystem]:
        self._opening = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(self._opening))
        return self._opening

    async def _serve(self, opening: asyncio.Future[ActorSystem]) -> None:
        try:
            async with self._plan.open(f"{self._name}, process {os.getpid()} on {_node()}") as system:
                system.resources.setdefault("hosts", self._hosts())
                self._system = system
                opening.set_result(system)
                if not self._is_over:  # it may have been told to close while it opened
                    await system.until_shutdown()
        except Exception as error:
            if opening.done():
                text = "the system of %s ended; the next message opens another"
                _log.error(text, self._name, exc_info=error, extra=fields(error=error))
            else:
                opening.set_exception(error)
        finally:
            self._system = None

    def _hosts(self) -> object:
        from perdure_replication.ray._hosts import RayHosts  # which starts hosts

        return RayHosts.of(self._plan.name, self._plan.namespace, self._plan.count)

    @property
    def _name(self) -> str:
        return host_name(self._plan.name, self._number)


def _is_restarted() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray asks itself in a way that it deprecates
        return bool(library().get_runtime_context().was_current_actor_reconstructed)


def _say_why_not(opening: asyncio.Future[ActorSystem]) -> None:
    if (error := opening.exception()) is not None:
        text = "a host that was restarted cannot open its system; a message tries again"
        _log.error(text, exc_info=error, extra=fields(error=error))


def _node() -> str:
    node: str = library().get_runtime_context().get_node_id()
    return node


def host_name(name: str, number: int) -> str:
    """Return the name of a host, by which Ray knows it."""
    return f"{name}-{number}"


@cache
def _actor_type(name: str) -> type[Actor]:
    kind = named(name)
    if not (isinstance(kind, type) and issubclass(kind, Actor)):
        raise CannotCross(name, "it is no actor type")
    return kind


@cache
def _decoder(name: str) -> msgspec.msgpack.Decoder[Any]:
    kind = named(name)
    if not (isinstance(kind, type) and issubclass(kind, Message)):
        raise CannotCross(name, "it is no message type")
    return msgspec.msgpack.Decoder(kind)


def _path(request: Request) -> str:
    return f"{request.actor.rpartition(':')[2]}/{request.key}"


def _difference(wanted: Plan, present: Plan) -> str:
    """Say in what two plans differ, without the URL of a store, which may have a password."""
    if wanted.count != present.count:
        return f"{present.count} run already, not {wanted.count}: stop them first, or find them"
    return "those that run already have another store: stop them first, or choose another name"
