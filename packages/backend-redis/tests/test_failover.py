"""When a master dies and a replica takes over: in a cluster, and behind Sentinels. The deaths are by SIGKILL."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from perdure import ActorSystem, Event, Message, PersistentActor, open_backend
from perdure.abc import Backend, Conflict, LastKey, Put, WriteGroup
from perdure.errors import ConflictError, CreateStoreError, PerdureError, StoreError
from perdure_redis import DurabilityWarning, RedisBackend
from perdure_redis._keys import Keys

_PATIENCE = 60.0


async def opened(url: str) -> RedisBackend:
    """Open a store whose limit is for what dies later: the first write may take longer on a disk that others use."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return await RedisBackend.open(url)
        except CreateStoreError:
            assert time.monotonic() < deadline


def append(prefix: str, after: int, value: bytes = b"") -> WriteGroup:
    return WriteGroup((Put("events", prefix, after + 1, value),), (LastKey("events", prefix, after),))


class Add(Message[int]):
    pass


class Added(Event):
    pass


class Counter(PersistentActor[int, Added]):
    initial_state = 0

    async def handle(self, message: Message[Any], context: Any) -> int:
        await self.persist(Added())
        return self.state

    def apply(self, count: int, event: Added) -> int:
        return count + 1


class Load:
    """Writers that append each to its own log until they are told to end, and note what was acknowledged."""

    def __init__(self, backend: Backend, writers: int) -> None:
        self.backend = backend
        self.acknowledged = {f"log-{number}": 0 for number in range(writers)}
        self.done = False

    async def run(self) -> None:
        await asyncio.gather(*map(self._write, self.acknowledged))

    async def _write(self, prefix: str) -> None:
        while not self.done:
            try:
                head = await self.backend.last("events", prefix)
                assert head >= self.acknowledged[prefix]
                assert await self.backend.commit([append(prefix, head, b"%d" % (head + 1))]) == [None]
                self.acknowledged[prefix] = head + 1
            except StoreError:
                await asyncio.sleep(0.01)

    async def grows(self) -> None:
        """Wait until every log is longer than now."""
        before = dict(self.acknowledged)
        async with asyncio.timeout(_PATIENCE):
            while any(head <= before[prefix] for prefix, head in self.acknowledged.items()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def assert_nothing_is_lost(self) -> None:
        fed = [(record.prefix, record.key) for record in (await self.backend.feed("events", limit=100_000)).records]
        lengths = {}
        for prefix, acknowledged in self.acknowledged.items():
            log = [(entry.key, entry.value) async for entry in self.backend.collection("events", prefix).iterate()]
            assert log == [(key, b"%d" % key) for key in range(1, len(log) + 1)]
            assert len(log) >= acknowledged
            lengths[prefix] = len(log)
        assert sorted(fed) == sorted((prefix, key) for prefix, last in lengths.items() for key in range(1, last + 1))


async def test_a_cluster_loses_nothing_that_a_replica_has(launch: Callable[..., Any]) -> None:
    """With replicas=1, what was acknowledged under load is there after the death of a master, and writers go on."""
    cluster = launch(cluster=True)
    backend = await opened(f"{cluster.url}?replicas=1&timeout=1")
    reader = await RedisBackend.open(f"{cluster.url}?replicas=0&timeout={_PATIENCE}")
    load = Load(backend, 12)
    running = asyncio.ensure_future(load.run())
    await load.grows()

    cluster.servers[0].kill()
    await _until(lambda: all(b"cluster_state:ok" in server.raw("CLUSTER", "INFO") for server in cluster.servers[3:]))
    cluster.servers[0].start()  # comes back as the replica that each commit waits for
    await load.grows()
    load.done = True
    await running

    load.backend = reader
    await load.assert_nothing_is_lost()
    await backend.close()
    await reader.close()


class Acknowledged:
    """Counters that are asked all the time, through a system of actors, until they are told to end."""

    def __init__(self, system: ActorSystem, actors: int) -> None:
        self.system = system
        self.counts = {f"counter-{number}": 0 for number in range(actors)}
        self.done = False

    async def run(self) -> None:
        await asyncio.gather(*map(self._ask, self.counts))

    async def _ask(self, name: str) -> None:
        ref = self.system.ref(Counter, name)
        while not self.done:
            try:
                count = await ref.ask(Add(), timeout=_PATIENCE)
            except PerdureError:
                await asyncio.sleep(0.02)  # rejected or unknown: the actor reads what the store has
            else:
                assert count > self.counts[name]
                self.counts[name] = count

    async def grow(self, by: int) -> None:
        """Wait until every counter was acknowledged so often again."""
        before = dict(self.counts)
        async with asyncio.timeout(_PATIENCE):
            while any(count < before[name] + by for name, count in self.counts.items()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_actors_under_load_lose_nothing_when_a_master_is_killed(launch: Callable[..., Any]) -> None:
    """With replicas=1, a count that an actor has told is never taken back by the death of a master."""
    cluster = launch(cluster=True)
    backend = await opened(f"{cluster.url}?replicas=1&timeout=1")
    async with ActorSystem(store=backend, ask_timeout=_PATIENCE) as system:
        load = Acknowledged(system, 60)
        running = asyncio.ensure_future(load.run())
        await load.grow(5)

        cluster.servers[0].kill()
        told = dict(load.counts)
        await _until(lambda: all(b"cluster_state:ok" in s.raw("CLUSTER", "INFO") for s in cluster.servers[3:]))
        cluster.servers[0].start()  # comes back as the replica that each commit waits for
        await load.grow(5)
        load.done = True
        await running
    await backend.close()

    assert _spread(load.counts) == {0, 1, 2}
    async with ActorSystem(store=f"{cluster.url}?replicas=0&timeout={_PATIENCE}", ask_timeout=_PATIENCE) as system:
        for name, count in load.counts.items():
            assert await system.ref(Counter, name).ask(Add()) > count >= told[name]


def _end_of(server: Any) -> bytes:
    """Return how far a server's stream of replication has come; of a replica, how far it has read its master's."""
    facts = dict(line.split(b":", 1) for line in server.raw("INFO", "replication").splitlines() if b":" in line)
    return facts.get(b"slave_repl_offset", facts[b"master_repl_offset"])


async def test_a_writer_from_before_a_failover_is_refused(launch: Callable[..., Any]) -> None:
    """Whoever decided on what the old master had is refused by the new one if another has written since."""
    cluster = launch(cluster=True)
    url = f"{cluster.url}?replicas=0&timeout={_PATIENCE}"
    stale, other = await open_backend(url), await open_backend(url)
    master, prefix = _prefix_on_the_first_master(16)
    await stale.commit([append(prefix, 0)])
    async with ActorSystem(store=stale) as system, ActorSystem(store=other) as rival:
        ref, twin = system.ref(Counter, "a"), rival.ref(Counter, "a")
        assert await ref.ask(Add(), timeout=_PATIENCE) == 1
        await _until(lambda: _end_of(cluster.servers[3 + master]) == _end_of(cluster.servers[master]))
        cluster.servers[3 + master].call("CLUSTER", "FAILOVER", "TAKEOVER")
        cluster.servers[master].kill()

        assert await twin.ask(Add(), timeout=_PATIENCE) == 2
        assert await other.commit([append(prefix, 1, b"other")]) == [None]

        assert await stale.commit([append(prefix, 1, b"stale")]) == [Conflict(LastKey("events", prefix, 1), 2)]
        with pytest.raises(ConflictError):
            await ref.ask(Add(), timeout=_PATIENCE)
        assert await ref.ask(Add(), timeout=_PATIENCE) == 3
    await stale.close()
    await other.close()


async def test_slots_that_move_are_followed(launch: Callable[..., Any]) -> None:
    """While a slot migrates and when it has moved, nothing fails and nothing is lost."""
    cluster = launch(cluster=True)
    backend = await RedisBackend.open(f"{cluster.url}?replicas=0&slices=1&timeout=5")
    for after in range(3):
        await backend.commit([append("a", after)])
    slot = backend._keys.slots[0]
    source, target = _owner(cluster, slot), _other(cluster, slot)
    names = {server: server.raw("CLUSTER", "MYID").decode() for server in (source, target)}
    target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
    source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
    commit = asyncio.ensure_future(backend.commit([append("a", 3)]))
    await asyncio.sleep(0.05)

    while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        await asyncio.sleep(0)
    for server in (target, source):
        server.call("CLUSTER", "SETSLOT", slot, "NODE", names[target])

    assert await commit == [None]
    assert await backend.commit([append("a", 4)]) == [None]
    assert [entry.key async for entry in backend.collection("events", "a").iterate()] == [1, 2, 3, 4, 5]
    await backend.close()


async def test_a_failover_that_could_lose_something_is_said(cluster: Any) -> None:
    """Without replicas to wait for, a store that fails over keeps less than full, unless that is accepted."""
    with pytest.warns(DurabilityWarning, match=r"may be replaced by a replica that lacks the newest commits"):
        backend = await open_backend(cluster.url)
    assert backend.durability == "relaxed"
    await backend.close()

    for option in ("replicas=0", "replicas=1"):
        backend = await open_backend(f"{cluster.url}?{option}")
        assert backend.durability == "full"
        await backend.close()


async def test_sentinels_lead_to_the_new_master(launch: Callable[..., Any], tmp_path: Any) -> None:
    """With replicas=1, what was acknowledged is there when the Sentinels' old master is dead, and writers go on."""
    master = launch()
    replicas = [launch("--replicaof", "127.0.0.1", f"{master.port}") for _ in range(2)]
    await _until(lambda: master.raw("INFO", "replication").count(b"state=online") == 2)
    sentinels = []
    for number in range(3):
        config = tmp_path / f"sentinel-{number}.conf"
        config.write_text(
            f"sentinel monitor main 127.0.0.1 {master.port} 2\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
        )
        sentinels.append(launch(str(config), "--sentinel", sentinel=True))
    await _until(lambda: all(b"sentinels=3" in each.raw("INFO", "sentinel") for each in sentinels))
    await _until(lambda: all(b"slaves=2" in each.raw("INFO", "sentinel") for each in sentinels))
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinels)
    backend = await opened(f"redis+sentinel://{hosts}/main?replicas=1&timeout=1")
    load = Load(backend, 5)
    running = asyncio.ensure_future(load.run())
    await load.grows()

    master.kill()
    sentinels[0].kill()

    await load.grows()
    load.done = True
    await running
    await load.assert_nothing_is_lost()
    assert sum(b"role:master" in each.raw("INFO", "replication") for each in replicas) == 1
    await backend.close()


async def test_a_service_that_sentinels_do_not_know_is_named(launch: Callable[..., Any], tmp_path: Any) -> None:
    """A wrong name of a service is shown."""
    config = tmp_path / "sentinel.conf"
    config.write_text("")
    sentinel = launch(str(config), "--sentinel", sentinel=True)

    with warnings.catch_warnings(), pytest.raises(StoreError, match="the Sentinel knows no master of 'other'"):
        await open_backend(f"redis+sentinel://127.0.0.1:{sentinel.port}/other")


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _spread(names: Iterable[str]) -> set[int]:
    """Return which of the first masters have the slices of these counters."""
    keys = Keys("perdure", 16)
    return {keys.slots[keys.slice_of(f"Counter/{name}".encode())] * 3 // 16384 for name in names}


def _prefix_on_the_first_master(slices: int) -> tuple[int, str]:
    """Return which master has the slice of the counter `a`, and a prefix that lives there too."""
    keys = Keys("perdure", slices)
    slice = keys.slice_of(b"Counter/a")
    prefix = next(name for name in map(str, range(1000)) if keys.slice_of(name.encode()) == slice)
    return keys.slots[slice] * 3 // 16384, prefix


def _owner(cluster: Any, slot: int) -> Any:
    return cluster.servers[slot * 3 // 16384]


def _other(cluster: Any, slot: int) -> Any:
    return cluster.servers[(slot * 3 // 16384 + 1) % 3]
