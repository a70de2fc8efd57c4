"""Whole nodes in one event loop, on ports in memory and a clock that a test turns."""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Any, ClassVar

from perdure_replication._memory import MemoryHub
from perdure_replication._node import Node
from perdure_replication._persistence import StatePersistence
from perdure_replication._settings import DEFAULTS, Settings
from perdure_replication._state import ReplicatedState
from perdure_replication.errors import PeerUnreachable
from perdure_replication.testing._clock import TestClock
from perdure_replication.testing._network import Network


class _NetworkHub(MemoryHub):
    """A hub whose frames travel over a simulated network, in the time of a clock."""

    def __init__(self, network: Network, clock: TestClock) -> None:
        super().__init__()
        self._network = network
        self._clock = clock
        self._travelling: dict[float, list[tuple[str, str, bytes]]] = {}

    def _carry(self, source: str, peer: str, frame: bytes) -> None:
        if peer not in self._receivers:
            raise PeerUnreachable(peer, "no such node is open in this hub")
        for at, target, data in self._network.carry(source, [peer], frame, self._clock.monotonic()):
            if at not in self._travelling:
                self._travelling[at] = []
                self._clock.call_at(at, partial(self._arrive, at))
            self._travelling[at].append((source, target, data))

    def _arrive(self, at: float) -> None:
        for source, target, data in self._travelling.pop(at):
            receive = self._receivers.get(target)
            if receive is not None:
                receive(source, data)


class TestRuntime:
    """A cluster of nodes for one test; closing it closes them all."""

    __test__: ClassVar[bool] = False

    def __init__(
        self, *states: type[ReplicatedState[Any, Any]], settings: Settings = DEFAULTS, network: Network | None = None
    ) -> None:
        """Take the states that each node has unless it is started with others.

        Frames arrive at once, or when and as a network says; who is a member is known at once.
        """
        self.clock = TestClock()
        self.hub = MemoryHub() if network is None else _NetworkHub(network, self.clock)
        self.nodes: dict[str, Node] = {}
        self._states = states
        self._settings = settings

    async def __aenter__(self) -> TestRuntime:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in list(self.nodes):
            await self.stop(name)

    async def start(
        self, name: str, *states: type[ReplicatedState[Any, Any]], persistence: StatePersistence | None = None
    ) -> Node:
        """Return a node that is open, and let it meet the others."""
        node = Node(
            name,
            states or self._states,
            transport=self.hub.transport(),
            membership=self.hub.membership(),
            persistence=persistence,
            settings=self._settings,
            clock=self.clock,
            seed=len(self.nodes),
        )
        await node.__aenter__()
        self.nodes[name] = node
        await self.settle()
        return node

    async def stop(self, name: str) -> None:
        """Let a node leave."""
        await self.nodes.pop(name).close()
        await self.settle()

    async def crash(self, name: str) -> None:
        """End a node without a word to anybody; the membership finds out."""
        await self.nodes.pop(name)._release()
        await self.settle()

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        await self.clock.advance(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.advance(seconds)
