"""One server, and the connections to it.

A connection belongs to one exchange at a time, from the first byte of its commands to the last of its replies. Whatever
ends an exchange earlier, an error or a cancellation, drops the connection, so no reply is ever taken for that of
another command (redis-py #2624, #2665). Of an idle connection it is only seen whether the server has ended it: who
finds one dead later asks again, and may, for commits are numbered.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from perdure_redis._settings import Address

_CONNECT_SECONDS = 5.0


class Lost(Exception):
    """An exchange ended without replies; `maybe_done` if the server may have carried the commands out."""

    def __init__(self, address: Address, reason: BaseException, maybe_done: bool) -> None:
        super().__init__(address, reason, maybe_done)
        self.reason = reason
        self.maybe_done = maybe_done
        self.refused = isinstance(reason, AuthenticationError | AuthorizationError)
        self.text = f"{address[0]}:{address[1]}: {str(reason) or 'no answer in time'}"


class Node:
    """A server at an address."""

    def __init__(self, address: Address, transport: dict[str, Any], connection: dict[str, Any]) -> None:
        self.address = address
        self._class = SSLConnection if transport else Connection
        self._options = {**transport, **connection}
        self._idle: list[Connection] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    async def exchange(self, commands: bytes, replies: int, deadline: float | None = None) -> list[Any]:
        """Send commands together and return their replies in order, errors of the server among them.

        Raises `Lost`, also when they are not there at the deadline, a time of the loop's clock.
        """
        connection = await self._take()
        sent = False
        try:
            async with asyncio.timeout_at(deadline):
                if not connection.is_connected:
                    await connection.connect()  # type: ignore[no-untyped-call]
                sent = True
                await connection.send_packed_command([commands], check_health=False)
                answers = [await _reply(connection) for _ in range(replies)]
        except (RedisError, OSError) as error:  # of which the builtin TimeoutError is one
            await connection.disconnect(nowait=True)
            raise Lost(self.address, error, sent and not isinstance(error, _NOT_DONE)) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if self._closed:
            await connection.disconnect()
        else:
            self._idle.append(connection)
        return answers

    async def forget(self) -> None:
        """Drop the idle connections: the server has restarted, or is another one by now."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Drop all connections, those in use when their exchange ends."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.disconnect() for connection in idle), return_exceptions=True)

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            reader: asyncio.StreamReader | None = getattr(connection, "_reader", None)
            if reader is None or not reader.at_eof():
                return connection
            await connection.disconnect(nowait=True)
        return self._connection()

    def _connection(self) -> Connection:
        return self._class(
            host=self.address[0],
            port=self.address[1],
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            **self._options,
        )


_NOT_DONE = (BusyLoadingError, AuthenticationError, AuthorizationError)


async def _reply(connection: Connection) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
