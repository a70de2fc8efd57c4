"""The storage contract, kept by RocksDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure_testkit import BackendContract


class TestRocksdbBackend(BackendContract):
    lacks = {  # noqa: RUF012  as the contract declares it
        "openers": "RocksDB lets one object write a folder; a second opener is refused",
        "processes": "RocksDB lets one process write a folder; a second opener is refused",
    }

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"rocksdb:///{tmp_path}/store"
