"""One connection that listens. When it is lost it is made again, and what came in between is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from perdure_replication._fields import fields
from perdure_replication.errors import BrokerUnavailable
from perdure_replication.redis._broker import Broker, Pauses, packed

_log = logging.getLogger("perdure.replication")


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
        text = "%s: what it publishes is missed until it is back: %s"
        _log.warning(text, self._broker.shown, reason, extra=fields(error=reason))

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
