"""A node in a process of its own, with one actor: `python -m … MODULE:RUNTIME NAME ADDRESS`.

The actor is called clerk and in the group all. It sets the node's state to each number that it is asked with, and
answers with the node's incarnation.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib import import_module

from perdure_replication._node import Node
from perdure_replication._settings import Settings
from perdure_replication.runtime import ActorGroups, NewRuntime
from perdure_replication.tcp import TcpMembership, TcpSettings, TcpTransport
from perdure_replication.testing._clerk import start_clerk
from perdure_replication.testing._states import TestState

SOON = TcpSettings(heartbeat=0.2, silence=3.0, backoff=0.02, backoff_most=0.2, courtesy=0.02, suspicion=0.3)
"""Settings with which things are found out soon."""


def tcp_node(name: str, *seeds: str) -> Node:
    """Return a node over TCP on this machine, which is not open."""
    transport = TcpTransport("127.0.0.1:0", insecure=True, settings=SOON)
    membership = TcpMembership(transport, seeds, settings=SOON)
    settings = Settings(digest_interval=0.5, pull_timeout=0.5)
    return Node(name, [ActorGroups, TestState], transport=transport, membership=membership, settings=settings)


async def serve(new_runtime: NewRuntime, name: str, seed: str) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with tcp_node(name, seed) as node, new_runtime(node) as runtime:
        await start_clerk(runtime)
        await over.wait()


if __name__ == "__main__":
    module, _, attribute = sys.argv[1].partition(":")
    asyncio.run(serve(getattr(import_module(module), attribute), *sys.argv[2:]))
