"""Actors that are asked without a pause, each by a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

from benchmarks.account import Account, Deposit
from perdure import ActorRef, ActorSystem

_DEPOSIT = Deposit(1)


class Asked:
    """Some live accounts of a system; each answer means one durable event."""

    def __init__(self, refs: Sequence[ActorRef]) -> None:
        self._refs = refs
        self.latencies: list[float] = []

    @classmethod
    async def among(cls, system: ActorSystem, actors: int) -> Asked:
        """Bring so many accounts to life, by one event each."""
        refs = [system.ref(Account, f"account-{n}") for n in range(actors)]
        await asyncio.gather(*(ref.ask(_DEPOSIT) for ref in refs))
        return cls(refs)

    async def __call__(self, seconds: float) -> float:
        """Ask for so long; return the answers a second."""
        self.latencies.clear()
        started = perf_counter()
        await asyncio.gather(*(self._ask(ref, started + seconds) for ref in self._refs))
        return len(self.latencies) / (perf_counter() - started)

    async def _ask(self, ref: ActorRef, deadline: float) -> None:
        while (started := perf_counter()) < deadline:
            await ref.ask(_DEPOSIT)
            self.latencies.append(perf_counter() - started)
