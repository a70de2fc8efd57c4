"""How a system is: for a readiness endpoint, and for whoever is woken up by it.

The probe reads from the store, for that changes nothing in it, and is bounded: who waits gives up after a time, and
while a read hangs no second one is begun, however often somebody asks. What a read cannot show, such as a full disk,
the last commit does; its error does not make the system unready, or nothing would come that could be committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

import msgspec

from perdure.abc import Backend
from perdure.actors._views import Life


class StuckActor(msgspec.Struct, frozen=True, kw_only=True):
    """An actor whose present turn waits too long."""

    path: str
    """Where names are hidden: the type and the stored name."""
    type: str
    life: Life
    message: str | None
    """The type of the message that it handles, if it handles one."""
    seconds: float


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a system is at one moment.

    `ready` is False while it is not open, its store does not answer, or commits are late; `reasons` says so in words.
    A stuck actor does not make it unready, unless `max_stuck` says so: the others can be asked.
    """

    ready: bool
    reasons: tuple[str, ...]
    store_seconds: float | None
    """How long the store took to answer; None if it did not."""
    commit_lag: float
    """Seconds for which the oldest write has been waiting to be durable; 0 when none is."""
    commit_error: str | None
    """The type of the error with which the last commit failed; None if it did not."""
    recovering: int
    """How many actors are being recovered."""
    waiting_to_recover: int
    """How many wait for their turn to be: see `max_recoveries`."""
    live: int
    """How many actors are live."""
    dead_letters: int
    """How many messages could not be handled."""
    stuck_count: int
    stuck: tuple[StuckActor, ...]
    """The longest stuck, ten at most."""

    MOST: ClassVar[int] = 10

    def json(self) -> bytes:
        """Return it as JSON, for a readiness endpoint."""
        return msgspec.json.encode(self)


class Load(msgspec.Struct, frozen=True):
    """What waits for the store; as in `Health`."""

    commit_lag: float
    recovering: int
    waiting_to_recover: int


class Probe:
    """Looks whether a store answers."""

    def __init__(self, backend: Backend, monotonic: Callable[[], float]) -> None:
        self._backend = backend
        self._monotonic = monotonic
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, timeout: float) -> tuple[float | None, str]:
        """Return the seconds that the store took to answer, or None and why it did not."""
        began = self._monotonic()
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._read())
            self._asking.add_done_callback(self._answered)
        try:
            await asyncio.wait_for(asyncio.shield(self._asking), timeout)
        except TimeoutError:
            return None, f"the store has not answered for {timeout:g} s"
        except Exception as error:
            return None, f"the store does not answer: {type(error).__name__}"
        return self._monotonic() - began, ""

    async def close(self) -> None:
        """Wait for no answer any more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _read(self) -> None:
        await self._backend.read_state("states", "health")

    def _answered(self, asking: asyncio.Task[None]) -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()  # whoever asked has it, unless nobody waits any more
