"""The snapshot contract, kept by each store and by each behind the cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from perdure import open_backend
from perdure.snapshots import CachedSnapshots, CollectionSnapshots, SnapshotStore
from perdure_testkit import ReopenSnapshots, SnapshotContract


class Opened(SnapshotContract):
    """The contract on a store that `opened` opens, as often as it is asked."""

    __test__ = False

    @pytest.fixture
    async def reopen(self, tmp_path: Path) -> AsyncIterator[ReopenSnapshots]:
        async with AsyncExitStack() as stack:

            async def reopen() -> SnapshotStore:
                await stack.aclose()
                store = await self.opened(tmp_path)
                stack.push_async_callback(store.close)
                return store

            yield reopen

    @pytest.fixture
    async def snapshots(self, reopen: ReopenSnapshots) -> SnapshotStore:
        return await reopen()

    async def opened(self, folder: Path) -> SnapshotStore:
        raise NotImplementedError


class TestMemoryCollections(Opened):
    __test__ = True

    async def opened(self, folder: Path) -> SnapshotStore:
        return CollectionSnapshots(await open_backend(f"memory://{folder.name}"), owned=True)


class TestSqliteCollections(Opened):
    __test__ = True

    async def opened(self, folder: Path) -> SnapshotStore:
        return CollectionSnapshots(await open_backend(f"sqlite:///{folder}/snapshots.db"), owned=True)


class TestCachedMemoryCollections(TestMemoryCollections):
    async def opened(self, folder: Path) -> SnapshotStore:
        return CachedSnapshots(await super().opened(folder))


class TestCachedSqliteCollections(TestSqliteCollections):
    async def opened(self, folder: Path) -> SnapshotStore:
        return CachedSnapshots(await super().opened(folder))
