"""The contract of runtimes catches what breaks it, and says what a runtime is to do."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from perdure_replication.testing import ActorRuntimeContract
from perdure_testkit.failing import failed_rules

from . import broken_runtimes

PAGE = Path(__file__).parents[4] / "docs" / "runtimes.md"
RULES = {name: rule for name, rule in inspect.getmembers(ActorRuntimeContract) if name.startswith("test_")}
KINDS = {name: kind for name, kind in vars(broken_runtimes).items() if getattr(kind, "fails", "")}


@pytest.fixture(scope="module")
def failed() -> dict[str, set[str]]:
    """Run the contract on what is broken; return by class the rules that failed."""
    return failed_rules(Path(__file__).with_name("broken_runtimes.py"))


@pytest.mark.parametrize("contract", KINDS)
def test_what_is_broken_fails_by_the_rules_of_the_matter(contract: str, failed: dict[str, set[str]]) -> None:
    """A runtime that is broken in one way fails by the rules of it."""
    assert set(KINDS[contract].fails.split()) <= failed.get(contract, set())


@pytest.mark.parametrize("contract", [name for name, kind in KINDS.items() if kind.alone])
def test_what_is_broken_fails_by_no_other_rule(contract: str, failed: dict[str, set[str]]) -> None:
    """What is broken in one matter passes the rules of all others."""
    assert failed.get(contract) == set(KINDS[contract].fails.split())


def test_only_what_is_broken_fails(failed: dict[str, set[str]]) -> None:
    """The runtime that the broken ones are made of fails by no rule."""
    assert failed.keys() == KINDS.keys()


def test_every_rule_is_a_sentence() -> None:
    """Each test of the contract says its rule in a docstring."""
    sentence = re.compile(r"[A-Z`][^\n]*[^\n]\.")

    assert len(RULES) >= 40
    assert [name for name, rule in RULES.items() if sentence.fullmatch(rule.__doc__ or "") is None] == []


def test_the_page_names_for_each_id_the_rules_that_say_so() -> None:
    """Those whose docstrings end with it; and no other rule is named there than there is."""
    rules = {name: rule.__doc__ or "" for name, rule in RULES.items()}
    rows = dict(re.findall(r"^\| ((?:ADAPT)-\d+) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE))

    said = {number: sorted(name for name, text in rules.items() if number in text) for number in rows}
    assert len(rows) == 8
    assert {number: sorted(re.findall(r"`(test_\w+)`", row)) for number, row in rows.items()} == said
    assert set(re.findall(r"`(test_\w+)`", PAGE.read_text())) <= rules.keys()
