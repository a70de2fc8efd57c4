"""Opening a store: what it needs, what it says of durability, and one clear error for each thing that is wrong."""

from __future__ import annotations

import asyncio
import ssl
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import open_backend
from perdure.abc import LastKey, Put, WriteGroup
from perdure.errors import CreateStoreError, OutcomeUnknown, StoreError
from perdure_redis import DurabilityWarning, RedisBackend

CERTIFICATE = Path(__file__).parent / "localhost.pem"
"""A certificate of nobody for localhost, with its key."""


def append(prefix: str, after: int, value: bytes = b"") -> WriteGroup:
    return WriteGroup((Put("events", prefix, after + 1, value),), (LastKey("events", prefix, after),))


def has_waitaof(server: Any) -> bool:
    """Tell whether it is Redis 7.2 or newer, or Valkey."""
    return tuple(map(int, server.call("INFO", "server")["redis_version"].split(".")[:2])) >= (7, 2)


async def error_of(url: str) -> str:
    """Return what is wrong with opening a URL, found out in no more than a moment."""
    started = time.monotonic()
    with pytest.raises(CreateStoreError) as caught:
        await open_backend(url)
    assert time.monotonic() - started < 3
    assert str(caught.value).count("\n") == 0
    return str(caught.value)


class TestErrors:
    async def test_a_server_that_is_not_there_is_named(self) -> None:
        """A refused connection fails at once and shows where."""
        assert "redis://127.0.0.1:1: 127.0.0.1:1: Error 111" in await error_of("redis://127.0.0.1:1")

    async def test_a_host_that_does_not_exist_is_named(self) -> None:
        """A host without an address fails and shows its name."""
        assert "no-such-host.invalid:6379" in await error_of("redis://no-such-host.invalid?timeout=2")

    async def test_a_wrong_password_is_refused_and_not_shown(self, launch: Callable[..., Any]) -> None:
        """With a wrong or no password the server's refusal is shown, and no password."""
        server = launch("--requirepass", "right")
        place = server.url.removeprefix("redis://")

        wrong = await error_of(f"redis://:guess@{place}")
        none = await error_of(f"redis://{place}")

        assert "the server refuses us" in wrong
        assert "guess" not in wrong
        assert "the server refuses us" in none
        await (await open_backend(f"redis://:right@{place}")).close()

    async def test_a_user_of_its_own_suffices(self, launch: Callable[..., Any]) -> None:
        """A user who may touch the store's keys alone can use it; one who may not is told which right it lacks."""
        server = launch()
        rights = "+@read +@write +@scripting +@connection +time +config|get +info"
        server.call("ACL", "SETUSER", "perdure", "on", ">pass:word", "~{mine*", *rights.split())
        server.call("ACL", "SETUSER", "reader", "on", ">pass", "~*", "+@read", "+@scripting", "+@connection")
        place = server.url.removeprefix("redis://")

        backend = await open_backend(f"redis://perdure:pass%3Aword@{place}?namespace=mine")
        assert await backend.commit([append("a", 0)]) == [None]
        await backend.close()

        assert "ACL does not suffice" in await error_of(f"redis://perdure:pass%3Aword@{place}?namespace=other")
        assert "ACL does not suffice" in await error_of(f"redis://reader:pass@{place}")

    async def test_a_replica_is_refused(self, launch: Callable[..., Any], server: Any) -> None:
        """A read-only replica is no place for a store, though the store is there."""
        await (await open_backend(server.url)).close()
        replica = launch("--replicaof", "127.0.0.1", f"{server.port}")
        deadline = time.monotonic() + 10
        while b"master_link_status:up" not in replica.raw("INFO", "replication"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

        assert "read only replica" in await error_of(replica.url)

    async def test_a_node_of_a_cluster_is_no_single_server(self, cluster: Any) -> None:
        """A cluster's node that lacks the store's slot says which scheme to use."""
        errors = []
        for node in cluster.servers[:3]:
            try:
                await (await open_backend(node.url)).close()
            except CreateStoreError as error:
                errors.append(str(error))

        assert len(errors) == 2
        assert all("use redis+cluster://" in error for error in errors)

    async def test_a_single_server_is_no_cluster(self, server: Any) -> None:
        """A server without cluster mode says so."""
        assert "cluster support disabled" in await error_of(server.url.replace("redis:", "redis+cluster:"))

    async def test_a_newer_store_is_refused(self, server: Any) -> None:
        """A store of a newer schema is left alone."""
        await (await open_backend(server.url)).close()
        server.call("HSET", "{perdure}:store", "schema", 2)

        assert "has schema 2, and this perdure-redis knows up to 1: upgrade it" in await error_of(server.url)

    @pytest.mark.parametrize("command", [("SET", "text"), ("HSET", "field", "value")])
    async def test_keys_of_another_program_are_left_alone(self, server: Any, command: tuple[str, ...]) -> None:
        """Where the key of the store's record is something else, the store is not made."""
        server.call(command[0], "{perdure}:store", *command[1:])

        error = await error_of(server.url)

        assert "another program" in error or "WRONGTYPE" in error

    async def test_a_record_that_was_damaged_is_named(self, server: Any) -> None:
        """A record without its numbers is refused."""
        server.call("HSET", "{perdure}:store", "schema", "one")

        assert "is damaged" in await error_of(server.url)


class TestStores:
    async def test_stores_share_a_server_by_namespace_and_by_database(self, server: Any) -> None:
        """Stores of different namespaces and databases know nothing of each other."""
        urls = [server.url, f"{server.url}?namespace=perdure.2", f"{server.url}/1", f"{server.url}?namespace=p"]
        stores = [await open_backend(url) for url in urls]
        for number, store in enumerate(stores):
            await store.collection("events", "a").put(1, b"%d" % number)

        assert [await store.collection("events", "a").get(1) for store in stores] == [b"0", b"1", b"2", b"3"]
        for store in stores:
            await store.close()

    async def test_every_key_begins_with_its_namespace(self, server: Any) -> None:
        """All keys of a store carry its namespace in their hash tag, whatever the ids hold."""
        backend = await open_backend(f"{server.url}?namespace=bank")
        await backend.commit([append(prefix, 0) for prefix in ("a", "{b}", "}", "😀")])
        await backend.state("states", "{a}").put(b"")
        await backend.close()

        keys = server.call("KEYS", "*")

        assert {key.partition(b"}")[0] for key in keys} == {b"{bank", b"{bank.0"}
        assert "{bank.0}:c:events:😀".encode() in keys

    async def test_an_event_costs_little_more_than_in_a_stream(self, launch: Callable[..., Any]) -> None:
        """An event of 120 bytes takes at most 1.3 times what a bare stream takes for it, in long and short logs."""
        server = launch(fsync="off")
        count, value = 20_000, bytes(range(120))

        def used() -> int:
            return int(server.call("INFO", "memory")["used_memory"])

        before = used()
        with server.client() as client, client.pipeline(transaction=False) as pipeline:
            for _ in range(count):
                pipeline.xadd("stream", {"v": value})
            pipeline.execute()
        stream = used() - before
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DurabilityWarning)
            backend = await open_backend(server.url)
        for logs in (1, 200):
            each = count // logs
            before = used()
            for number in range(logs):
                await backend.commit([append(f"Account/{logs}-{number}", after, value) for after in range(each)])
            assert used() - before < 1.3 * stream
        await backend.close()

    async def test_a_value_over_the_limit_is_refused(self, server: Any) -> None:
        """A value over the limit is refused with its whole commit."""

        class Small(RedisBackend):
            max_value_bytes = 10

        backend = await Small.open(server.url)

        with pytest.raises(StoreError, match="11 bytes is over the limit of 10"):
            await backend.commit([append("a", 0, bytes(10)), append("b", 0, bytes(11))])

        assert await backend.last("events", "a") == 0
        await backend.close()

    async def test_a_long_log_is_cut_and_mended_anywhere(self, server: Any) -> None:
        """Ranges of a long log are removed, and keys put back, at both ends and in the middle."""
        from perdure.abc import DeleteRange, Purge

        backend = await open_backend(server.url)
        await backend.commit([append("a", after, b"%d" % after) for after in range(3_000)])
        log = set(range(1, 3_001))
        for start, stop in ((1, 400), (2_500, 2_501), (1_000, 2_000), (2_900, 4_000), (700, 705)):
            await backend.commit([WriteGroup((DeleteRange("events", "a", start, stop),))])
            log -= set(range(start, stop))
        for key in (1, 1_500, 2_950, 3, 702):
            await backend.collection("events", "a").put(key, b"again")
            log.add(key)

        assert [entry.key async for entry in backend.collection("events", "a").iterate()] == sorted(log)
        assert len((await backend.feed("events", None, 10_000)).records) == len(log)
        assert await backend.last("events", "a") == max(log)
        await backend.commit([WriteGroup((Purge("events", "a"),))])
        assert server.call("XLEN", "{perdure.0}:f:events") == 0
        await backend.close()

    async def test_a_store_that_is_forgotten_says_so(self, server: Any) -> None:
        """Dropping an open store without closing it warns."""
        backend = await RedisBackend.open(server.url)
        await backend._topology.close()

        with pytest.warns(ResourceWarning, match="was never closed"):
            del backend


class TestDurability:
    @pytest.mark.parametrize(
        ("fsync", "asked", "kept", "reason"),
        [
            ("always", "full", "full", None),
            ("always", "relaxed", "relaxed", None),
            ("everysec", "relaxed", "relaxed", None),
            ("everysec", "full", "relaxed", "appendfsync everysec: a power loss costs up to a second or two"),
            ("no", "full", "relaxed", "up to half a minute"),
            ("off", "full", "relaxed", "appendonly off"),
            ("off", "relaxed", "relaxed", "appendonly off"),
        ],
    )
    async def test_less_than_was_asked_for_is_said(
        self, launch: Callable[..., Any], fsync: str, asked: Any, kept: str, reason: str | None
    ) -> None:
        """The backend says what the server's settings keep, and warns with the reason where it is less."""
        server = launch(fsync=fsync)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            backend = await RedisBackend.open(server.url, asked)
        await backend.close()

        assert (backend.durability, backend.guarantee.asked) == (kept, asked)
        assert [warning.category for warning in caught] == [DurabilityWarning] * (reason is not None)
        assert all(reason in str(warning.message) for warning in caught if reason)
        assert len(backend.guarantee.shortfalls) == (reason is not None)

    async def test_settings_that_nobody_may_read_are_said_to_be_unknown(self, launch: Callable[..., Any]) -> None:
        """Where CONFIG is not allowed the backend warns, unless it is told not to check."""
        server = launch()
        server.call("ACL", "SETUSER", "user", "on", ">pass", "~*", "+@all", "-config")
        url = server.url.replace("//", "//user:pass@")

        with pytest.warns(DurabilityWarning, match="does not tell its settings"):
            backend = await open_backend(url)
        assert backend.durability == "relaxed"
        await backend.close()

        trusting = await open_backend(f"{url}?check=no")
        assert trusting.durability == "full"
        await trusting.close()

    async def test_waiting_for_the_file_makes_everysec_full(self, launch: Callable[..., Any]) -> None:
        """With sync=aof each commit waits for the fsync, where the server does it once a second too."""
        server = launch(fsync="everysec")
        if not has_waitaof(server):
            pytest.skip("this server has no WAITAOF")
        backend = await open_backend(f"{server.url}?sync=aof")
        before = server.call("INFO", "commandstats").get("cmdstat_waitaof", {"calls": 0})["calls"]

        await backend.commit([append("a", 0)])

        assert backend.durability == "full"
        assert server.call("INFO", "commandstats")["cmdstat_waitaof"]["calls"] == before + 1
        await backend.close()

    async def test_waiting_for_a_file_needs_one(self, launch: Callable[..., Any]) -> None:
        """Without an append-only file, or on a server without WAITAOF, sync=aof is refused."""
        server = launch(fsync="off")
        lack = "has appendonly off: sync=aof has nothing to wait for" if has_waitaof(server) else "has no WAITAOF"

        assert lack in await error_of(f"{server.url}?sync=aof")

    async def test_too_few_replicas_leave_a_commit_unknown(self, server: Any) -> None:
        """A commit that fewer replicas have than were asked for is not acknowledged."""
        backend = await open_backend(f"{server.url}?replicas=1&timeout=1")

        with pytest.raises(OutcomeUnknown, match="written, but 0 of 1 replicas have it in time"):
            await backend.commit([append("a", 0)])

        assert await backend.last("events", "a") == 1
        await backend.close()

    async def test_replicas_have_what_is_acknowledged(self, launch: Callable[..., Any]) -> None:
        """With replicas=1 a replica has each commit when it is acknowledged."""
        server = launch()
        replica = launch("--replicaof", "127.0.0.1", f"{server.port}")
        backend = await open_backend(f"{server.url}?replicas=1")
        for after in range(20):
            await backend.commit([append("a", after)])

            assert replica.call("LINDEX", "{perdure.0}:c:events:a", -3) == b"%d" % (after + 1)
        await backend.close()


class TestEncryption:
    async def test_a_store_is_used_over_tls(self, server: Any, make_proxy: Any) -> None:
        """With rediss:// and the authority's certificate all goes over TLS."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
        async with make_proxy(server.port, context) as proxy:
            backend = await open_backend(f"rediss://localhost:{proxy.port}?ssl_ca_certs={CERTIFICATE}")
            assert await backend.commit([append("a", 0)]) == [None]
            assert await backend.last("events", "a") == 1
            await backend.close()

    async def test_a_certificate_that_nobody_vouches_for_is_refused(self, server: Any, make_proxy: Any) -> None:
        """Without the authority's certificate the server is not trusted, unless that is asked for."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
        async with make_proxy(server.port, context) as proxy:
            assert "CERTIFICATE_VERIFY_FAILED" in await error_of(f"rediss://localhost:{proxy.port}")

            await (await open_backend(f"rediss://localhost:{proxy.port}?ssl_cert_reqs=none")).close()
