"""A node in a process of its own: `member.py NAME URL SECRET`.

It does what it reads, a word a line, and answers with what it sees, in JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

from perdure.security import EncryptedKey
from perdure_replication import DistributedState, Node, Settings
from perdure_replication._ports import Ports
from perdure_replication.errors import MutationFailed
from perdure_replication.redis._plugin import open_redis
from perdure_replication.tcp import TcpSettings
from perdure_replication.tcp._plugin import open_tcp

SETTINGS = Settings(digest_interval=0.5, retain_interval=0.05, pull_timeout=0.3)
SOON = TcpSettings(
    heartbeat=0.1, silence=1.0, connect_timeout=1.0, backoff=0.02, backoff_most=0.2, suspicion=0.2, introduction=0.5
)
"""Over TCP, that silence is found out in a second or so."""


class Count(DistributedState[int]):
    """A number."""

    name = "count"

    def initial(self) -> int:
        return 0


async def run(name: str, url: str, secret: str) -> None:
    ports = opened(url, EncryptedKey(bytes.fromhex(secret)))
    async with Node(name, [Count], transport=ports.transport, membership=ports.membership, settings=SETTINGS) as node:
        await serve(node)


def opened(url: str, secret: EncryptedKey) -> Ports:
    if url.startswith("tcp:"):
        return open_tcp(url, "perdure", {"secret": secret, "settings": SOON})
    return open_redis(url, "perdure", {"secret": secret})


async def serve(node: Node) -> None:
    count, load = node.replica(Count), None
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while word := (await reader.readline()).decode().strip():
        if word == "load":
            load = asyncio.ensure_future(mutate(node))
        elif word == "rest" and load is not None:
            load.cancel()
            await asyncio.wait([load])
        elif word == "add":
            await count.mutate(lambda number: number + 1)
        freshness = count.freshness(2.0)
        answer = {
            "views": dict(count.views),
            "members": sorted(node.members),
            "unreachable": sorted(freshness.unreachable),
            "fresh": freshness.is_fresh,
            "incarnation": node.incarnation,
        }
        print(json.dumps(answer), flush=True)


async def mutate(node: Node) -> None:
    """Count as fast as a node does that lets others run."""
    count = node.replica(Count)
    while True:
        with suppress(MutationFailed):
            await count.mutate(lambda number: number + 1)
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
