"""The storage contract, kept by RocksDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure import open_backend
from perdure.abc import Backend
from perdure_testkit import BackendContract, Reopen


class TestRocksdbBackend(BackendContract):
    @pytest.fixture
    async def reopen(self, tmp_path: Path) -> AsyncIterator[Reopen]:
        opened: list[Backend] = []

        async def reopen() -> Backend:
            for backend in opened:
                await backend.close()
            opened.append(await open_backend(f"rocksdb:///{tmp_path}/store"))
            return opened[-1]

        yield reopen
        for backend in opened:
            await backend.close()

    @pytest.fixture
    async def backend(self, reopen: Reopen) -> Backend:
        return await reopen()
