"""The contract of actors catches backends on which they lose what they promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdure_testkit import ActorContract
from perdure_testkit._contract._claims import rules_of
from perdure_testkit.failing import failed_rules

BROKEN = {
    "TestForgetful": "test_a_second_program_finds_the_state_of_the_first "
    "test_numbers_go_on_after_compaction_and_restart",
    "TestForking": "test_two_systems_never_fork_a_log test_two_systems_never_lose_a_durable_state "
    "test_who_was_superseded_is_refused_before_it_writes",
    "TestNormalising": "test_keys_are_data",
    "TestGoingOn": "test_a_store_closed_under_a_running_actor_is_named",
    "TestLosingAGroup": "test_actors_that_write_at_once_share_commits",
    "TestUnsynced": "test_after_a_kill_every_acknowledged_event_is_there_once "
    "test_after_a_kill_every_durable_state_is_an_acknowledged_one_or_the_next",
}
"""Of each class of `broken_actors.py` the rules that must fail."""


@pytest.fixture(scope="module")
def failed() -> dict[str, set[str]]:
    """Run a part of the contract on each broken backend; return by class the rules that failed."""
    always = {contract: rules.split() for contract, rules in BROKEN.items()}
    return failed_rules(Path(__file__).with_name("broken_actors.py"), always=always, one_of=6)


@pytest.mark.parametrize("contract", BROKEN)
def test_a_broken_backend_fails_by_the_rules_of_the_matter(contract: str, failed: dict[str, set[str]]) -> None:
    """Actors on a backend that is broken in one way fail by the rules of it."""
    assert set(BROKEN[contract].split()) <= failed[contract]


def test_only_what_is_broken_fails(failed: dict[str, set[str]]) -> None:
    """The backend that the broken ones are made of fails by no rule."""
    assert failed.keys() == BROKEN.keys()


def test_every_rule_is_a_sentence() -> None:
    """Each test of the contract says its rule in a docstring, and then which ids it covers."""
    sentence = re.compile(r"[A-Z][^\n]*[^.\n]( \([^)]+\)\.|\.)")

    rules = dict(rules_of(ActorContract))

    assert [name for name, rule in rules.items() if sentence.fullmatch(rule.__doc__ or "") is None] == []
