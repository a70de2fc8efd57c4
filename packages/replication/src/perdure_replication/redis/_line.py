"""One connection for commands.

All that is asked while it is busy goes together as soon as it is not, in the order in which it was asked. The
connection belongs to a task of the line alone, so that whoever asks may be cancelled at any moment: the reply is read
by the task and dropped. Whatever ends an exchange before its last reply drops the connection, so no reply is ever taken
for that of another command. What fails on a connection that was made earlier is tried once more on a new one: all that
is asked here may be carried out twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import BusyLoadingError, MovedError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from perdure_replication.errors import BrokerUnavailable
from perdure_replication.redis._broker import Broker, Pauses, packed

Command: TypeAlias = Sequence[bytes]

_MOST_TOGETHER = 128
_MOST_BYTES_TOGETHER = 1024 * 1024


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


_ELSEWHERE = (ReadOnlyError, BusyLoadingError, MovedError)


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
