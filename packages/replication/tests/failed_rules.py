"""The plug-in of the run within a test: writes down by class which rules have failed."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

_failed: dict[str, list[str]] = defaultdict(list)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _, contract, rule = report.nodeid.split("::")
        _failed[contract].append(rule.partition("[")[0])


def pytest_sessionfinish() -> None:
    Path(os.environ["PERDURE_FAILED"]).write_text(json.dumps(_failed))
