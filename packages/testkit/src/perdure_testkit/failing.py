"""Which rules of a contract fail, for tests that hold it to what is broken: a plug-in of pytest, and its run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import hypothesis
import pytest

__all__ = ["failed_rules"]

_FOUND = "PERDURE_FAILED"
"""Names the file to which the plug-in writes."""
_CHOICE = "PERDURE_CHOICE"
"""Has the number of rules of which one runs, and by class the names of those that run always."""
_failed: dict[str, set[str]] = defaultdict(set)


def failed_rules(
    broken: Path, *arguments: str, always: Mapping[str, Iterable[str]] | None = None, one_of: int = 1
) -> dict[str, set[str]]:
    """Run a file of contracts on what is broken; return by class the rules that failed.

    It is run by itself, in a process of its own, with these `arguments` of pytest; a class without a failure is not in
    the answer. `always` has by class the rules that run; of the others one of so many as `one_of` runs, the same each
    time. Where nothing could be run, the assertion error has what pytest said.
    """
    choice = json.dumps([one_of, {name: [*rules] for name, rules in (always or {}).items()}])
    with TemporaryDirectory() as folder:
        found = Path(folder, "failed.json")
        path = os.pathsep.join([str(broken.parent), *sys.path])
        options = ("-q", "-p", __name__, "-p", "no:cacheprovider", "--tb=no", *arguments)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, broken.name],
            cwd=broken.parent,
            env={**os.environ, _FOUND: str(found), _CHOICE: choice, "PYTHONPATH": path},
            capture_output=True,
            check=False,
        )
        assert found.exists(), (done.stdout + done.stderr).decode()
        return {contract: set(rules) for contract, rules in json.loads(found.read_text()).items()}


def pytest_configure() -> None:
    """Let hypothesis look for no shorter history: one is enough to fail by."""
    hypothesis.settings.register_profile("found", phases=[hypothesis.Phase.generate], print_blob=False)
    hypothesis.settings.load_profile("found")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not chosen."""
    one_of, always = json.loads(os.environ[_CHOICE])
    chosen: list[pytest.Item] = []
    spared: list[pytest.Item] = []
    for item in items:
        contract, rule = _place(item.nodeid)
        runs = rule in always.get(contract, ()) or crc32(item.nodeid.encode()) % one_of == 0
        (chosen if runs else spared).append(item)
    config.hook.pytest_deselected(items=spared)
    items[:] = chosen


def _place(test: str) -> tuple[str, str]:
    """Return the class of a test, and its name without parameters."""
    *_, contract, name = test.partition("[")[0].split("::")
    return contract, name


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        contract, rule = _place(report.nodeid)
        _failed[contract].add(rule)


def pytest_sessionfinish() -> None:
    failed = {contract: sorted(rules) for contract, rules in _failed.items()}
    Path(os.environ[_FOUND]).write_text(json.dumps(failed))
