"""Where the rules get their stores from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeAlias

import pytest
import pytest_asyncio

from perdure import open_backend
from perdure.abc import Backend, Durability
from perdure_testkit._contract import _rival
from perdure_testkit._contract._claims import Claiming
from perdure_testkit._contract._rival import Rival

Reopen: TypeAlias = Callable[[], Awaitable[Backend]]
"""Closes the store and opens it again; as the fixture `another`, opens it once more beside the first."""

Launch: TypeAlias = Callable[..., Awaitable[Rival]]
"""Starts another process that has the store open, and does there what its arguments say."""


def overridden(fixture: Callable[..., Any]) -> Any:
    """Make a fixture, of a type that lets subclasses have one with other parameters in its place."""
    return pytest_asyncio.fixture(fixture)


class Stores(Claiming):
    """What a test class gives: the fixture `url`, or `backend` and perhaps `reopen` and `another`."""

    contract = "storage"

    program: ClassVar[str] = _rival.__file__
    """What `launch` runs in another process."""

    durability: Durability = "full"
    """What a `url` is opened with."""

    many: ClassVar[int] = 5_000
    """How many prefixes the rule about many of them takes; 100,000 is a full proof."""

    largest: ClassVar[int] = 16 * 1024 * 1024
    """The size in bytes up to which a value of the greatest size is tried."""

    patience: ClassVar[float] = 60.0
    """Seconds that something may take which ends at once in a store that works."""

    @overridden
    def url(self) -> str:
        """Return the URL of the store of this test, new and empty; a class that has a URL overrides this."""
        return pytest.fail(f"{type(self).__name__} needs in the class a fixture `backend`, or `url`")

    @overridden
    async def reopen(self, url: str) -> AsyncIterator[Reopen]:
        """Return what closes the store and opens it again."""
        async with AsyncExitStack() as opened:

            async def reopen() -> Backend:
                await opened.aclose()
                backend = await open_backend(url, durability=self.durability)
                opened.push_async_callback(backend.close)
                return backend

            yield reopen

    @overridden
    async def backend(self, reopen: Reopen) -> Backend:
        """Return the store of this test, open, new and empty; a class without a URL overrides this."""
        return await reopen()

    @overridden
    async def another(self, url: str) -> AsyncIterator[Reopen]:
        """Return what opens the store once more in this process, beside those that have it open."""
        async with AsyncExitStack() as opened:

            async def another() -> Backend:
                backend = await open_backend(url, durability=self.durability)
                opened.push_async_callback(backend.close)
                return backend

            yield another

    @overridden
    async def launch(self, url: str) -> AsyncIterator[Launch]:
        """Return what starts another process on the store."""
        async with AsyncExitStack() as launched:

            async def launch(*arguments: object) -> Rival:
                rival = await Rival.start(self.program, url, self.durability, *arguments)
                launched.push_async_callback(rival.bury)
                return rival

            yield launch


Stores._given = Stores
