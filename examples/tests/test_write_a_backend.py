"""The guide to writing a backend quotes what is there: the example's files, and the contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from examples.tests.conftest import ROOT

PAGE = ROOT / "docs" / "write-a-backend.md"
TEXT = PAGE.read_text()
CONTRACT = ROOT / "packages" / "core" / "src" / "perdure" / "abc.py"


def quotes() -> list[tuple[str, Path, str]]:
    """Return the title, file and code of each quotation: it is from the file that was linked last before it."""
    found = []
    for block in re.finditer(r"```(?:py|toml)\n(.*?)```", TEXT, re.DOTALL):
        link = re.findall(r"rom\s+\[`[^`]+`\]\(([^)]+)\)", TEXT[: block.start()])[-1]
        file = (PAGE.parent / link).resolve()
        found.append((f"{file.name}: {block[1].split(chr(10))[0].strip()}", file, block[1]))
    return found


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("file", "code"), [quote[1:] for quote in quotes()], ids=[quote[0] for quote in quotes()])
def test_code_is_quoted_as_it_is(file: Path, code: str) -> None:
    """Each block of code stands in the file that the page names, line by line."""
    assert f"\n{code}" in f"\n{file.read_text()}"


@pytest.mark.parametrize(
    "promise",
    [
        *re.findall(r'^\| `\w+` \| "(.+)" \|$', TEXT, re.MULTILINE),
        *(re.sub(r"^> ", "", quote, flags=re.MULTILINE) for quote in re.findall(r"(?:^> .*\n)+", TEXT, re.MULTILINE)),
    ],
)
def test_promises_are_in_the_words_of_the_contract(promise: str) -> None:
    """Each promise stands in `perdure.abc`."""
    assert words(promise) in words(CONTRACT.read_text())


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)", TEXT))
def test_links_lead_somewhere(link: str) -> None:
    """Each file that the page names is there."""
    assert (PAGE.parent / link).exists()
