"""From any thread into an event loop, and back with the result: threads wait, the loop never does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, ParamSpec, TypeVar

from perdure import ActorRef, Message
from perdure_replication.errors import RuntimeClosed, WaitsForItself

P = ParamSpec("P")
R = TypeVar("R")


class Bridge:
    """The way into the event loop in which it is made, for other threads.

    `ask` and `tell` reach the durable actors of a `perdure.ActorSystem` from threads, such as those of Pykka's actors:
    `balance = bridge.ask(system.ref(Account, "alice"), Deposit(10))`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waits: set[Future[Any]] = set()
        self._closed = False

    @property
    def is_here(self) -> bool:
        """True in the thread of the loop."""
        return threading.get_ident() == self._thread

    def ask(self, ref: ActorRef, message: Message[R], *, timeout: float | None = None) -> R:
        """Return the actor's reply, as `ActorRef.ask` does; the calling thread waits. Raises as it, and as `wait`."""
        return self.wait(ref.ask(message, timeout=timeout))

    def tell(self, ref: ActorRef, message: Message[Any], *, timeout: float | None = None) -> None:
        """Send a message when there is room, as `ActorRef.tell` does. Raises as it, and as `wait`."""
        self.wait(ref.tell(message, timeout=timeout))

    def wait(self, what: Awaitable[R]) -> R:
        """Have something awaited in the loop, and return its result.

        Raises what it raises; `WaitsForItself` in the loop's own thread, which would wait for ever; `RuntimeClosed`
        when the bridge is closed before.
        """
        if self.is_here or self._closed:
            _drop(what)
            raise WaitsForItself() if self.is_here else RuntimeClosed("the bridge")
        future = self._begun(what)
        self._waits.add(future)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeClosed("the bridge") from None
        finally:
            self._waits.discard(future)

    def call(self, function: Callable[P, R], *arguments: P.args, **keywords: P.kwargs) -> R:
        """Call a function in the loop's thread, and return its result; in that thread, call it now."""
        if self.is_here:
            return function(*arguments, **keywords)

        async def called() -> R:
            return function(*arguments, **keywords)

        return self.wait(called())

    def soon(self, function: Callable[P, object], *arguments: P.args, **keywords: P.kwargs) -> None:
        """Have a function called in the loop's thread, and do not wait for it. Silent when the loop is closed."""
        if self.is_here:
            function(*arguments, **keywords)
            return
        try:
            self._loop.call_soon_threadsafe(lambda: function(*arguments, **keywords))
        except RuntimeError:
            pass

    def close(self) -> None:
        """Let no thread wait any more: those that do get `RuntimeClosed`. May be called again."""
        self._closed = True
        for future in list(self._waits):
            future.cancel()

    def _begun(self, what: Awaitable[R]) -> Future[R]:
        async def awaited() -> R:
            return await what

        begun = awaited()
        try:
            return asyncio.run_coroutine_threadsafe(begun, self._loop)
        except RuntimeError:
            begun.close()
            _drop(what)
            raise RuntimeClosed("the event loop") from None


def _drop(what: object) -> None:
    """Close a coroutine that nobody will await."""
    if asyncio.iscoroutine(what):
        what.close()
