"""References to actors at hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from perdure import Actor, Message
from perdure_replication.errors import CannotCross
from perdure_replication.ray._channel import Channel
from perdure_replication.ray._contract import Contract, contract
from perdure_replication.ray._names import name_of
from perdure_replication.ray._wire import Request, encode, reply_of

if TYPE_CHECKING:
    from perdure_replication.ray._hosts import RayHosts

R = TypeVar("R")


class RayRef:
    """The address of an actor at a host. Always valid: its messages bring the actor to life, wherever its host is.

    Refs are equal when their hosts and paths are. They can be passed to Ray's tasks and actors.
    """

    __slots__ = ("_actor", "_channel", "_hosts", "_type", "key", "path")

    def __init__(self, hosts: RayHosts, actor_type: type[Actor], key: str, channel: Channel) -> None:
        self._hosts = hosts
        self._type = actor_type
        self._actor = name_of(actor_type)
        self._channel = channel
        self.key = key
        self.path = f"{actor_type.type_name}/{key}"

    def __repr__(self) -> str:
        return f"RayRef({self.path!r}, at {self._channel.name!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RayRef):
            return NotImplemented
        return (self.path, self._channel.name) == (other.path, other._channel.name)

    def __hash__(self) -> int:
        return hash(self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _ref, (self._hosts, self._type, self.key)

    @property
    def host(self) -> str:
        """The name of the host at which the actor lives."""
        return self._channel.name

    async def ask(self, message: Message[R], *, timeout: float | None = None) -> R:
        """Send `message` and return the reply of its handler.

        Raises what the handler raised, or `RemoteFailure` where that cannot cross; `HostUnavailable` when the host
        cannot be reached for `timeout` seconds (by default the `ask_timeout` of the hosts): the message was not sent;
        `HostLost` when the host dies meanwhile, and `AskTimeout` when no reply came in time: it may have been handled;
        `ReplyLost`: it was; `CannotCross` for a type that cannot be sent: it was not.
        """
        promise = contract(type(message))
        seconds = self._seconds(timeout)
        frame = self._frame(promise, message, seconds)
        reply: R = reply_of(self.path, await self._channel.call("ask", frame, self.path, seconds), promise.reply)
        return reply

    async def tell(self, message: Message[Any], *, timeout: float | None = None) -> None:
        """Send `message`; return when it is in the actor's mailbox.

        It is lost if the host dies before it is handled. Raises as `ask` does, but for what its handler raises, and
        `MailboxFull`. Of two messages the second comes after the first if it was sent after this had returned.
        """
        seconds = self._seconds(timeout)
        frame = self._frame(contract(type(message)), message, seconds)
        reply_of(self.path, await self._channel.call("tell", frame, self.path, seconds), _anything)

    def ask_remote(self, message: Message[Any], *, timeout: float | None = None) -> Any:
        """Send `message` and return Ray's `ObjectRef` of the reply, for `ray.get` and as an argument of tasks.

        All is as Ray has it: reply and errors are pickled, an error is also a `RayTaskError`, a lost host is a
        `RayActorError`, after which the message may have been handled. Raises `HostUnavailable` where Ray knows no such
        host, and `CannotCross`.
        """
        frame = self._frame(contract(type(message)), message, self._seconds(timeout))
        return self._channel.handle().ask_plainly.remote(frame)

    def _seconds(self, timeout: float | None) -> float:
        return self._hosts.ask_timeout if timeout is None else timeout

    def _frame(self, promise: Contract, message: Message[Any], seconds: float) -> bytes:
        try:
            body = msgspec.Raw(encode(message))
        except (TypeError, ValueError, OverflowError) as error:
            raise CannotCross(type(message).__name__, str(error)) from error
        return encode(Request(self._actor, self.key, promise.name, body, seconds))


_anything = msgspec.msgpack.Decoder(Any)


def _ref(hosts: RayHosts, actor_type: type[Actor], key: str) -> RayRef:
    return hosts.ref(actor_type, key)
