"""An example runs on each backend: nothing changes but the URL."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from examples.tests.conftest import ROOT, Run
from examples.tests.test_loan_applications import HEADER, ROWS, table, zipped

ROWS_OF_MANY = 150_000


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


def test_the_loan_applications_are_killed_and_go_on(run: Run, tmp_path: Path, store: str) -> None:
    row = "2011-10-01T00:38:44.546Z,{},A_SUBMITTED,COMPLETE,112,20000\n"
    file = zipped(
        tmp_path / "many.csv.gz", HEADER + "".join(row.format(number % 300) for number in range(ROWS_OF_MANY))
    )
    command = [sys.executable, str(ROOT / "examples" / "loan_applications.py"), str(file), "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=tmp_path) as process:
        assert process.stdout is not None
        told = rows_in(process.stdout.readline())  # after a second, of several
        process.kill()
    assert process.returncode == -signal.SIGKILL

    done = run("loan_applications.py", file, "--store", store)

    assert (done.returncode, done.stderr) == (0, "")
    *_, progress = (line for line in done.stdout.splitlines() if line.startswith(f"{ROWS_OF_MANY:,} rows"))
    assert told <= rows_in(progress.partition("rows, ")[2])
    assert table(done.stdout)["events"] == f"{ROWS_OF_MANY:,}"


def rows_in(line: str) -> int:
    """Return the number that a line begins with."""
    return int(line.split()[0].replace(",", ""))
