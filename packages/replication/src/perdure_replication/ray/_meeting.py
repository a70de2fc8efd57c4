"""Where the nodes of a Ray cluster meet: a Ray actor of a known name, which knows their addresses and their secret.

It is asked when a node comes, and by each node again and again; what nodes say to each other goes over links of their
own. So its loss parts nobody who has met. Ray starts it again with the secret, which is an argument of it, and whom it
knew it hears from within a beat. It gives greater incarnations to later lives as long as it remembers; after its own
loss the clocks of the nodes do, and the peers, who remember too.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeAlias

from perdure_replication._member import Member
from perdure_replication.errors import BrokerUnavailable, InvalidTransport
from perdure_replication.ray._library import library

Place: TypeAlias = tuple[str, int, str]
"""A member: its name, its incarnation and its address."""

NAME = "perdure-register"
"""By which Ray knows the register of a namespace."""

MOST_NAMES = 10_000
"""Nodes whose incarnations the register remembers; those of others grow as their clocks do."""
LONGEST_BEAT = 20.0
"""Seconds between two words of a node, at most: it may miss one, and is not forgotten."""

_FAREWELL = 2.0  # seconds that leaving may take
_FORGET = 60.0  # seconds after which a node that says nothing is passed on to nobody
_PAUSE = 0.05  # seconds between two questions to a register that was lost


class Register:
    """What the Ray actor has: who has come, of all clusters of a namespace. It is harmless to ask it anything twice."""

    def __init__(self, secret: bytes, now: Callable[[], float] = monotonic) -> None:
        self._secret = secret
        self._now = now
        self._incarnations: dict[tuple[str, str], int] = {}
        self._present: dict[tuple[str, str], tuple[int, str, float]] = {}

    def secret(self) -> bytes:
        """Return what proves a node to the others."""
        return self._secret

    def claim(self, cluster: str, name: str, at_least: int) -> int:
        """Return an incarnation that is greater than all that were given to a name."""
        incarnation = max(at_least, self._incarnations.get((cluster, name), 0) + 1)
        self._remember((cluster, name), incarnation)
        return incarnation

    def enter(self, cluster: str, place: Place) -> list[Place]:
        """Note that a node is there, unless a later life of it was, and return the others of late."""
        name, incarnation, address = place
        if incarnation >= self._incarnations.get((cluster, name), 0):
            self._remember((cluster, name), incarnation)
            self._present[cluster, name] = (incarnation, address, self._now())
        self._forget(self._now() - _FORGET)
        return [
            (other, life, where)
            for (within, other), (life, where, _) in self._present.items()
            if within == cluster and other != name
        ]

    def leave(self, cluster: str, name: str, incarnation: int) -> None:
        """Forget the address of a node whose life is over."""
        if self._present.get((cluster, name), (0,))[0] == incarnation:
            del self._present[cluster, name]

    def _remember(self, key: tuple[str, str], incarnation: int) -> None:
        """Note the latest life of a node, and forget that which was noted the longest ago, when there are too many."""
        self._incarnations.pop(key, None)
        self._incarnations[key] = incarnation
        if len(self._incarnations) > MOST_NAMES:
            del self._incarnations[next(iter(self._incarnations))]

    def _forget(self, before: float) -> None:
        self._present = {key: each for key, each in self._present.items() if each[2] > before}


class Meeting:
    """The way to the register, for a node of one cluster; the first who comes starts it."""

    def __init__(self, cluster: str, namespace: str, patience: float) -> None:
        """Wait for an answer for `patience` seconds."""
        self._cluster = cluster
        self._namespace = namespace
        self._patience = patience
        self._secret = secrets.token_bytes(32)
        self._handle: Any = None

    async def secret(self) -> bytes:
        """Return the secret of all nodes."""
        self._secret = await self._ask("secret")
        return self._secret

    async def claim(self, name: str, at_least: int) -> int:
        """Return an incarnation for a new life of a node."""
        incarnation: int = await self._ask("claim", self._cluster, name, at_least)
        return incarnation

    async def enter(self, member: Member) -> list[Member]:
        """Say that a node is there, and return the others."""
        place = (member.name, member.incarnation, member.address)
        found: list[Place] = await self._ask("enter", self._cluster, place)
        return [Member(*each) for each in found]

    async def leave(self, member: Member) -> None:
        """Say that a life is over. Nobody waits long for that: what is not said is forgotten."""
        seconds = min(_FAREWELL, self._patience)
        await self._ask("leave", self._cluster, member.name, member.incarnation, seconds=seconds)

    async def _ask(self, method: str, *arguments: Any, seconds: float = 0.0) -> Any:
        """Return an answer. Raises `BrokerUnavailable` when none comes, `InvalidTransport` without a Ray cluster."""
        ray = library()
        if not ray.is_initialized():
            raise InvalidTransport("ray://", "this process is not connected to a Ray cluster: call ray.init() first")
        reason, patience = "it has not answered", seconds or self._patience
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while True:
                    try:
                        return await getattr(self._found(), method).remote(*arguments)
                    except ray.exceptions.RayError as error:
                        self._handle, reason = None, str(error).partition("\n")[0]
                        await asyncio.sleep(_PAUSE)
        raise BrokerUnavailable(NAME, f"{reason}, for {patience:g} s: has the Ray cluster a node that lives?")

    def _found(self) -> Any:
        """Return Ray's handle of the register; started now, with the secret that is known here, if there is none."""
        if self._handle is None:
            kind = library().remote(max_restarts=-1, max_task_retries=-1, num_cpus=0)(Register)
            made = kind.options(name=NAME, namespace=self._namespace, lifetime="detached", get_if_exists=True)
            self._handle = made.remote(self._secret)
        return self._handle
