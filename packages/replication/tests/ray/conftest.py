"""A Ray cluster of several nodes on this machine, and the store that all of them reach."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from perdure import ActorSystem
from perdure_replication.ray import RayHosts
from perdure_testkit.redis import RedisServer

from ..redis.conftest import until  # noqa: TID252 - there is one way to wait
from .bank import KEYS, STORE

__all__ = ["until"]

KEY = f"1:{bytes(range(32)).hex()}"
LEAN = {"object_store_memory": 80 * 2**20, "include_log_monitor": False, "no_monitor": True}


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server that keeps what it has acknowledged."""
    server = RedisServer(tmp_path_factory.mktemp("store"), "--appendonly", "yes", "--appendfsync", "always").start()
    yield f"{server.url}/0"
    server.kill()


class Machines:
    """A head without room for hosts, and some nodes with room, each with processes of its own."""

    def __init__(self) -> None:
        """Start it, and connect to it. Raises what Ray raises where it cannot, or is slow: a node has 30 seconds."""
        import ray
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        try:
            self._cluster.add_node(num_cpus=0, include_dashboard=False, **LEAN)
            self._nodes = [self._cluster.add_node(wait=False, num_cpus=4, **LEAN) for _ in range(2)]
            self._cluster.wait_for_nodes()
            ray.init(address=self._cluster.address, log_to_driver=False, logging_level="ERROR")
        except BaseException:
            self.close()
            raise

    def kill(self, node_id: str) -> None:
        """Kill a node with all that runs there."""
        [node] = [node for node in self._nodes if node.node_id == node_id]
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all nodes import from."""
    return tmp_path_factory.mktemp("modules")


@pytest.fixture(scope="session")
def machines(store: str, modules: Path) -> Iterator[Machines]:
    """Start a cluster once, and connect to it. Skips where Ray is not installed, or does not start."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: it has no wheel for this Python, or the extra ray is missing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_period_ms", "300")  # by default a killed node is missed after 15 seconds
        patch.setenv("RAY_worker_niceness", "0")  # by default others, such as tests in other processes, go before
        root = Path(__file__).parents[4]
        patch.setenv("PYTHONPATH", os.pathsep.join([str(modules), str(root), *filter(None, sys.path)]))
        patch.setenv(STORE, store)
        patch.setenv(KEYS, KEY)
        try:
            machines = Machines()
        except Exception as error:  # Ray's own, of any kind: nothing of ours runs yet
            pytest.skip(f"Ray's cluster does not start here: {error}")
        yield machines
        machines.close()


@pytest.fixture(scope="session")
def url(store: str) -> str:
    """Return the URL of the store of all hosts but those that seal theirs."""
    return f"{store}?namespace=plain"


@pytest.fixture
async def system(url: str) -> AsyncIterator[ActorSystem]:
    """Open the store here, to look into it."""
    async with ActorSystem(store=url) as system:
        yield system


@pytest.fixture(scope="session")
def hosts(machines: Machines, url: str) -> Iterator[RayHosts]:
    """Start two hosts, for tests that have keys of their own; they come back whatever is killed."""
    yield from running(RayHosts(url, count=2, options={"num_cpus": 1}))


@pytest.fixture(scope="session")
def others(machines: Machines, url: str) -> Iterator[RayHosts]:
    """Start a host that takes the actors of others for its own."""
    yield from running(RayHosts(url, name="others", options={"num_cpus": 0}))


def running(hosts: RayHosts) -> Iterator[RayHosts]:
    """Start hosts, and stop them, in loops that are not the tests'."""
    asyncio.run(hosts.__aenter__())
    yield hosts
    asyncio.run(hosts.stop())


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """Return a key of the test's own."""
    name: str = request.node.name
    return name
