"""What the rules of actor runtimes are made of."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar, Protocol, TypeAlias

from perdure.errors import ActorStopped, AskTimeout
from perdure_replication._node import Node
from perdure_replication.errors import (
    PeerUnreachable,
)
from perdure_replication.runtime import ActorGroups, ActorRuntime, LocalRef, NewRuntime, Ref
from perdure_replication.testing._clerk import REPORT, Clerk
from perdure_replication.testing._runtime import TestRuntime
from perdure_replication.testing._states import TestState

STRANGER = "stranger"
"""The name of a node in another process."""


class Stranger(Protocol):
    """A process with a node of the name stranger, in whose runtime `start_clerk` was called."""

    def terminate(self) -> None:
        """Have the node leave."""

    def kill(self) -> None:
        """End the process as SIGKILL does."""


Start: TypeAlias = Callable[[], Awaitable[Stranger]]
"""Starts the stranger, or, after its process was killed, another life of it."""


class Material:
    """What the rules need of a runtime, and of each other."""

    importable: ClassVar[str] = ""
    patience: ClassVar[float] = 20.0
    """Seconds after which what has not come will not come."""

    async def kill(self, ref: LocalRef[Any]) -> None:
        """End an actor by the means of what is beneath, behind the runtime's back; without such, stop it."""
        await ref.stop()

    def _threads(self, runtime: ActorRuntime) -> int:
        """Return how many threads an actor has."""
        return 0 if runtime.awaits else 1

    @asynccontextmanager
    async def _party(
        self, new_runtime: NewRuntime, *, capacity: int = 1000, **options: Any
    ) -> AsyncIterator[tuple[ActorRuntime, Clerk, LocalRef[Any]]]:
        """Give a runtime without a node, and an actor of the name a."""
        async with asyncio.timeout(self.patience * 3), new_runtime(**options) as runtime:
            clerk = Clerk(runtime, self.patience)
            ref = await clerk.start("a", capacity=capacity)
            try:
                yield runtime, clerk, ref
            finally:
                clerk.release()

    @asynccontextmanager
    async def _pair(
        self, new_runtime: NewRuntime, **options: Any
    ) -> AsyncIterator[tuple[TestRuntime, ActorRuntime, ActorRuntime]]:
        """Give two nodes that have met, a and b, and their runtimes."""
        async with asyncio.timeout(self.patience * 3), TestRuntime(ActorGroups, TestState) as nodes:
            a, b = await nodes.start("a"), await nodes.start("b")
            async with new_runtime(a, **options) as here, new_runtime(b, **options) as there:
                yield nodes, here, there

    @asynccontextmanager
    async def strangers(self, new_runtime: NewRuntime) -> AsyncIterator[tuple[Node, ActorRuntime, Start]]:
        """Give a node, its runtime, and what starts the stranger; both have `TestState`, and find each other.

        Here they are found over TCP. Override it where the library beneath has processes of its own.
        """
        import pytest

        from perdure_replication.testing._stranger import tcp_node

        if not self.importable or not hasattr(signal, "SIGKILL"):
            pytest.skip("it is not said how another process gets the runtime")
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(tcp_node("a"))
            runtime = await stack.enter_async_context(new_runtime(node))

            async def start() -> Stranger:
                process = await _stranger(self.importable, node._address)
                stack.push_async_callback(_end, process)
                return process

            yield node, runtime, start

    async def _asked(self, runtime: ActorRuntime, number: int) -> int:
        """Ask the stranger, as soon as it is there."""
        async with asyncio.timeout(self.patience):
            while True:
                try:
                    return int(await runtime.remote(STRANGER, "clerk").ask(number, timeout=5.0))
                except (PeerUnreachable, ActorStopped, AskTimeout):
                    await asyncio.sleep(0.02)

    async def _notes(self, ref: Ref[Any], noted: list[Any]) -> None:
        """Wait until an actor has noted what came from another node."""
        async with asyncio.timeout(self.patience):
            while await ref.ask(REPORT) != noted:  # noqa: ASYNC110 - nobody says when
                await asyncio.sleep(0.001)

    async def _some_turns(self) -> int:
        """Let what is ready happen, and return how often the loop has turned."""
        turns = 0
        for _ in range(100):
            await asyncio.sleep(0)
            turns += 1
        return turns


async def _stranger(importable: str, address: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    module = "perdure_replication.testing._stranger"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, importable, STRANGER, address, env=environment
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
