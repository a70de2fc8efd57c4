"""Nodes with one merged value, as the tests of merging have them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from perdure_replication import Settings
from perdure_replication._settings import DEFAULTS
from perdure_replication.merge import MergedReplica, MergedState, merged
from perdure_replication.testing import InMemoryPersistence, Network, TestRuntime


class Cluster(TestRuntime):
    """Nodes with one merged state, all of them open, on a network that can be parted."""

    def __init__(
        self,
        state: type[MergedState[Any]],
        *,
        loss: float = 0.0,
        seed: int = 0,
        settings: Settings = DEFAULTS,
        network: Network | None = None,
    ) -> None:
        """Take the share of frames that are lost before the network has them."""
        super().__init__(state, settings=settings, network=network)
        self.loss = loss
        self._network = network
        self._random = Random(seed)
        self.state = state
        self.merged: dict[str, MergedReplica[Any]] = {}
        self.carried: list[tuple[str, str]] = []
        """Who sent a frame to whom."""
        self.bytes = 0
        self.then: Callable[[], object] | None = None
        """What happens, once, right after the next frame was received."""
        self._lost: set[tuple[str, str]] = set()
        self._carry, self.hub._carry = self.hub._carry, self._carry_whole  # type: ignore[method-assign]

    def __getitem__(self, name: str) -> MergedReplica[Any]:
        return self.merged[name]

    def values(self) -> list[Any]:
        return [self.merged[name].value for name in sorted(self.merged)]

    async def open(self, names: str, stores: dict[str, InMemoryPersistence] | None = None) -> None:
        """Begin a life of some nodes."""
        for name in names:
            node = await self.start(name, persistence=stores[name].life() if stores else None)
            self.merged[name] = await merged(node, self.state, seed=self._random.getrandbits(32)).__aenter__()
        await self.settle()

    async def close(self, name: str) -> None:
        """Let a node leave."""
        replica = self.merged.pop(name)
        await self.stop(name)
        await replica.__aexit__(None, None, None)

    async def die(self, name: str) -> None:
        """End a node without a word."""
        replica = self.merged.pop(name)
        await self.crash(name)
        await replica.__aexit__(None, None, None)

    async def do(self, name: str, change: Callable[[Any], object]) -> None:
        """Let one node write, and everybody hear of it."""
        await self.merged[name].update(change)
        await self.settle()

    def heal(self) -> None:
        """Lose, double, damage and reorder nothing any more. Delays stay."""
        self.loss = 0.0
        if self._network is not None:
            self._network.heal()

    def part(self, *sides: str) -> None:
        """Lose what one side sends to another."""
        self._lost = {(a, b) for one in sides for other in sides if one != other for a in one for b in other}

    def _carry_whole(self, source: str, peer: str, frame: bytes) -> None:
        self.carried.append((source, peer))
        self.bytes += len(frame)
        if (source, peer) not in self._lost and self._random.random() >= self.loss:
            self._carry(source, peer, frame)
            if self.then is not None:
                self.then, then = None, self.then
                then()

    async def __aexit__(self, *error: Any) -> None:
        for name in list(self.merged):
            await self.close(name)
        await super().__aexit__(*error)
