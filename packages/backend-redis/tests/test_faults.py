"""What happens when callers give up, connections break and servers die."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from perdure import open_backend
from perdure.abc import Backend, Conflict, LastKey, Put, PutState, WriteGroup
from perdure.errors import OutcomeUnknown, StoreError, StoreUnavailable
from perdure_redis import RedisBackend
from perdure_redis._command import packed
from perdure_redis._node import Lost, Node


def append(prefix: str, after: int, value: bytes = b"") -> WriteGroup:
    return WriteGroup((Put("events", prefix, after + 1, value),), (LastKey("events", prefix, after),))


async def keys_of(backend: Backend, prefix: str) -> list[int]:
    return [entry.key async for entry in backend.collection("events", prefix).iterate()]


@pytest.fixture
async def backend(proxy: Any) -> AsyncIterator[RedisBackend]:
    backend = await RedisBackend.open(f"{proxy.url}?timeout=5")
    yield backend
    await backend.close()


class TestCancellation:
    async def test_a_cancelled_exchange_never_shifts_replies(self, server: Any, make_proxy: Any) -> None:
        """Whenever an exchange is cancelled, the next one gets its own replies (redis-py #2624, #2665)."""
        for number in range(50):
            server.call("SET", f"key-{number}", number)
        async with make_proxy(server.port) as proxy:
            node = Node(("127.0.0.1", proxy.port), {}, {})
            completed = 0
            for number in range(50):
                exchange = asyncio.ensure_future(node.exchange(packed(b"GET", b"key-0") * 3, 3))
                for _ in range(number):
                    await asyncio.sleep(0)
                exchange.cancel()
                await asyncio.wait([exchange])
                completed += not exchange.cancelled()

                key = f"key-{number}".encode()
                assert await node.exchange(packed(b"GET", key) + packed(b"STRLEN", key), 2) == [
                    b"%d" % number,
                    len(f"{number}"),
                ]

            assert 0 < completed < 50
            await node.close()

    async def test_a_reply_that_comes_late_is_nobodys(self, server: Any, make_proxy: Any) -> None:
        """Cancelled between command and reply, a connection is dropped, and the late reply with it."""
        async with make_proxy(server.port) as proxy:
            node = Node(("127.0.0.1", proxy.port), {}, {})
            await node.exchange(packed(b"PING"), 1)
            proxy.delay = 0.05
            exchange = asyncio.ensure_future(node.exchange(packed(b"ECHO", b"late"), 1))
            asked = proxy.requests
            while proxy.requests == asked:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0)

            exchange.cancel()
            await asyncio.wait([exchange])

            assert await node.exchange(packed(b"ECHO", b"own"), 1) == [b"own"]
            await node.close()

    async def test_who_gives_up_takes_nothing_from_the_others(self, backend: RedisBackend) -> None:
        """Cancelled at any moment, reads and commits leave every other with its own answer."""
        await backend.commit([append(f"{number}", 0, b"%d" % number) for number in range(60)])
        for number in range(60):
            given_up = [
                asyncio.ensure_future(backend.collection("events", "0").get(1)),
                asyncio.ensure_future(backend.commit([append("given up", number)])),
                asyncio.ensure_future(backend.feed("events")),
            ]
            for _ in range(number % 30):
                await asyncio.sleep(0)
            for call in given_up:
                call.cancel()

            assert await backend.collection("events", f"{number}").get(1) == b"%d" % number
            await backend.commit([append("given up", number)])

        assert await keys_of(backend, "given up") == list(range(1, 61))


class TestConnections:
    async def test_a_commit_whose_answer_is_lost_is_known(self, backend: RedisBackend, proxy: Any) -> None:
        """A commit that was carried out while its answer was lost is sent again and has its first outcome."""
        for after in range(0, 20, 2):
            proxy.swallow = True
            stale = append("a", after + 5)

            assert await backend.commit([append("a", after), append("a", after + 1), stale]) == [
                None,
                None,
                Conflict(stale.expectations[0], after + 2),
            ]

        assert await keys_of(backend, "a") == list(range(1, 21))

    async def test_a_commit_without_expectations_happens_once(self, backend: RedisBackend, proxy: Any) -> None:
        """Nothing in a commit but its number keeps it from happening twice."""
        for _ in range(5):
            proxy.swallow = True
            await backend.commit([WriteGroup((PutState("states", "a", b""),))])

        assert await backend.state("states", "a").version() == 5

    async def test_connections_that_are_cut_all_the_time_lose_nothing(self, backend: RedisBackend, proxy: Any) -> None:
        """Writers beside a cutter each write their log to its end, once."""
        done = False

        async def cut() -> None:
            while not done:
                await asyncio.sleep(0.001)
                if proxy.requests > 15:  # so few that a slow machine comes forward too
                    proxy.requests = 0
                    proxy.cut()

        async def write(prefix: str) -> None:
            for after in range(40):
                assert await backend.commit([append(prefix, after)]) == [None]
                assert await backend.last("events", prefix) == after + 1

        cutter = asyncio.ensure_future(cut())
        await asyncio.gather(*(write(f"{number}") for number in range(5)))
        done = True
        await cutter

        assert [await keys_of(backend, f"{number}") for number in range(5)] == [list(range(1, 41))] * 5

    async def test_an_older_copy_of_a_commit_is_never_applied(self, backend: RedisBackend) -> None:
        """What arrives after a later commit of the same writer, out of some buffer, changes nothing."""
        from perdure_redis._plan import rounds_of

        [old], [new] = (rounds_of([append("a", 0, value)], backend._keys, 100) for value in (b"old", b"new"))
        node = await backend._topology.node(0)
        await node.exchange(new[0].command("writer", 2), 1)
        await backend.collection("events", "a").purge()

        [answer] = await node.exchange(old[0].command("writer", 1), 1)

        assert "a later commit of this writer" in str(answer)
        assert await backend.last("events", "a") == 0


class TestServers:
    async def test_scripts_are_loaded_again(self, backend: RedisBackend, server: Any) -> None:
        """After SCRIPT FLUSH, as after a restart, every call works."""
        for after in range(3):
            server.call("SCRIPT", "FLUSH")
            assert await backend.commit([append("a", after)]) == [None]
            server.call("SCRIPT", "FLUSH")
            assert await keys_of(backend, "a") == list(range(1, after + 2))
            server.call("SCRIPT", "FLUSH")
            assert len((await backend.feed("events")).records) == after + 1

    async def test_an_outage_is_named_in_bounded_time_and_passes(self, launch: Callable[..., Any]) -> None:
        """While the server is down calls fail within the timeout; when it is back they succeed, and nothing is lost."""
        server = launch()
        backend = await open_backend(f"{server.url}?timeout=1.5")
        await backend.commit([append("a", 0)])
        server.kill()
        started = time.monotonic()

        with pytest.raises(StoreUnavailable, match="Connect call failed"):
            await backend.last("events", "a")
        with pytest.raises(StoreUnavailable):
            await backend.commit([append("a", 1)])

        assert time.monotonic() - started < 6
        server.start()
        assert await keys_of(backend, "a") == [1]
        assert await backend.commit([append("a", 1)]) == [None]
        await backend.close()

    async def test_a_server_that_stands_still_leaves_the_outcome_unknown(self, launch: Callable[..., Any]) -> None:
        """A commit that a server took and did not answer is OutcomeUnknown; a read of it is StoreUnavailable."""
        server = launch()
        backend = await open_backend(f"{server.url}?timeout=1.5")
        await backend.commit([append("a", 0)])
        os.kill(server.process.pid, signal.SIGSTOP)

        with pytest.raises(OutcomeUnknown, match=r"no answer within 1\.5 s"):
            await backend.commit([append("a", 1)])
        with pytest.raises(StoreUnavailable, match=r"no answer within 1\.5 s"):
            await backend.last("events", "a")

        os.kill(server.process.pid, signal.SIGCONT)
        head = await backend.last("events", "a")
        assert head in (1, 2)
        assert await backend.commit([append("a", head)]) == [None]
        await backend.close()

    async def test_a_restart_is_waited_for(self, launch: Callable[..., Any]) -> None:
        """Calls that meet a server while it restarts are answered when it is back."""
        server = launch()
        backend = await open_backend(f"{server.url}?timeout=10")
        await backend.commit([append("a", 0)])
        server.kill()
        calls = asyncio.gather(backend.commit([append("a", 1)]), backend.last("events", "a"))
        await asyncio.sleep(0.05)

        await asyncio.to_thread(server.start)

        [outcome], head = await calls
        assert (outcome, head in (1, 2)) == (None, True)
        await backend.close()

    async def test_killed_again_and_again_it_loses_and_doubles_nothing(self, launch: Callable[..., Any]) -> None:
        """With `appendfsync always`, whatever was acknowledged under load is there once after kill -9."""
        server = launch()
        backend = await open_backend(f"{server.url}?timeout=10")
        acknowledged = dict.fromkeys(map(str, range(20)), 0)
        done = False

        async def write(prefix: str) -> None:
            while not done:
                after = acknowledged[prefix]
                assert await backend.commit([append(prefix, after, b"%d" % (after + 1))]) == [None]
                acknowledged[prefix] = after + 1

        writers = asyncio.gather(*map(write, acknowledged))
        for _ in range(4):
            goal = min(acknowledged.values()) + 2
            while min(acknowledged.values()) < goal:  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0.01)
            server.kill()
            await asyncio.to_thread(server.start)
        done = True
        await writers

        for prefix, head in acknowledged.items():
            log = [(entry.key, entry.value) async for entry in backend.collection("events", prefix).iterate()]
            assert log == [(key, b"%d" % key) for key in range(1, head + 1)]
        records = [(record.prefix, record.key) for record in (await backend.feed("events", limit=100_000)).records]
        assert sorted(records) == sorted((p, key) for p, head in acknowledged.items() for key in range(1, head + 1))
        assert min(acknowledged.values()) > 5
        await backend.close()

    async def test_a_full_server_takes_nothing_and_says_so(self, backend: RedisBackend, server: Any) -> None:
        """Out of memory, a commit is refused whole; with memory it goes on."""
        await backend.commit([append("a", 0)])
        server.call("CONFIG", "SET", "maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable, match="out of memory"):
                await backend.commit([append("a", 1), append("b", 0)])
        finally:
            server.call("CONFIG", "SET", "maxmemory", 0)

        assert await backend.commit([append("a", 1), append("b", 0)]) == [None, None]

    async def test_a_key_of_a_wrong_type_is_met_before_anything_is_written(
        self, backend: RedisBackend, server: Any
    ) -> None:
        """Where somebody has replaced a log by something else, a commit fails whole."""
        [tag] = {root.decode() for root in backend._keys.roots}
        server.call("SET", f"{tag}c:events:b", "not a list")

        with pytest.raises(StoreError, match="WRONGTYPE") as caught:
            await backend.commit([append("a", 0), append("b", 0)])

        assert not isinstance(caught.value, OutcomeUnknown)
        assert await backend.last("events", "a") == 0
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await backend.last("events", "b")

    async def test_a_commit_that_broke_off_is_unknown(self, backend: RedisBackend, server: Any) -> None:
        """Where the feed cannot be written any more, what was written before is said to be unknown."""
        [tag] = {root.decode() for root in backend._keys.roots}
        server.call("SET", f"{tag}n:events", "not a hash")
        await backend.state("states", "a").put(b"")

        with pytest.raises(OutcomeUnknown, match="WRONGTYPE"):
            await backend.commit([WriteGroup((PutState("states", "a", b""), Put("events", "a", 1, b"")))])

    async def test_an_exchange_says_whether_it_may_have_happened(self, launch: Callable[..., Any]) -> None:
        """A server that cannot be reached has done nothing; one that was lost on the way may have."""
        server = launch()
        node = Node(("127.0.0.1", server.port), {}, {})
        await node.exchange(packed(b"PING"), 1)
        server.kill()

        with pytest.raises(Lost) as on_the_way:
            await node.exchange(packed(b"PING"), 1)
        with pytest.raises(Lost) as unreachable:
            await node.exchange(packed(b"PING"), 1)

        assert (on_the_way.value.maybe_done, unreachable.value.maybe_done) == (True, False)
