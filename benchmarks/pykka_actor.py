"""PyPI's `pykka`: an actor is a thread that takes messages from a queue."""

from __future__ import annotations

from typing import Any

import pykka

from benchmarks.window import Window

_TELLS = 10_000
_LIVES = 100


class Counter(pykka.ThreadingActor):
    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def on_receive(self, message: Any) -> int:
        self._count += message
        return self._count


class Pykka:
    """One actor, until it is closed; whatever is measured, the loop stands still."""

    def __init__(self) -> None:
        self._ref = Counter.start()

    def asks(self, in_flight: int) -> Window[pykka.Future[Any]]:
        """Return the measure of asks to the actor."""
        return Window(in_flight, lambda: self._ref.ask(1, block=False), lambda reply: reply.get())

    async def tell(self) -> int:
        """Tell the actor some thousand times, and wait until it has handled them."""
        for _ in range(_TELLS):
            self._ref.tell(1)
        self._ref.ask(1)
        return _TELLS

    async def live(self) -> int:
        """Start some actors, then stop them."""
        refs = [Counter.start() for _ in range(_LIVES)]
        for stopped in [ref.stop(block=False) for ref in refs]:
            stopped.get()
        return _LIVES

    def close(self) -> None:
        self._ref.stop()
