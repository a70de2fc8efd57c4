"""What the end of a run says of a backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perdure_testkit._contract import BackendContract
from perdure_testkit._contract._claims import rules_of
from perdure_testkit._summary import Proof

RULES = {name for name, _ in rules_of(BackendContract)}
ONE, *OTHERS = sorted(RULES)


def proof_of(rules: list[str]) -> Proof:
    proof = Proof("storage", "mine")
    for rule in rules:
        proof.add(rule, "passed", "setup")
        proof.add(rule, "passed", "call")
    return proof


def test_complete_is_said_of_all_rules() -> None:
    """A backend of which every rule has passed is complete."""
    assert list(proof_of([ONE, *OTHERS]).lines()) == [f"mine: complete: {len(RULES)} of {len(RULES)} rules proved"]


def test_a_rule_that_was_not_run_is_named() -> None:
    """A backend of which one rule was not run is partial, and the rule is named."""
    verdict, *rest = proof_of(OTHERS).lines()

    assert "partial" in verdict
    assert rest == ["  not run (skipped, deselected or removed):", f"    {ONE}"]


@pytest.mark.parametrize("how", ["skipped", "deselected", "unclaimed"])
def test_a_case_that_was_not_run_makes_a_rule_unproved(how: str) -> None:
    """A rule of which some cases have passed and one was not run is not proved."""
    proof = proof_of([ONE, *OTHERS])

    if how == "deselected":
        proof.left_out(ONE)
    else:
        proof.add(ONE, "skipped", "setup", *(("feed", "it has none") if how == "unclaimed" else ()))

    assert ONE not in proof.proved
    assert "partial" in next(proof.lines())


def test_what_is_not_claimed_is_named_with_its_reason_and_its_rules() -> None:
    """A claim that is not made is named, with why, and with the rules that were not run for it."""
    proof = proof_of(OTHERS)
    proof.add(ONE, "skipped", "setup", "feed", "it has none")

    _, claim, rules = proof.lines()

    assert claim == "  not claimed: feed (that it has a feed), because it has none; not run for it:"
    assert rules == f"    {ONE}"


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_a_failure_is_a_failure_wherever_it_is(when: str) -> None:
    """A rule that failed in any phase has failed, and so has the backend."""
    proof = proof_of([ONE, *OTHERS])

    proof.add(ONE, "failed", when)

    verdict, *rest = proof.lines()
    assert "FAILED" in verdict
    assert rest == ["  failed:", f"    {ONE}"]


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in another folder, where no configuration is."""
    command = [sys.executable, "-m", "pytest", "-p", "_perdure_testkit", "-p", "no:cacheprovider", "-q", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_url_is_all_that_it_takes(tmp_path: Path) -> None:
    """In an empty folder the URL of a backend proves it, and the summary says how far."""
    told = ("--backend", "memory://{unique}", "--lacks", "processes=it is in one process", "--lacks", "kills")

    done = pytest_in(tmp_path, "--pyargs", "perdure_testkit.conformance", *told, "-k", "state or kill")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "perdure_testkit.conformance.TestBackend: partial: " in done.stdout
    assert "not claimed: kills" in done.stdout
    assert "not run (skipped, deselected or removed):" in done.stdout


@pytest.mark.parametrize("url", [(), ("--backend", "sqlite:///one.db")])
def test_a_store_for_all_tests_is_refused(tmp_path: Path, url: tuple[str, ...]) -> None:
    """Without a URL, or with one that is the same for each test, it says what to give."""
    done = pytest_in(tmp_path, "--pyargs", "perdure_testkit.conformance", *url)

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "each test needs a store of its own: give --backend URL" in done.stderr


def test_other_runs_have_no_such_options(tmp_path: Path) -> None:
    """Where no suite of this package is run by name, `--backend` is nobody's, or another plug-in's."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--backend', default='own')\n"
    )
    (tmp_path / "test_own.py").write_text(
        "def test_own(request): assert request.config.getoption('--backend') == 'x'\n"
    )

    done = pytest_in(tmp_path, "--backend", "x")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "storage contract" not in done.stdout
