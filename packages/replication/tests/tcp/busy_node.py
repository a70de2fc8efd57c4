"""A node in a process of its own that changes its state as fast as it can: `busy_node.py KEY_FILE SEED [STALL]`."""

from __future__ import annotations

import asyncio
import sys

from perdure import Keyring
from perdure_replication import Node
from perdure_replication.tcp import TcpMembership, TcpTransport
from perdure_replication.testing import TestState, Value


async def main(key_file: str, seed: str) -> None:
    transport = TcpTransport("127.0.0.1:0", secret=Keyring.from_file(key_file))
    membership = TcpMembership(transport, [seed])
    async with Node("busy", [TestState], transport=transport, membership=membership) as node:
        replica = node.replica(TestState)
        while True:
            await replica.mutate(lambda value: Value(value.counter + 1, "x" * 1000))
            await asyncio.sleep(0)


asyncio.run(main(*sys.argv[1:3]))
