"""What the documentation says of the lines of event-sourced persistence, the tests of the packages say too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs" / "conformance.md").read_text().partition("## The lines of event-sourced persistence")[2]
ROWS = dict(re.findall(r"^\| ATS-(\d+) \| (.+) \|$", SECTION, re.MULTILINE))
SEALED = dict(re.findall(r"^\| (AVE-\d+|W-\d+) \| (.+) \|$", SECTION, re.MULTILINE))
ABSENT = {5, 19, 34, 62, 103, 107, 128}


def all_tests() -> Iterator[tuple[str, str]]:
    """Yield the name, as the table has it, and the docstring of each test."""
    for path in ROOT.glob("packages/*/tests/test_*.py"):
        yield from those_in(ast.parse(path.read_text()), (path.stem,))
    for path in ROOT.glob("packages/testkit/src/perdure_testkit/_contract/*.py"):
        yield from those_in(ast.parse(path.read_text()), None)


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
