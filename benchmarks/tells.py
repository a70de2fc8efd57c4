"""Messages that nobody waits for, until all of them are handled."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from benchmarks.counter import Mark, Tally


class Tellable(Protocol):
    """Whatever takes messages without a reply."""

    def tell(self, message: Any, /) -> Awaitable[None]:
        """Send a message; waits for room."""
        ...


class Told:
    """Some live actors, told in turn by one task."""

    WAVE = 10_000

    def __init__(self, refs: Sequence[Tellable]) -> None:
        self._refs = refs

    async def __call__(self) -> int:
        """Send a wave of tells and wait until all of them are handled; return how many these were."""
        tally = Tally(self.WAVE)
        message = Mark(tally)
        for _ in range(self.WAVE // len(self._refs)):
            for ref in self._refs:
                await ref.tell(message)
        await tally.done
        return self.WAVE
