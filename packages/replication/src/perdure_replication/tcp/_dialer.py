"""Calls one address, again and again, while a link to it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from perdure import Clock
from perdure_replication.tcp._address import Address
from perdure_replication.tcp._settings import TcpSettings


class Dialer:
    """A task that calls; what it waits between two calls doubles with each that fails, and is partly random."""

    def __init__(
        self,
        address: Address,
        dial: Callable[[Dialer], Awaitable[None]],
        settings: TcpSettings,
        clock: Clock,
        random: Random,
        *,
        name: str = "",
        seed: bool = False,
    ) -> None:
        """Take what makes one attempt, and raises nothing. Nothing is called before `wake`."""
        self.address = address
        self.name = name
        """Who is there, as far as it is known."""
        self.seed = seed
        """Whether the address was given by the user: anybody may be there."""
        self.reason = "it was not called yet"
        """Why the last attempt failed."""
        self._dial = dial
        self._settings = settings
        self._clock = clock
        self._random = random
        self._needed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._patience = 0.0
        self._attempts = 0
        self._tried = clock.monotonic()
        self._trying: asyncio.Future[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self, patience: float = 0.0) -> None:
        """Call while there is no link: after so many seconds, or when the last failure allows it."""
        if self._needed.is_set():
            return
        if self._clock.monotonic() - self._tried > self._settings.silence:
            self._attempts = 0  # the last link lasted
        self._patience = patience
        self._needed.set()
        if not self._attempts:
            self._trying = asyncio.get_running_loop().create_future()

    def hurry(self) -> None:
        """Wait no longer for the next attempt: something has changed."""
        self._attempts = 0
        self._hurry.set()

    def rest(self) -> None:
        """Call no more: there is a link."""
        self._needed.clear()
        self._hurry.set()
        self._tried = self._clock.monotonic()
        self._end_trying()

    async def tried(self) -> None:
        """Wait for the attempt that is under way, if there is one."""
        if self._trying is not None:
            await asyncio.wait([self._trying])

    @property
    def is_over(self) -> bool:
        """Whether its task has ended."""
        return self._task.done()

    async def close(self) -> None:
        """Call no more, ever."""
        self.stop()
        await asyncio.wait([self._task])

    def stop(self) -> None:
        """Call no more, ever; the task ends soon."""
        self._end_trying()
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self._needed.wait()
            await self._pause(self._delay())
            if self._needed.is_set():
                await self._attempt()

    async def _attempt(self) -> None:
        self._attempts += 1
        if self._trying is None:
            self._trying = asyncio.get_running_loop().create_future()
        try:
            await self._dial(self)
        finally:
            self._tried = self._clock.monotonic()
            self._end_trying()

    def _delay(self) -> float:
        if not self._attempts:
            return self._patience
        most = min(self._settings.backoff * 2.0 ** min(self._attempts - 1, 30), self._settings.backoff_most)
        return most * (0.5 + 0.5 * self._random.random())

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self._hurry.clear()
        timer = self._clock.call_at(self._clock.monotonic() + seconds, self._hurry.set)
        try:
            await self._hurry.wait()
        finally:
            timer.cancel()

    def _end_trying(self) -> None:
        trying, self._trying = self._trying, None
        if trying is not None and not trying.done():
            trying.set_result(None)
