"""The broker, and the connections to it.

A *line* is one connection for commands. All that is asked while it is busy goes together as soon as it is not, in the
order in which it was asked. The connection belongs to a task of the line alone, so that whoever asks may be cancelled
at any moment: the reply is read by the task and dropped. Whatever ends an exchange before its last reply drops the
connection, so no reply is ever taken for that of another command. What fails on a connection that was made earlier is
tried once more on a new one: all that is asked here may be carried out twice.

A *subscription* is one connection that listens. When it is lost it is made again, and what came in between is lost.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from random import random
from typing import Any, NamedTuple, TypeAlias

from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, MovedError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from perdure_replication.errors import BrokerUnavailable, InvalidTransport

Command: TypeAlias = Sequence[bytes]

_log = logging.getLogger("perdure.replication")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_MOST_TOGETHER = 128
_MOST_BYTES_TOGETHER = 1024 * 1024


class Broker:
    """One Redis or Valkey server."""

    def __init__(self, url: str, timeout: float) -> None:
        """Raise `InvalidTransport` for a URL that cannot be right. Nothing is connected."""
        self.shown = shown(url)
        self.timeout = timeout
        """Seconds after which a connection or a reply is given up."""
        self._class, self._options = self._read(url)
        try:
            self.connection()
        except TypeError as error:
            raise InvalidTransport(self.shown, f"an option of it is unknown: {error}") from None

    def _read(self, url: str) -> tuple[type[AbstractConnection], dict[str, Any]]:
        try:
            options: dict[str, Any] = dict(parse_url(url))
        except ValueError:  # whose text may have a part of the password
            reason = "it is no URL of one server; write for example redis://user:password@host:6379/0"
            raise InvalidTransport(self.shown, reason) from None
        found = options.pop("connection_class", Connection)
        if found is not UnixDomainSocketConnection:
            options["socket_keepalive"] = True
        return found, options

    def connection(self) -> AbstractConnection:
        """Return a new connection that is not connected yet."""
        return self._class(
            **self._options
            | {
                "protocol": 2,
                "socket_timeout": None,
                "socket_connect_timeout": self.timeout,
                "retry": Retry(NoBackoff(), 0),
            }
        )

    def unavailable(self, reason: object) -> BrokerUnavailable:
        return BrokerUnavailable(self.shown, str(reason) or "it did not answer in time")


class _Request(NamedTuple):
    commands: Sequence[Command]
    size: int
    replies: asyncio.Future[list[Any]]


class Line:
    """One connection for commands, made when it is first needed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._connection: AbstractConnection | None = None
        self._requests: list[_Request] = []
        self._task: asyncio.Task[None] | None = None
        self._pauses = Pauses()
        self._closed_until = 0.0
        self._reason: object = ""
        self._closed = False
        self._is_new = False

    def expect(self) -> None:
        """Try again at once: the broker was seen."""
        self._closed_until = 0.0

    async def ask(self, *command: bytes) -> Any:
        """Return the reply to a command. Raises `BrokerUnavailable`; it may have been carried out then."""
        [reply] = await self.ask_all([command])
        if isinstance(reply, BrokerUnavailable):
            raise reply
        return reply

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to some commands, a `BrokerUnavailable` in place of each that was refused.

        Raises `BrokerUnavailable` when there is no answer; any of them may have been carried out then. While the broker
        is known to be away, that is at once.
        """
        loop = asyncio.get_running_loop()
        size = sum(len(part) for command in commands for part in command)
        request = _Request(commands, size, loop.create_future())
        self._requests.append(request)
        if self._task is None:
            self._task = loop.create_task(self._run())
        return [self._translated(reply) for reply in await request.replies]

    async def close(self) -> None:
        """Drop the connection; who waits is told that the broker is unavailable. May be called again."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect()

    async def _run(self) -> None:
        try:
            while self._requests:
                await self._serve(self._next())
        finally:
            self._task = None
            left, self._requests = self._requests, []
            self._refuse(left, "the connection was closed")

    def _next(self) -> list[_Request]:
        """Take the requests that go together: a bounded number of bytes, but at least one."""
        batch: list[_Request] = []
        size = 0
        while self._requests and len(batch) < _MOST_TOGETHER and (not batch or size < _MOST_BYTES_TOGETHER):
            request = self._requests.pop(0)
            if not request.replies.done():
                batch.append(request)
                size += request.size
        return batch

    async def _serve(self, batch: list[_Request]) -> None:
        try:
            replies = iter(await self._exchange([command for request in batch for command in request.commands]))
        except BrokerUnavailable as error:
            self._refuse(batch, error.reason)
        except BaseException:
            self._refuse(batch, "the connection was closed")
            raise
        else:
            for request in batch:
                answers = [next(replies) for _ in request.commands]
                if not request.replies.done():
                    request.replies.set_result(answers)

    def _refuse(self, batch: list[_Request], reason: str) -> None:
        for request in batch:
            if not request.replies.done():
                request.replies.set_exception(self._broker.unavailable(reason))

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        loop = asyncio.get_running_loop()
        if not commands:
            return []
        if self._closed or loop.time() < self._closed_until:
            raise self._broker.unavailable(self._reason or "the connection was closed")
        try:
            async with asyncio.timeout(self._broker.timeout):
                replies = await self._exchange_once_more(
                    b"".join(packed(*command) for command in commands), len(commands)
                )
        except (RedisError, OSError) as error:  # of which the builtin TimeoutError is one
            await self._drop()
            self._reason = error if str(error) else "it did not answer in time"
            self._closed_until = loop.time() + self._pauses.next()
            raise self._broker.unavailable(self._reason) from error
        except BaseException:
            await self._drop()
            raise
        self._pauses.reset()
        if any(isinstance(reply, _ELSEWHERE) for reply in replies):
            await self._drop()  # the name may lead to another server by now
        return replies

    async def _exchange_once_more(self, commands: bytes, count: int) -> list[Any]:
        """Return the replies, also where the server has ended the connection since it was last used."""
        try:
            return await self._replies(commands, count)
        except (RedisConnectionError, OSError):
            if self._is_new:
                raise
            await self._drop()
            return await self._replies(commands, count)

    async def _replies(self, commands: bytes, count: int) -> list[Any]:
        self._is_new = self._connection is None
        connection = await self._connected()
        await connection.send_packed_command([commands], check_health=False)
        return [await _reply(connection) for _ in range(count)]

    async def _connected(self) -> AbstractConnection:
        if self._connection is None:
            self._connection = self._broker.connection()
            await self._connection.connect()  # type: ignore[no-untyped-call]
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    def _translated(self, reply: Any) -> Any:
        if isinstance(reply, MovedError):
            return self._broker.unavailable("it is a node of a cluster: use a server that has all keys")
        if isinstance(reply, OutOfMemoryError):
            return self._broker.unavailable(f"it is full (maxmemory): {reply}")
        return self._broker.unavailable(reply) if isinstance(reply, ResponseError) else reply


class Subscription:
    """One connection that listens to some channels."""

    def __init__(
        self,
        broker: Broker,
        channels: Sequence[bytes],
        on_message: Callable[[bytes, bytes], None],
        on_return: Callable[[], None],
    ) -> None:
        """Call `on_message` with each channel and message, and `on_return` when listening goes on after a loss."""
        self._broker = broker
        self._channels = channels
        self._on_message = on_message
        self._on_return = on_return
        self._heard = 0.0
        self._connection = broker.connection()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen from now on. Raises `BrokerUnavailable`; close it then as well."""
        await self._subscribe()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Listen no more. May be called again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._connection.disconnect()

    async def _run(self) -> None:
        """Listen, and come back after each loss, for ever."""
        while True:
            await self._listen(self._connection)
            await self._come_back()
            self._on_return()

    async def _come_back(self) -> None:
        pauses = Pauses()
        while True:
            await self._connection.disconnect(nowait=True)
            await asyncio.sleep(pauses.next())
            self._connection = self._broker.connection()
            try:
                await self._subscribe()
            except BrokerUnavailable:
                continue
            return

    async def _subscribe(self) -> None:
        connection = self._connection
        try:
            async with asyncio.timeout(self._broker.timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_packed_command([packed(b"SUBSCRIBE", *self._channels)], check_health=False)
                for _ in self._channels:
                    await connection.read_response(disable_decoding=True)
        except (RedisError, OSError) as error:
            raise self._broker.unavailable(error) from error

    async def _listen(self, connection: AbstractConnection) -> None:
        """Pass on what comes, until the connection is lost or silent for too long."""
        tasks = [asyncio.ensure_future(work) for work in (self._read(connection), self._watch(connection))]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:  # no TaskGroup: of an error and a cancellation at once it would pass on the error alone
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        reason = ended.pop().exception()
        _log.warning("%s: what it publishes is missed until it is back: %s", self._broker.shown, reason)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            reply = await connection.read_response(disable_decoding=True)
            self._heard = asyncio.get_running_loop().time()
            if reply[0] == b"message":
                self._on_message(reply[1], reply[2])

    async def _watch(self, connection: AbstractConnection) -> None:
        """Ask for a sign of life now and then: a broker that is gone without a word sends none."""
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        while True:
            await asyncio.sleep(self._broker.timeout / 2)
            silent = loop.time() - self._heard
            if silent > 1.5 * self._broker.timeout:
                raise self._broker.unavailable(f"it was silent for {silent:.1f} s")
            await connection.send_packed_command([packed(b"PING")], check_health=False)


class Pauses:
    """How long to wait before a broker is tried again: each time twice as long, up to a second, with jitter."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pause = _FIRST_PAUSE / 2

    def next(self) -> float:
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return self._pause * (0.5 + random() / 2)


def packed(*parts: bytes) -> bytes:
    """Return a command in the Redis serialization protocol: an array of bulk strings."""
    pieces = [b"*%d\r\n" % len(parts)]
    for part in parts:
        pieces += (b"$%d\r\n" % len(part), part, b"\r\n")
    return b"".join(pieces)


_ELSEWHERE = (ReadOnlyError, BusyLoadingError, MovedError)


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def shown(url: str) -> str:
    """Return what may be shown of a URL: no password, and no options."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest.rpartition('@')[2])[0] or '…'}"
