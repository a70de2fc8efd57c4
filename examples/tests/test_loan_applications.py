"""The loan applications end with the published figures, killed or not, and say what is wrong with a wrong file."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from examples import loan_applications
from examples.loan_applications import Activities, Application, Record, Recorded
from examples.tests.conftest import ROOT, Run

from perdure import ActorSystem, Rejected

DATA = ROOT.parent / "shared" / "data" / "bpic2012.csv.gz"
HEADER = "timestamp,case,activity,transition,resource,amount_req\n"
ROWS = (
    "2011-10-01T00:38:44.546Z,1,A_SUBMITTED,COMPLETE,112,20000\n"
    "2011-10-01T00:38:44.880Z,1,A_PARTLYSUBMITTED,COMPLETE,,20000\n"
    "2011-10-01T00:39:00.000Z,2,A_SUBMITTED,COMPLETE,112,500\n"
)
PUBLISHED = {
    "events": "262,200",
    "cases": "13,087",
    "cases with A_SUBMITTED": "13,087",
    "cases with A_PARTLYSUBMITTED": "13,087",
    "A_DECLINED": "7,635",
    "A_CANCELLED": "2,807",
    "A_APPROVED": "2,246",
    "O_SENT": "7,030",
    "O_ACCEPTED": "2,243",
}


def table(output: str) -> dict[str, str]:
    """Return the table at the end of a run."""
    lines = output.partition("\n\n")[2].splitlines()
    return {line[:30].strip(): line[30:].strip() for line in lines}


def recorded_before(output: str) -> int:
    """Return how many rows a run found in the store, as its last line of progress says."""
    [progress] = [line for line in output.splitlines() if line.startswith("262,200 rows")]
    return int(progress.split()[2].replace(",", ""))


def zipped(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


@pytest.mark.skipif(not DATA.exists(), reason=f"the event log is not there: {DATA}")
def test_a_run_that_was_killed_goes_on_and_ends_with_the_published_figures(run: Run, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/loans.db"
    command = [sys.executable, str(ROOT / "examples" / "loan_applications.py"), str(DATA), "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line.split()[0].replace(b",", b"")) > 50_000:
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL

    done = run("loan_applications.py", DATA, "--store", store)

    assert (done.returncode, done.stderr) == (0, "")
    assert table(done.stdout) == PUBLISHED
    assert recorded_before(done.stdout) > 50_000
    assert done.stdout.replace("\n", "").isprintable()


def test_a_second_run_records_nothing_again(run: Run, tmp_path: Path) -> None:
    file = zipped(tmp_path / "small.csv.gz", HEADER + ROWS)
    first = run("loan_applications.py", file)

    second = run("loan_applications.py", file)

    assert "3 rows, 3 of them recorded before" in second.stdout
    assert table(second.stdout) == table(first.stdout)
    assert table(second.stdout)["events"] == "3"
    assert (tmp_path / "loans.db").exists()


@pytest.fixture
def recorded(tmp_path: Path) -> list[Recorded]:
    """Two rows of one application."""
    file = zipped(tmp_path / "two.csv.gz", HEADER + ROWS)
    return [row for case, row in loan_applications.rows(file) if case == "1"]


async def test_rows_that_come_again_are_passed_over(recorded: list[Recorded]) -> None:
    async with ActorSystem() as system:
        application = system.ref(Application, "1")

        assert await application.ask(Record(0, recorded[:1])) == 1
        assert await application.ask(Record(0, recorded)) == 1
        assert await application.ask(Record(0, recorded)) == 0
        assert await application.ask(Activities()) == {"A_SUBMITTED": 1, "A_PARTLYSUBMITTED": 1}


async def test_a_gap_in_the_rows_is_refused(recorded: list[Recorded]) -> None:
    async with ActorSystem() as system:
        with pytest.raises(Rejected, match="application 1: row 3 came before row 0"):
            await system.ref(Application, "1").ask(Record(3, recorded))


WRONG = {
    "absent": (None, "No such file or directory"),
    "not gzip": (b"timestamp,case\n", "Not a gzipped file"),
    "cut off": (gzip.compress((HEADER + ROWS * 1000).encode())[:-9], "near line"),
    "empty": (gzip.compress(b""), "the columns are None"),
    "other columns": (gzip.compress(b"when,what\n1,2\n"), "the columns are ['when', 'what'], and should be"),
    "short row": (gzip.compress((HEADER + "2011-10-01T00:00:00Z,1\n").encode()), "near line 2: Expected `str`"),
    "no number": (gzip.compress((HEADER + ROWS.replace("500", "much")).encode()), "near line 4: Expected `int`"),
    "no date": (gzip.compress((HEADER + ROWS.replace("2011", "soon")).encode()), "near line 2: Invalid RFC3339"),
    "no text": (gzip.compress(HEADER.encode() + b"\xff\xfe\n"), "can't decode byte 0xff"),
    "no case": (gzip.compress((HEADER + ROWS.replace(",2,", ",,")).encode()), "invalid key ''"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_named_with_the_reason_in_one_line(
    run: Run, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "wrong.csv.gz"
    if content is not None:
        file.write_bytes(content)

    done = run("loan_applications.py", file)

    assert done.returncode == 2
    assert done.stderr.startswith("loan_applications.py: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_file_leaves_no_store_behind(run: Run, tmp_path: Path) -> None:
    run("loan_applications.py", tmp_path / "absent.csv.gz")

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_is_answered_with_the_installed_ones(run: Run, tmp_path: Path) -> None:
    file = zipped(tmp_path / "small.csv.gz", HEADER + ROWS)

    done = run("loan_applications.py", file, "--store", "parchment:///loans")

    assert done.returncode == 2
    assert done.stderr.startswith("loan_applications.py: no backend for 'parchment'; installed: ")
    assert done.stderr.count("\n") == 1


def test_a_folder_in_place_of_the_store_is_named(run: Run, tmp_path: Path) -> None:
    file = zipped(tmp_path / "small.csv.gz", HEADER + ROWS)

    done = run("loan_applications.py", file, "--store", f"sqlite:///{tmp_path}")

    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1
