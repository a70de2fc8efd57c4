"""An actor for the contract of runtimes: it notes what it is told, and can be held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from perdure_replication.runtime import ActorRuntime, LocalRef
from perdure_replication.testing._states import TestState, Value

HOLD = "hold"
"""Keeps a clerk busy until `release`."""
REPORT = "report"
"""Is answered with all that was noted before."""


class Clerk:
    """Notes messages. `["echo", x]` is answered with x, `["fail", text]` raises it."""

    def __init__(self, runtime: ActorRuntime, patience: float) -> None:
        self.runtime = runtime
        self.noted: list[Any] = []
        self.held = threading.Event()
        """Set while it is held up."""
        self._patience = patience
        self._released = threading.Event()

    async def start(self, name: str, **options: Any) -> LocalRef[Any]:
        """Start the actor."""
        handler: Callable[[Any], Any] = self._handle_here if self.runtime.awaits else self._handle_there
        return await self.runtime.spawn(name, handler, **options)

    def release(self) -> None:
        """Let it go on."""
        self._released.set()

    async def _handle_here(self, message: Any) -> Any:
        if message == HOLD:
            self.held.set()
            await until(self._released.is_set, self._patience)
        return self._take(message)

    def _handle_there(self, message: Any) -> Any:
        if message == HOLD:
            self.held.set()
            self._released.wait(self._patience)
        return self._take(message)

    def _take(self, message: Any) -> Any:
        match message:
            case "hold":
                return None
            case "report":
                return list(self.noted)
            case ["echo", something]:
                return something
            case ["fail", text]:
                raise ValueError(text)
        self.noted.append(message)
        return None


async def start_clerk(runtime: ActorRuntime) -> None:
    """Start the actor of the stranger in a runtime whose node has `TestState`; see `ActorRuntimeContract.strangers`.

    It is in the group all, sets the state to each number that it is asked with, and answers with its node's
    incarnation.
    """
    node = runtime.node
    assert node is not None

    async def handle_here(number: int) -> int:
        await node.replica(TestState).mutate(lambda _: Value(number))
        return node.incarnation

    def handle_there(number: int) -> int:
        runtime.replica(TestState).mutate(lambda _: Value(number))
        return node.incarnation

    handler: Any = handle_here if runtime.awaits else handle_there
    await runtime.join("all", await runtime.spawn("clerk", handler))


async def until(holds: Callable[[], bool], patience: float) -> None:
    """Wait until something holds that a thread, or a peer, brings about. Raises `TimeoutError` when it never does."""
    async with asyncio.timeout(patience):
        while not holds():  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.001)


async def in_thread(work: Callable[[], Any], patience: float) -> Any:
    """Return what a function returns in a thread of its own."""
    async with asyncio.timeout(patience):
        return await asyncio.to_thread(work)


async def outcome(work: Awaitable[Any]) -> Any:
    """Return the result or the error."""
    try:
        return await work
    except Exception as error:
        return error
