"""Nodes in Ray's workers, in a module that these import too."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from perdure import ActorSystem
from perdure_replication import Node, Settings
from perdure_replication.ray import RayPorts, RayRuntime
from perdure_replication.runtime import ActorGroups
from perdure_replication.tcp import TcpSettings
from perdure_replication.testing import ActorRuntimeContract, TestState, start_clerk

SOON = TcpSettings(heartbeat=0.2, silence=3.0, backoff=0.02, backoff_most=0.2, courtesy=0.02, suspicion=0.3)
"""Settings with which things are found out soon."""


def ports(cluster: str) -> RayPorts:
    """Return ports that find things out soon."""
    return RayPorts(cluster, beat=0.1, settings=SOON)


def node(cluster: str, name: str) -> Node:
    """Return a node that is not open."""
    both, settings = ports(cluster), Settings(digest_interval=0.5, pull_timeout=0.5)
    return Node(name, [ActorGroups, TestState], transport=both, membership=both, cluster=cluster, settings=settings)


@asynccontextmanager
async def stranger(owner: str) -> AsyncIterator[ActorSystem]:
    """Open the stranger of the contract in a host: a runtime beside the host's system."""
    async with ActorSystem() as system, node("strangers", "stranger") as own, RayRuntime(own, system=system) as runtime:
        await start_clerk(runtime)
        yield system


@asynccontextmanager
async def greeters(owner: str) -> AsyncIterator[ActorSystem]:
    """Open a runtime as its page says: on a node of its own."""
    async with ActorSystem() as system, RayRuntime(ports=ports("greeters"), system=system) as own:
        await own.join("greeters", await own.spawn("greeter", lambda name: f"hello {name}"))
        yield system


class Examiner:
    """Applies the contract of runtimes where it is: in a Ray actor."""

    async def examine(self, rules: list[str]) -> dict[str, str]:
        """Return for each rule that the runtime does not keep here what happened."""
        failed = {}
        for rule in rules:
            try:
                await getattr(ActorRuntimeContract(), rule)(RayRuntime)
            except Exception:
                failed[rule] = traceback.format_exc()
        return failed


def rules_of_one_process() -> list[str]:
    """Return the names of the rules for which there need be no second process."""
    names = [name for name, _ in inspect.getmembers(ActorRuntimeContract) if name.startswith("test_")]
    return [name for name in names if "process" not in name]
