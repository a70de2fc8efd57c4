"""Finding and opening snapshot stores by URL."""

from __future__ import annotations

from collections.abc import Awaitable

from perdure._plugins import Door, hint_for, installed_backends, open_backend, scheme_of
from perdure.errors import UnknownBackend
from perdure.snapshots._collections import CollectionSnapshots
from perdure.snapshots._store import SnapshotStore


class SnapshotHooks:
    """What a plug-in module of the group `perdure.snapshots` implements, marked as backends' hooks are."""

    def perdure_open_snapshots(self, url: str) -> Awaitable[SnapshotStore]:
        """Open the snapshot store that `url` names. Raises `CreateStoreError` naming the place and the reason."""
        raise NotImplementedError


SNAPSHOT_STORES = Door("snapshot store", "perdure.snapshots", SnapshotHooks, SnapshotHooks.perdure_open_snapshots)


async def open_snapshots(url: str) -> SnapshotStore:
    """Open the snapshot store that serves the URL's scheme; one of a backend is a backend of its own.

    Raises `UnknownBackend` naming what is installed and what to install, `BrokenPlugin` naming the distribution that
    fails, `CreateStoreError` when the store itself cannot be opened.
    """
    scheme = scheme_of(url, "s3://bucket/prefix or file:///var/lib/snapshots")
    entry = SNAPSHOT_STORES.find(scheme)
    if entry is not None:
        store: SnapshotStore = await SNAPSHOT_STORES.open(entry, url=url)
        return store
    if scheme in installed_backends():
        return CollectionSnapshots(await open_backend(url), owned=True)
    installed = tuple(sorted({*SNAPSHOT_STORES.installed(), *installed_backends()}))
    raise UnknownBackend(scheme, installed, hint_for(scheme), "snapshot store")
