"""What a thief of the folder sees of sealed actors, and what becomes of them when somebody changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure_testkit import Raw, SealingContract


class TestSealedOnDisk(SealingContract):
    """The write-ahead log, the sorted files, and what RocksDB notes of itself."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"rocksdb:///{tmp_path}/store"

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Raw:
        return lambda: [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
