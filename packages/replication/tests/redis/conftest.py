"""Real servers on free ports of the loopback, and clusters of ports on them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from perdure.security import EncryptedKey
from perdure_replication.redis import RedisMembership, RedisTransport
from perdure_testkit.redis import RedisServer

SECRET = bytes(range(32))


class Proxy:
    """Passes bytes on to a server, until it is told to cut, to hold or to delay them."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.delay = 0.0
        """Seconds that each piece waits, in both directions."""
        self.port = 0

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.flowing.set()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        self._writers -= {writer, there_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self.flowing.wait()
                await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        writer.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until a condition holds, which may be a coroutine's."""
    async with asyncio.timeout(seconds):
        while not (await found if inspect.isawaitable(found := condition()) else found):  # noqa: ASYNC110 - no events
            await asyncio.sleep(0.005)


@pytest.fixture(name="until")
def _until() -> Callable[..., Awaitable[None]]:
    return until


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("broker")).start()
    yield server
    server.kill()


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    """Return an empty server, for tests that leave it alive and empty enough."""
    _server.call("FLUSHALL", "SYNC")
    return _server


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Return a function that starts a server of the test's own."""
    started: list[RedisServer] = []

    def launch(*arguments: str) -> RedisServer:
        started.append(RedisServer(tmp_path / f"broker-{len(started)}", *arguments))
        return started[-1].start()

    yield launch
    for each in started:
        each.kill()


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    """Put a proxy before the server."""
    async with Proxy(server.port) as proxy:
        yield proxy


class Ports:
    """Makes transports and memberships with one secret, and closes them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stack = AsyncExitStack()

    def transport(self, **options: Any) -> RedisTransport:
        transport = RedisTransport(**{"url": self.url, "timeout": 2.0, **self._key(options)})
        self.stack.push_async_callback(transport.close)
        return transport

    def membership(self, **options: Any) -> RedisMembership:
        quick = {"beat_interval": 0.05, "unreachable_after": 0.5, "timeout": 2.0}
        membership = RedisMembership(**{"url": self.url, **quick, **self._key(options)})
        self.stack.push_async_callback(membership.close)
        return membership

    def _key(self, options: dict[str, Any]) -> dict[str, Any]:
        return options if options.keys() & {"secret", "insecure"} else {**options, "secret": EncryptedKey(SECRET)}


@pytest.fixture
async def ports(server: RedisServer) -> AsyncIterator[Ports]:
    ports = Ports(server.url)
    async with ports.stack:
        yield ports
