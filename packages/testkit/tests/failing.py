"""A plug-in for the run of `broken.py`: write which rules fail, and let hypothesis look for no shorter history."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("found", phases=[hypothesis.Phase.generate], print_blob=False)
hypothesis.settings.load_profile("found")

_failed: dict[str, set[str]] = defaultdict(set)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _, contract, rule = report.nodeid.split("::")
        _failed[contract].add(rule.partition("[")[0])


def pytest_sessionfinish() -> None:
    failed = {contract: sorted(rules) for contract, rules in _failed.items()}
    Path(os.environ["PERDURE_FAILED"]).write_text(json.dumps(failed))
