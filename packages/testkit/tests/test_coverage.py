"""What the documentation says that the contract covers, it covers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdure_testkit import BackendContract, SealingContract
from perdure_testkit._contract._claims import rules_of

TABLE = Path(__file__).parents[3] / "docs" / "conformance.md"
LENGTHS = {"TCK-J": 22, "TCK-S": 13, "TCK-D": 10, "TCK-P": 3, "ORL-": 21, "GAP-": 32}

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="the documentation is not in this distribution")


def rows() -> dict[str, str]:
    return dict(re.findall(r"^\| ((?:TCK|ORL|GAP)-\w+) \| (.+) \|$", TABLE.read_text(), re.MULTILINE))


def test_every_line_of_the_checklist_is_answered() -> None:
    """Each id has a row, and in it a rule or a reason."""
    expected = [f"{kind}{number:02}" for kind, length in LENGTHS.items() for number in range(1, length + 1)]

    assert list(rows()) == expected
    assert all(rows().values())


def test_the_rules_that_the_table_names_exist() -> None:
    """Each test that a row names is a rule of a contract."""
    rules = {name for contract in (BackendContract, SealingContract) for name, _ in rules_of(contract)}

    assert {name for row in rows().values() for name in re.findall(r"`(test_\w+)`", row)} <= rules


def test_rules_and_table_agree() -> None:
    """Each id that the docstring of a rule ends with has the rule in its row."""
    said = {
        (id, name)
        for contract in (BackendContract, SealingContract)
        for name, rule in rules_of(contract)
        for id in re.findall(r"(?:TCK-[JSDP]|ORL-|GAP-)\d\d", rule.__doc__ or "")
    }

    assert [(id, name) for id, name in sorted(said) if f"`{name}`" not in rows()[id]] == []
