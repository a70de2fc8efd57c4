"""The page of promises names tests that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from examples.tests.conftest import ROOT

PAGE = ROOT / "docs" / "guarantees.md"


def all_tests() -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each test, rule and class of tests."""
    for path in [
        *ROOT.glob("packages/*/tests/**/*.py"),
        *ROOT.glob("packages/testkit/src/**/*.py"),
        *ROOT.glob("examples/tests/*.py"),
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield path.stem, node.name


def test_every_test_that_holds_a_promise_is_there() -> None:
    """Each is named by its module and its own name."""
    named = re.findall(r"`(\w+)::(\w+)`", PAGE.read_text())

    assert len(named) >= 25
    assert sorted(set(named) - set(all_tests())) == []


def test_every_promise_is_held_by_a_test() -> None:
    """Each row of a table names one at least."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "| held by |" not in line]

    assert [row for row in rows if "::" not in row] == []
