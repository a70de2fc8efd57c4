"""The snapshot contract, kept by each store and by each behind the cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from perdure import open_backend
from perdure.snapshots import CachedSnapshots, CollectionSnapshots, SnapshotStore, open_snapshots
from perdure_testkit import ReopenSnapshots, SnapshotContract

from .s3 import Server, s3_server  # noqa: F401


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


class TestObjectsInMemory(Opened):
    __test__ = True

    async def opened(self, folder: Path) -> SnapshotStore:
        return await open_snapshots(f"memory://{folder.name}/some/prefix")


class TestObjectsInFiles(Opened):
    __test__ = True

    async def opened(self, folder: Path) -> SnapshotStore:
        return await open_snapshots(f"file://{folder}/to/be/made")


class TestObjectsInS3(Opened):
    """Over HTTP, in a server of this machine."""

    __test__ = True
    ids = SnapshotContract.ids[::9]
    turns = 3
    many = 50

    @pytest.fixture(autouse=True)
    def _server(self, s3_server: Server) -> None:  # noqa: F811
        self.server = s3_server

    async def opened(self, folder: Path) -> SnapshotStore:
        return await open_snapshots(self.server.url(folder.name))


class TestCachedMemoryCollections(TestMemoryCollections):
    many = 200

    async def opened(self, folder: Path) -> SnapshotStore:
        return CachedSnapshots(await super().opened(folder))


class TestCachedSqliteCollections(TestSqliteCollections):
    many = 200

    async def opened(self, folder: Path) -> SnapshotStore:
        return CachedSnapshots(await super().opened(folder))


class TestCachedObjectsInFiles(TestObjectsInFiles):
    many = 200

    async def opened(self, folder: Path) -> SnapshotStore:
        return CachedSnapshots(await super().opened(folder))
