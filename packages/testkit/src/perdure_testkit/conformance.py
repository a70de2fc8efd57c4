"""The contracts of storage and of actors on any backend: `pytest --pyargs perdure_testkit.conformance --backend URL`.

In the URL `{tmp}` stands for a new folder for each test, `{unique}` for a new name: `sqlite:///{tmp}/store.db`,
`redis://localhost/0?namespace={unique}`. `--lacks CLAIM=REASON` for each claim that the backend does not make,
`--durability relaxed`, and `--full` for the greatest sizes. `-k TestBackend` or `-k TestActors` runs one of the two.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure_testkit._contract import CLAIMS, ActorContract, BackendContract
from perdure_testkit._contract._stores import Stores
from perdure_testkit._given import url_of

__all__ = ["TestActors", "TestBackend"]


class _Told(Stores):
    """The store that the command line names."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _as_told(cls, request: pytest.FixtureRequest) -> None:
        told = dict(_split(lack) for lack in request.config.getoption("--lacks"))
        if unknown := told.keys() - CLAIMS.keys():
            raise pytest.UsageError(f"no claim {', '.join(sorted(unknown))}; there are {', '.join(CLAIMS)}")
        cls.lacks = told  # type: ignore[assignment]
        cls.durability = request.config.getoption("--durability")
        if request.config.getoption("--full"):
            cls.many, cls.largest = 100_000, 1 << 40

    @pytest.fixture
    def url(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        """Return the URL of a new store."""
        return url_of(request.config.getoption("--backend"), tmp_path)


class TestBackend(_Told, BackendContract):
    """The backend that the command line names."""


class TestActors(_Told, ActorContract):
    """Actors on the backend that the command line names."""


def _split(lack: str) -> tuple[str, str]:
    claim, _, reason = lack.partition("=")
    return claim, reason or "the command line says so"
