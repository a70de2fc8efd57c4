"""Actors that are asked without a pause, each by a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from time import perf_counter
from typing import Any, Protocol

from benchmarks.account import Account, Deposit
from perdure import ActorSystem

_DEPOSIT = Deposit(1)


class Askable(Protocol):
    """Whatever replies to messages."""

    def ask(self, message: Any, /) -> Awaitable[object]:
        """Return the reply."""
        ...


class Asked:
    """Some live actors, each asked the same message again and again; one that is there twice is asked by two."""

    def __init__(self, refs: Sequence[Askable], message: object = _DEPOSIT) -> None:
        self._refs = refs
        self._message = message
        self.latencies: list[float] = []

    @classmethod
    async def among(cls, system: ActorSystem, actors: int) -> Asked:
        """Bring so many accounts to life, by one event each. With a store that is one, each answer means an event."""
        refs = [system.ref(Account, f"account-{n}") for n in range(actors)]
        await asyncio.gather(*(ref.ask(_DEPOSIT) for ref in refs))
        return cls(refs)

    async def __call__(self, seconds: float) -> float:
        """Ask for so long; return the answers a second."""
        self.latencies.clear()
        started = perf_counter()
        await asyncio.gather(*(self._ask(ref, started + seconds) for ref in self._refs))
        return len(self.latencies) / (perf_counter() - started)

    async def _ask(self, ref: Askable, deadline: float) -> None:
        now = 0.0
        while now < deadline:  # at least once: beginning ten thousand takes time too
            started = perf_counter()
            await ref.ask(self._message)
            now = perf_counter()
            self.latencies.append(now - started)
