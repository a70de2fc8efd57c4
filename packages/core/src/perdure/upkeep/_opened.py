"""A store that is open for the time of some work, whether it was given open or by its URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from perdure._plugins import open_backend
from perdure.abc import Backend


@asynccontextmanager
async def opened(store: str | Backend) -> AsyncGenerator[Backend, None]:
    """Yield an open store; what is given by its URL is closed in the end. Raises what `open_backend` raises."""
    if isinstance(store, Backend):
        yield store
        return
    backend = await open_backend(store)
    try:
        yield backend
    finally:
        await backend.close()
