"""The contracts of storage and of actors, kept by a file of JSON lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure_testkit import ActorContract, BackendContract


class TestJsonlBackend(BackendContract):
    lacks = {  # noqa: RUF012  as the contract declares it
        "openers": "it locks its file; a second opener is refused",
        "processes": "it locks its file; a second opener is refused",
    }

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"jsonl:///{tmp_path}/store.jsonl"


class TestActors(ActorContract):
    lacks = TestJsonlBackend.lacks

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"jsonl:///{tmp_path}/store.jsonl"
