"""Sockets of this machine, for tests, and somebody between them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from perdure_replication.tcp import TcpSettings, TcpTransport
from perdure_replication.tcp._greeting import Greeting
from perdure_replication.tcp._security import Plaintext, Security
from perdure_replication.tcp._session import Kind, Session
from perdure_replication.testing import Guest

SOON = TcpSettings(
    heartbeat=0.1,
    silence=1.0,
    frame_timeout=2.0,
    backoff=0.02,
    backoff_most=0.2,
    courtesy=0.02,
    suspicion=0.2,
    introduction=0.5,
)
"""Settings with which things are found out in less than a second or so."""
PATIENCE = 30.0


class Start(Protocol):
    """Starts a node that has a transport alone."""

    async def __call__(self, name: str, incarnation: int = 1, **options: object) -> Guest: ...


def tcp(guest: Guest) -> TcpTransport:
    """Return the transport of a node as what it is."""
    assert isinstance(guest.transport, TcpTransport)
    return guest.transport


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds. Raises `TimeoutError` when it never does."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.005)


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Middle:
    """A man in the middle: carries what is said between those who call him and a node, as he likes."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.connections = 0
        self.forth = self.back = self.carry
        """What is done to each piece on its way to the node, and on its way back."""
        self.open = asyncio.Event()
        """Cleared, nothing is carried any more, and nothing read."""
        self.open.set()
        self.recorded = bytearray()
        """What went to the node on the first connection."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @staticmethod
    def carry(data: bytes) -> list[bytes]:
        """Carry a piece as it is."""
        return [data]

    def cut(self) -> None:
        """Cut all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Middle:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, limit=65536)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.cut()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        host, port = self.target.split(":")
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port), limit=65536)
        except OSError:
            writer.transport.abort()
            return
        for each in (writer, far_writer):
            each.transport.set_write_buffer_limits(high=4096)
            self._writers.add(each)
        number = self.connections
        for work in (self._pass(reader, far_writer, number), self._pass(far_reader, writer, 0)):
            self._tasks.add(asyncio.get_running_loop().create_task(work))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            while data := await reader.read(65536):
                await self.open.wait()
                if number == 1:
                    self.recorded += data
                for piece in (self.forth if number else self.back)(data):
                    writer.write(piece)
                    await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class Raw:
    """Somebody who speaks the protocol, as far as a test wants."""

    def __init__(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, security: Security
    ) -> None:
        own = Greeting("perdure", name, 1, name.encode().ljust(16, b"-"), 1)
        self.session = Session(own, security, dials=True, max_frame_bytes=1_000_000)
        self.heard: list[tuple[Kind, bytes]] = []
        self.reader = reader
        self.writer = writer

    async def meet(self) -> None:
        """Let the connection be established."""
        self.flush()
        async with asyncio.timeout(PATIENCE):
            while self.session.peer is None:
                self.heard += self.session.receive(await self.reader.read(4096))
        self.flush()

    def say(self, kind: Kind, data: bytes = b"") -> None:
        self.session.say(kind, data)
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.session.outgoing())

    async def ended(self) -> None:
        """Wait until the node ends the connection. Raises `TimeoutError` when it does not."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(4096):
                    pass
            except OSError:
                pass


@asynccontextmanager
async def raw(address: str, name: str = "raw", security: Security | None = None) -> AsyncIterator[Raw]:
    """Give a connection to a node that is not greeted yet."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Raw(name, reader, writer, security or Plaintext())
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
