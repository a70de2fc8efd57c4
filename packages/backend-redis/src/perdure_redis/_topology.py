"""Which server has a slot, asked again whenever an answer shows that it has moved."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from perdure_redis._command import packed
from perdure_redis._node import Lost, Node
from perdure_redis._settings import Address, Settings

_ASK_SECONDS = 2.0
"""How long a Sentinel or a node may take to tell where the others are before another one is asked."""


class Standalone:
    """One server has all slots."""

    fails_over = False

    def __init__(self, settings: Settings) -> None:
        self._node = Node(settings.addresses[0], settings.transport(), settings.connection())

    async def node(self, slot: int) -> Node:
        """Return the server that has a slot. Raises `Lost` when nobody tells."""
        return self._node

    async def nodes(self) -> list[Node]:
        """Return all servers that have slots. Raises `Lost`."""
        return [self._node]

    async def at(self, address: Address) -> Node:
        """Return the server to which another one has pointed."""
        return self._node

    async def moved(self) -> None:
        """Forget what was known: the last answers were not those of a server that has the slot."""
        await self._node.forget()

    async def close(self) -> None:
        await self._node.close()


class Sentinel(Standalone):
    """The master that a Sentinel names has all slots."""

    fails_over = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sentinels = [
            Node(address, settings.transport(), settings.sentinel_connection()) for address in settings.addresses
        ]
        self._nodes: dict[Address, Node] = {}
        self._master: Node | None = None

    async def node(self, slot: int) -> Node:
        if self._master is None:
            self._master = await self.at(await self._ask())
        return self._master

    async def nodes(self) -> list[Node]:
        return [await self.node(0)]

    async def at(self, address: Address) -> Node:
        return _at(self._nodes, address, self._settings)

    async def moved(self) -> None:
        if self._master is not None:
            await self._master.forget()
        self._master = None

    async def close(self) -> None:
        await asyncio.gather(*(node.close() for node in (*self._nodes.values(), *self._sentinels)))

    async def _ask(self) -> Address:
        question = packed(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._settings.service.encode())
        failed: Lost | None = None
        for sentinel in list(self._sentinels):
            try:
                answer = await _ask(sentinel, question)
            except Lost as lost:
                failed = lost
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)  # who answered is asked first
            if answer is not None:
                return answer[0].decode(), int(answer[1])
            unknown = RedisConnectionError(f"the Sentinel knows no master of {self._settings.service!r}")
            failed = Lost(sentinel.address, unknown, False)
        assert failed is not None
        raise failed


class Cluster(Standalone):
    """Each slot has a node, by the map that any node gives."""

    fails_over = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._nodes: dict[Address, Node] = {}
        self._ranges: list[tuple[int, int, Address]] = []

    async def node(self, slot: int) -> Node:
        if not self._ranges:
            await self._learn()
        for first, last, address in self._ranges:
            if first <= slot <= last:
                return await self.at(address)
        self._ranges = []
        raise Lost(self._settings.addresses[0], RedisConnectionError(f"no node has slot {slot}"), False)

    async def nodes(self) -> list[Node]:
        if not self._ranges:
            await self._learn()
        return [await self.at(address) for address in dict.fromkeys(address for *_, address in self._ranges)]

    async def at(self, address: Address) -> Node:
        return _at(self._nodes, address, self._settings)

    async def moved(self) -> None:
        self._ranges = []

    async def close(self) -> None:
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    async def _learn(self) -> None:
        failed: Lost | None = None
        for address in dict.fromkeys((*self._nodes, *self._settings.addresses)):
            node = await self.at(address)
            try:
                slots = await _ask(node, packed(b"CLUSTER", b"SLOTS"))
            except Lost as lost:
                failed = lost
                await node.forget()
                continue
            self._ranges = [
                (first, last, (master[0].decode() if master[0] else address[0], int(master[1])))
                for first, last, master, *_ in slots
            ]
            return
        assert failed is not None
        raise failed


def topology_of(settings: Settings) -> Standalone:
    """Return what knows the servers of a URL, none of which was asked yet."""
    return {"standalone": Standalone, "sentinel": Sentinel, "cluster": Cluster}[settings.kind](settings)


def _at(nodes: dict[Address, Node], address: Address, settings: Settings) -> Node:
    if address not in nodes:
        nodes[address] = Node(address, settings.transport(), settings.connection())
    return nodes[address]


async def _ask(node: Node, question: bytes) -> Any:
    """Return the answer of one who may be gone. Raises `Lost`."""
    [answer] = await node.exchange(question, 1, asyncio.get_running_loop().time() + _ASK_SECONDS)
    if isinstance(answer, ResponseError):
        raise Lost(node.address, answer, False)
    return answer
