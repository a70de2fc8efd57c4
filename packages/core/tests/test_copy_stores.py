"""Copying between stores of all kinds, and in processes that are killed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import permutations
from pathlib import Path

import pytest

from perdure import open_backend
from perdure.abc import Backend, Put, WriteGroup
from perdure.errors import StoreError
from perdure.journal._record import encode_msgpack
from perdure.transfer import Copied, copy
from perdure.upkeep import verify
from perdure_testkit.redis import RedisServer

from .contents import contents, tell

KINDS = ("memory", "redis", "rocksdb", "sqlite")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    pytest.importorskip("perdure_redis")
    server = RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes", "--appendfsync", "always").start()
    yield server
    server.kill()


@pytest.fixture
def url_of(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str, str], str]:
    """Return the URL of an empty store of some kind, by a name of its own in this test."""

    def url_of(kind: str, name: str) -> str:
        if kind == "memory":
            return f"memory://{tmp_path.name}-{name}"
        pytest.importorskip(f"perdure_{kind}")
        if kind == "redis":
            server: RedisServer = request.getfixturevalue("server")
            return f"{server.url}?namespace={tmp_path.name.replace('_', '-')}-{name}"
        return f"{kind}:///{tmp_path / name}"

    return url_of


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Backend]:
    backend = await open_backend(url)
    try:
        yield backend
    finally:
        await backend.close()


@pytest.mark.parametrize(("one", "other"), [*permutations(KINDS, 2)])
async def test_there_and_back_the_content_is_the_same(url_of: Callable[..., str], one: str, other: str) -> None:
    source, target, back = url_of(one, "source"), url_of(other, "target"), url_of(one, "back")
    async with opened(source) as store:
        await tell(store, [f"{number}" for number in range(9)], owner="one")
        before = await contents(store)

    await copy(source, target)
    await copy(target, back)

    for url in (target, back):
        async with opened(url) as store:
            assert await contents(store) == before
        assert (await verify(url)).problems == []


def puts(count: int) -> list[Put]:
    """Return events of 40 logs in turn."""
    record = encode_msgpack("Said", 1, 1, ["x" * 100])
    return [Put("events", f"Diary/{number % 40}", number // 40 + 1, record) for number in range(count)]


async def fill(store: Backend, count: int = 8_000) -> None:
    for start in range(0, count, 1000):
        await store.commit([WriteGroup((put,)) for put in puts(count)[start : start + 1000]])


COPY = """
import asyncio, sys
from perdure.transfer import copy

def told(copied):
    print(copied.events, flush=True)

asyncio.run(copy(*sys.argv[1:], progress=told))
"""


def kill_when_copied(events: int, source: str, target: str) -> None:
    """Copy in a process of its own, and kill it when it has written so many events."""
    with subprocess.Popen([sys.executable, "-c", COPY, source, target], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) > events:
                process.send_signal(signal.SIGKILL)
                break


@pytest.mark.parametrize("kind", ["sqlite", "rocksdb"])
async def test_a_copy_that_was_killed_goes_on(url_of: Callable[..., str], kind: str) -> None:
    source, target = url_of(kind, "source"), url_of(kind, "target")
    async with opened(source) as store:
        await fill(store)
    for stop in (500, 3_000):
        kill_when_copied(stop, source, target)

    result = await copy(source, target)

    left = result.present
    assert left > 3_000
    assert result.events + left >= 8_000
    async with opened(source) as one, opened(target) as other:
        assert await contents(other) == await contents(one)


@pytest.fixture(params=[("memory", "redis"), ("redis", "memory")], ids=["target", "source"])
async def beside_redis(url_of: Callable[..., str], request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the URLs of a store with events and of an empty one; one of them is in Redis."""
    one, other = request.param
    source, target = url_of(one, "source"), url_of(other, "target")
    async with opened(source) as store:
        await fill(store, 5_000)
    return source, target


def once(action: Callable[[], object]) -> Callable[[Copied], None]:
    """Return what does something when it is told of a thousand events, and then no more."""
    left = [action]

    def told(copied: Copied) -> None:
        if copied.events > 1_000 and left:
            left.pop()()

    return told


async def test_a_copy_outlives_a_redis_that_is_back_in_time(beside_redis: tuple[str, str], server: RedisServer) -> None:
    """It is killed and started again in the midst of the copy."""
    source, target = beside_redis

    def restart() -> None:
        server.kill()
        server.begin()

    result = await copy(source, target, progress=once(restart))

    assert result.events == 5_000
    async with opened(source) as one, opened(target) as other:
        assert await contents(other) == await contents(one)


@pytest.mark.parametrize("beside_redis", [("memory", "redis")], ids=["target"], indirect=True)
async def test_a_redis_that_stays_away_is_named_and_gone_on_with(
    beside_redis: tuple[str, str], server: RedisServer
) -> None:
    """The copy ends when its patience does; the next one brings what is missing."""
    source, target = beside_redis
    with pytest.raises(StoreError, match="no answer within 1 s"):
        await copy(source, f"{target}&timeout=1", progress=once(server.kill))
    server.kill()
    server.start()

    result = await copy(source, target)

    assert result.present + result.events == 5_000
    async with opened(source) as one, opened(target) as other:
        assert await contents(other) == await contents(one)


FULL = """
import resource, signal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits what a file may have")
async def test_a_full_target_is_named_and_gone_on_with(url_of: Callable[..., str]) -> None:
    """The disk takes no more; when it does again, so does the copy."""
    source, target = url_of("rocksdb", "source"), url_of("sqlite", "target")
    async with opened(source) as store:
        await fill(store)
    refused = await to_thread(
        subprocess.run, [sys.executable, "-c", FULL + COPY, source, target], capture_output=True, check=False
    )

    result = await copy(source, target)

    assert re.search(rb"^perdure\.errors\.\w+: commit: ", refused.stderr, re.MULTILINE)
    assert result.present > 0
    async with opened(source) as one, opened(target) as other:
        assert await contents(other) == await contents(one)
