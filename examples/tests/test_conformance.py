"""What the documentation says of the lines of event-sourced persistence, the tests of the packages say too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs" / "conformance.md").read_text().partition("## The lines of event-sourced persistence")[2]
ROWS = dict(re.findall(r"^\| ATS-(\d+) \| (.+) \|$", SECTION, re.MULTILINE))
REPLICATED = (ROOT / "docs" / "conformance.md").read_text().partition("## The lines of replicated state")[2]
SEALED = dict(re.findall(r"^\| (AVE-\d+|W-\d+) \| (.+) \|$", SECTION, re.MULTILINE))
ABSENT = {5, 19, 34, 62, 103, 107, 128}


@cache
def all_tests() -> list[tuple[str, str]]:
    """Return the name, as the table has it, and the docstring of each test."""
    tests = [(path, (path.stem,)) for path in ROOT.glob("packages/*/tests/test_*.py")]
    rules = [(path, None) for path in ROOT.glob("packages/testkit/src/perdure_testkit/_contract/*.py")]
    return [test for path, place in (*tests, *rules) for test in those_in(ast.parse(path.read_text()), place)]


def docstrings_of_replication() -> Iterator[str]:
    """Yield what tests and rules of replicated state say."""
    folder = ROOT / "packages" / "replication"
    paths = [*folder.glob("tests/**/*.py"), *folder.glob("src/*/testing/**/*.py"), *ROOT.glob("examples/tests/*.py")]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                yield ast.get_docstring(node) or ""


def numbered(text: str) -> set[str]:
    """Return the ids that a text names, those within its ranges too."""
    ids = set(re.findall(r"\b[A-Z][A-Z0-9]+-F?\d\d[ab]?\b", text))
    for family, first, last in re.findall(r"\b([A-Z][A-Z0-9]+)-(\d\d) to (?:[A-Z0-9]+-)?(\d\d)\b", text):
        ids.update(f"{family}-{number:02}" for number in range(int(first), int(last) + 1))
    return ids


def those_in(node: ast.Module | ast.ClassDef, place: tuple[str, ...] | None) -> Iterator[tuple[str, str]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from those_in(child, place and (*place, child.name))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name.startswith("test_"):
            yield "::".join((*(place or ()), child.name)), ast.get_docstring(child) or ""


def test_every_line_is_answered() -> None:
    """Each id has a row, and in it a test or a reason."""
    assert [*map(int, ROWS)] == [number for number in range(1, 137) if number not in ABSENT]
    assert all(ROWS.values())


def test_the_tests_that_the_tables_name_exist() -> None:
    """A renamed test is renamed there, too."""
    named = set(re.findall(r"`((?:\w+::)*test_\w+)`", SECTION))

    assert named - {name for name, _ in all_tests()} == set()


def test_tests_and_table_agree() -> None:
    """Each id that a docstring names has the test in its row."""
    said = {(number, name) for name, docstring in all_tests() for number in re.findall(r"ATS-(\d+)", docstring)}

    assert [(number, name) for number, name in sorted(said) if f"`{name}`" not in ROWS[number]] == []


def test_tests_and_the_table_of_sealing_agree() -> None:
    """Each id of that table has the tests in its row that name it, and one at least."""
    said = {id: {name for name, docstring in all_tests() if re.search(rf"{id}\b", docstring)} for id in SEALED}

    assert len(SEALED) == 9
    assert {id: set(re.findall(r"`([\w:]+)`", row)) for id, row in SEALED.items()} == said
    assert all(said.values())


def test_every_line_of_replicated_state_is_held() -> None:
    """A test names it, or there is a reason."""
    planned, _, reasons = REPLICATED.partition("| id | why not |")
    said = set[str]().union(*map(numbered, docstrings_of_replication()))

    assert len(numbered(planned)) > 250
    assert numbered(planned) - said - set(re.findall(r"^\| ([A-Z0-9-]+) \|", reasons, re.MULTILINE)) == set()
