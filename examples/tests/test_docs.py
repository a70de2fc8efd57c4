"""The pages of `docs/` say what happens: their code is run, and prints what the comments say."""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
WITHOUT_WHEELS = ("ray",)
"""What has no wheels for some of the Pythons here."""

PAGES = sorted(page for page in DOCS.glob("*.md") if "```python" in page.read_text())


def program(page: Path) -> str:
    """Return all Python of a page, each block where it stands, so that errors name the page's lines."""
    lines = []
    inside = False
    for line in page.read_text().splitlines():
        fence = line.startswith("```")
        lines.append("" if fence or not inside else line)
        inside = line.startswith("```python") if fence else inside
    return "\n".join(lines)


def modules(page: Path) -> dict[str, str]:
    """Return the blocks of a page that begin with the name of a file, by the names of the modules."""
    blocks = re.findall(r"```python\n(# (\w+)\.py\n.*?)```", page.read_text(), re.DOTALL)
    return {name: block for block, name in blocks}


async def run(source: str, page: Path) -> None:
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    names: dict[str, Any] = {"__name__": page.stem}
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result
    await asyncio.sleep(0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_prints_what_its_comments_say(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each `# -> text` is a line of output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)  # golden records are written where it is not set
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(logging.getLogger("perdure"), "handlers", [])  # a page may add its own
    for name, block in modules(page).items():
        (tmp_path / f"{name}.py").write_text(block)
        monkeypatch.setitem(sys.modules, name, sys)  # so that what is imported now is forgotten afterwards
        del sys.modules[name]
    source = program(page)

    try:
        asyncio.run(run(source, page))
    except ModuleNotFoundError as error:
        if error.name not in WITHOUT_WHEELS:
            raise
        pytest.skip(f"{error.name} is not installed")

    assert sorted(capsys.readouterr().out.splitlines()) == sorted(re.findall(r"# -> (.*)", source))
