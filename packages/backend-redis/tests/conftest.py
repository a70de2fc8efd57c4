"""Real servers on free ports of the loopback: one, a replica, Sentinels, and a cluster of six."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from perdure_testkit.redis import RedisServer

_START_SECONDS = 20.0


class Server(RedisServer):
    """A server that appends what is written to a file, and syncs that as `fsync` says; `off`: it keeps nothing."""

    def __init__(self, folder: Path, *arguments: str, fsync: str = "always", sentinel: bool = False) -> None:
        if sentinel:
            super().__init__(folder, *arguments[1:], sentinel=arguments[0])
            return
        append = ("--appendonly", "no") if fsync == "off" else ("--appendonly", "yes", "--appendfsync", fsync)
        super().__init__(folder, "--repl-diskless-sync-delay", "0", *append, *arguments)


class Cluster:
    """Three masters, and a replica for each."""

    def __init__(self, folder: Path, node_timeout: int = 1000) -> None:
        """`node_timeout` is in milliseconds: a master that is silent for so long is replaced."""
        options = (
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            f"{node_timeout}",
            "--cluster-replica-validity-factor",
            "0",
        )
        self.servers = [Server(folder / f"{number}", *options) for number in range(6)]

    def start(self) -> Cluster:
        for server in self.servers:
            server.begin()
        for server in self.servers:
            server.wait()
        masters, replicas = self.servers[:3], self.servers[3:]
        for number, master in enumerate(masters):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            master.call("CLUSTER", "ADDSLOTSRANGE", first, last) if _knows_ranges(master) else master.call(
                "CLUSTER", "ADDSLOTS", *range(first, last + 1)
            )
            master.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            server.call("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        self._until(lambda: all(len(_lines(server)) == 6 for server in self.servers))
        for master, replica in zip(masters, replicas, strict=True):
            replica.call("CLUSTER", "REPLICATE", _id(master))
        self._until(lambda: all(_is_whole(server) for server in self.servers) and self._linked(masters))
        return self

    def _linked(self, masters: Sequence[Server]) -> bool:
        return all(b"state=online" in _info(master) for master in masters)

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.05)

    def flush(self) -> None:
        for server in self.servers[:3]:
            server.call("FLUSHALL")

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)


def _knows_ranges(server: Server) -> bool:
    try:
        server.call("CLUSTER", "ADDSLOTSRANGE")
    except redis.ResponseError as error:
        return "nknown subcommand" not in str(error)
    return True


def _lines(server: Server) -> list[bytes]:
    nodes = server.raw("CLUSTER", "NODES")
    return [line for line in nodes.splitlines() if b"handshake" not in line]


def _id(server: Server) -> str:
    return server.raw("CLUSTER", "MYID").decode()


def _is_whole(server: Server) -> bool:
    return b"cluster_state:ok" in server.raw("CLUSTER", "INFO") and b"fail" not in server.raw("CLUSTER", "NODES")


def _info(server: Server) -> bytes:
    return server.raw("INFO", "replication")


class Proxy:
    """Passes bytes on to a server, until it is told to cut, to swallow replies, or to stand still."""

    def __init__(self, port: int, tls: Any = None) -> None:
        self._target = port
        self._tls = tls
        self.port = 0
        self.requests = 0
        self.swallow = False
        self.delay = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
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
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._pass(reader, there_writer, False), self._pass(there_reader, writer, True))
        self._writers -= {writer, there_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replies: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                self.requests += not replies
                if replies and self.swallow:
                    self.swallow = False
                    self.cut()
                    break
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        writer.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def server(_server: Server) -> Server:
    """Return an empty server that fsyncs always, for tests that leave it alive."""
    _server.call("FLUSHALL", "SYNC")
    return _server


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Server]:
    """Return a server of the test's own, whose files hold nothing of other tests."""
    server = Server(tmp_path / "fresh").start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), 60_000)  # nothing dies here, and a disk may be slow
    try:
        yield cluster.start()
    finally:
        cluster.kill()


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """Return an empty cluster, for tests that leave it alive."""
    _cluster.flush()
    return _cluster


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a server, or a cluster, of the test's own."""
    started: list[Any] = []

    def launch(*arguments: str, cluster: bool = False, **options: Any) -> Any:
        folder = tmp_path / f"server-{len(started)}"
        started.append(Cluster(folder) if cluster else Server(folder, *arguments, **options))
        return started[-1].start()

    yield launch
    for each in started:
        each.kill()


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    """Put a proxy before the server that the test has."""
    async with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def make_proxy() -> type[Proxy]:
    return Proxy
