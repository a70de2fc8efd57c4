"""Ways in which a process tells all others something: replicated state, and what carries it, bare."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from time import monotonic_ns
from typing import Any

import msgspec

from perdure.security import EncryptedKey
from perdure_replication import DistributedState, Membership, Node, Transport
from perdure_replication.tcp import TcpMembership, TcpTransport

_FILLING = "x" * 100
_CHANNEL = b"bench"
_LENGTH_BYTES = 4

_encode = msgspec.msgpack.Encoder().encode


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What is told: the how manieth it is, and when it was, in nanoseconds of the machine's one monotonic clock."""

    number: int = 0
    at: int = 0
    filling: str = _FILLING


_decode = msgspec.msgpack.Decoder(tuple[str, Stamp]).decode


class Stamped(DistributedState[Stamp]):
    """The last stamp of each process."""

    def initial(self) -> Stamp:
        return Stamp()


class Place(msgspec.Struct, frozen=True):
    """Where a process stands among the others, and what all share."""

    name: str
    addresses: dict[str, str]
    """`127.0.0.1:PORT` of each process, its own among them."""
    url: str
    """Of the broker; empty where there is none."""
    secret: bytes


class Wire(ABC):
    """One way of telling, as one process has it. It notes what it hears of the others."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.numbers: dict[str, int] = {}
        """The greatest that was heard, by the process that told it."""
        self.latencies: list[int] = []
        """Nanoseconds between telling and hearing."""
        self.at = 0
        """When something was last heard."""
        self._stack = AsyncExitStack()
        self._heard = asyncio.Event()

    async def __aenter__(self) -> Wire:
        """Return when all others can be told."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def tell(self, stamp: Stamp) -> None: ...

    def hear(self, name: str, stamp: Stamp) -> None:
        self.at = monotonic_ns()
        self.numbers[name] = stamp.number
        self.latencies.append(self.at - stamp.at)
        self._heard.set()

    async def until(self, numbers: Mapping[str, int]) -> None:
        """Return when all these were heard, or something later of the same process."""
        while any(self.numbers.get(name, 0) < number for name, number in numbers.items() if name != self.place.name):
            self._heard.clear()
            await self._heard.wait()

    def _begin(self, work: asyncio.Task[None]) -> None:
        async def end() -> None:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

        self._stack.push_async_callback(end)

    @property
    def _others(self) -> list[str]:
        return [name for name in self.place.addresses if name != self.place.name]


class Replicated(Wire):
    """A node with one pushed state, over TCP or a broker, sealed with a secret that all share."""

    async def open(self) -> None:
        transport, membership = self._ports(EncryptedKey(self.place.secret))
        node = Node(self.place.name, [Stamped], transport=transport, membership=membership)
        await self._stack.enter_async_context(node)
        self._replica = node.replica(Stamped)
        self._begin(asyncio.create_task(self._follow()))
        async for _ in self._replica.changes(since={}):
            if self._replica.views.keys() == self.place.addresses.keys():
                return

    def _ports(self, secret: EncryptedKey) -> tuple[Transport, Membership]:
        if self.place.url:
            from perdure_replication.redis import RedisMembership, RedisTransport

            return RedisTransport(self.place.url, secret=secret), RedisMembership(self.place.url, secret=secret)
        transport = TcpTransport(self.place.addresses[self.place.name], secret=secret)
        return transport, TcpMembership(transport, list(self.place.addresses.values()))

    async def _follow(self) -> None:
        async for change in self._replica.changes():
            if change.node != self.place.name and change.view is not None and change.view.number:
                self.hear(change.node, change.view)

    async def tell(self, stamp: Stamp) -> None:
        await self._replica.mutate(lambda _: stamp)
        await asyncio.sleep(0)  # else up to 64 are made in one turn, and the last of them is sent


class Hurried(Replicated):
    """The same for a program that awaits nothing else: mutations themselves let the loop turn, now and then."""

    async def tell(self, stamp: Stamp) -> None:
        await self._replica.mutate(lambda _: stamp)


class Streams(Wire):
    """asyncio's streams: a connection to each other process, and a length before each message."""

    async def open(self) -> None:
        host, _, port = self.place.addresses[self.place.name].partition(":")
        server = await asyncio.start_server(self._listen, host, int(port))
        self._stack.callback(server.close)
        self._writers = [await self._connected(self.place.addresses[name]) for name in self._others]

    async def _connected(self, address: str) -> asyncio.StreamWriter:
        host, _, port = address.partition(":")
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            self._stack.callback(writer.close)
            return writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
                self.hear(*_decode(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()  # the other has ended, or this process does

    async def tell(self, stamp: Stamp) -> None:
        message = _encode((self.place.name, stamp))
        for writer in self._writers:
            writer.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)
        for writer in self._writers:
            await writer.drain()
        await asyncio.sleep(0)


class Published(Wire):
    """redis-py's PUBLISH in one channel to which all have subscribed."""

    async def open(self) -> None:
        from redis.asyncio import Redis

        self._client = await self._stack.enter_async_context(Redis.from_url(self.place.url))
        pubsub = await self._stack.enter_async_context(self._client.pubsub())
        await pubsub.subscribe(_CHANNEL)
        self._begin(asyncio.create_task(self._listen(pubsub)))
        while await self._listeners() < len(self.place.addresses):  # noqa: ASYNC110 (the others are processes)
            await asyncio.sleep(0.02)

    async def _listeners(self) -> int:
        return dict(await self._client.pubsub_numsub(_CHANNEL)).get(_CHANNEL, 0)

    async def _listen(self, pubsub: Any) -> None:
        async for message in pubsub.listen():
            if message["type"] == "message":
                name, stamp = _decode(message["data"])
                if name != self.place.name:
                    self.hear(name, stamp)

    async def tell(self, stamp: Stamp) -> None:
        await self._client.publish(_CHANNEL, _encode((self.place.name, stamp)))
