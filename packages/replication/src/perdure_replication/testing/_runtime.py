"""Whole nodes in one event loop, on ports in memory and a clock that a test turns."""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar

from perdure_replication._memory import MemoryHub
from perdure_replication._node import Node
from perdure_replication._persistence import StatePersistence
from perdure_replication._settings import DEFAULTS, Settings
from perdure_replication._state import ReplicatedState
from perdure_replication.testing._clock import TestClock


class TestRuntime:
    """A cluster of nodes for one test; closing it closes them all."""

    __test__: ClassVar[bool] = False

    def __init__(self, *states: type[ReplicatedState[Any, Any]], settings: Settings = DEFAULTS) -> None:
        """Take the states that each node has unless it is started with others."""
        self.clock = TestClock()
        self.hub = MemoryHub()
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
