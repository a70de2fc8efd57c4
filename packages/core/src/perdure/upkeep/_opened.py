"""A store that is open for the time of some work, whether it was given open or by its URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from perdure._plugins import open_backend
from perdure.abc import Backend
from perdure.security import Keyring, Sealing, Vault, sealing_of
from perdure.snapshots import Archive, SnapshotStore, open_archive, open_snapshots


@asynccontextmanager
async def opened(store: str | Backend, *, create: bool = True) -> AsyncGenerator[Backend, None]:
    """Yield an open store; what is given by its URL is closed in the end. Raises what `open_backend` raises."""
    if isinstance(store, Backend):
        yield store
        return
    backend = await open_backend(store, create=create)
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def opened_to_read(
    store: str | Backend, sealing: Sealing | Keyring | None
) -> AsyncGenerator[tuple[Backend, Vault], None]:
    """Yield an open store, and what opens its records: none that is sealed, without a sealing.

    Raises what `open_backend` and `Vault.open` raise.
    """
    async with opened(store) as backend:
        vault = Vault(backend, sealing_of(sealing))
        if vault.sealing is not None:
            await vault.open()
        yield backend, vault


@asynccontextmanager
async def elsewhere(
    snapshots: str | SnapshotStore | None, archive: str | Archive | None
) -> AsyncGenerator[tuple[SnapshotStore | None, Archive | None], None]:
    """Yield where snapshots and old events are that are not in the store; what is given by its URL is closed."""
    async with AsyncExitStack() as others:
        if isinstance(snapshots, str):
            snapshots = await open_snapshots(snapshots)
            others.push_async_callback(snapshots.close)
        if isinstance(archive, str):
            archive = await open_archive(archive)
            others.push_async_callback(archive.close)
        yield snapshots, archive
