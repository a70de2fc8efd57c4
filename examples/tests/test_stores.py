"""An example runs on each backend: nothing changes but the URL."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples.tests.conftest import Run
from examples.tests.test_loan_applications import HEADER, ROWS, table, zipped

STORES = {"sqlite": "sqlite:///store.db", "rocksdb": "rocksdb:///store"}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(f"perdure_{request.param}")
    return STORES[request.param]


def test_the_ledger_is_killed_and_loses_nothing(run: Run, store: str) -> None:
    done = run("ledger.py", "--rounds", 1, "--seconds", 1, "--accounts", 50, "--seed", 3, "--store", store)

    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: 1 kills" in done.stdout


def test_the_loan_applications_are_recorded_once(run: Run, tmp_path: Path, store: str) -> None:
    file = zipped(tmp_path / "small.csv.gz", HEADER + ROWS)
    first = run("loan_applications.py", file, "--store", store)

    second = run("loan_applications.py", file, "--store", store)

    assert (second.returncode, second.stderr) == (0, "")
    assert "3 rows, 3 of them recorded before" in second.stdout
    assert table(second.stdout) == table(first.stdout)
