"""The contract of sealing catches sealings that break it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdure_testkit import SealingContract
from perdure_testkit._contract._claims import rules_of
from perdure_testkit.failing import failed_rules

BROKEN = {
    "TestPlain": "test_nothing_that_is_sealed_shows",
    "TestAcceptingPlaintext": "test_no_changed_event_is_believed test_no_changed_durable_state_is_believed",
    "TestPlaceless": "test_no_event_is_believed_in_the_place_of_another test_a_changed_snapshot_is_left_aside",
    "TestUnheaded": "test_no_changed_event_is_believed test_no_changed_event_is_found",
    "TestTellingNames": "test_nothing_that_is_sealed_shows",
    "TestNotLooking": "test_nothing_that_is_sealed_shows",
}
"""Of each class of `broken_sealing.py` rules that must fail."""


@pytest.fixture(scope="module")
def failed() -> dict[str, set[str]]:
    """Run a part of the contract on each broken sealing; return by class the rules that failed."""
    always = {contract: rules.split() for contract, rules in BROKEN.items()}
    return failed_rules(Path(__file__).with_name("broken_sealing.py"), always=always, one_of=5)


@pytest.mark.parametrize("contract", BROKEN)
def test_a_broken_sealing_fails_by_the_rules_of_the_matter(contract: str, failed: dict[str, set[str]]) -> None:
    """A sealing that is broken in one way fails by the rules of it."""
    assert set(BROKEN[contract].split()) <= failed[contract]


def test_only_what_is_broken_fails(failed: dict[str, set[str]]) -> None:
    """Sealing as it is fails by no rule."""
    assert failed.keys() == BROKEN.keys()


def test_every_rule_is_a_sentence() -> None:
    """Each test of the contract says its rule in a docstring, and then which ids it covers."""
    sentence = re.compile(r"[A-Z][^\n]*[^.\n]( \([^)]+\)\.|\.)")

    rules = dict(rules_of(SealingContract))

    assert [name for name, rule in rules.items() if sentence.fullmatch(rule.__doc__ or "") is None] == []
