"""The code of the README is code that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """Return the names that the section on actors defines."""
    section = README.partition("## An actor")[2]
    names: dict[str, Any] = {"__name__": __name__}
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.parametrize("name", re.findall(r"^async def (test_\w+)", README, re.MULTILINE))
async def test_what_the_readme_shows_passes(shown: dict[str, Any], name: str) -> None:
    """Each test that it shows passes."""
    await shown[name]()
