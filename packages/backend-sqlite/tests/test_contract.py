"""The storage contract, kept by SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure_testkit import BackendContract


class TestSqliteBackend(BackendContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/store.db"


class TestRelaxedSqliteBackend(TestSqliteBackend):
    durability = "relaxed"
