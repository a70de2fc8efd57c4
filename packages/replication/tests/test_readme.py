"""The code of the README is code that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
PROGRAM, MERGED, CONTRACTS, TEST = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_program_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The node with the most memory."""
    exec(PROGRAM, {"__name__": __name__})

    assert capsys.readouterr().out == "oslo\n"


def test_two_editors_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """Both see what both have added."""
    exec(MERGED, {"__name__": __name__})

    assert capsys.readouterr().out == "['draft', 'urgent']\n"


def test_the_contracts_are_two_fixtures() -> None:
    """Nothing else is to be written."""
    names: dict[str, Any] = {"__name__": __name__}

    exec(CONTRACTS, names)

    assert {"TestMyTransport", "TestMyMembership"} <= set(names)


def test_the_test_passes() -> None:
    """In no time."""
    names: dict[str, Any] = {"__name__": __name__}
    exec(TEST, names)

    names["test_a_partition_heals"]()
