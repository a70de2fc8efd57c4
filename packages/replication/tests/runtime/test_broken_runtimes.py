"""The contract of runtimes catches what breaks it, and says what a runtime is to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from perdure_replication.testing import ActorRuntimeContract

PAGE = Path(__file__).parents[4] / "docs" / "runtimes.md"
BROKEN = {
    "TestOvertaking": "test_messages_are_handled_in_the_order_of_their_sends",
    "TestUnbounded": "test_a_mailbox_is_bounded test_a_full_mailbox_ends_no_timer"
    " test_a_full_member_misses_a_broadcast_alone test_a_full_mailbox_at_another_node_is_counted",
    "TestDyingOfErrors": "test_a_failing_handler_harms_nobody test_an_ask_raises_what_the_handler_raises",
    "TestHandlingAtOnce": "test_one_message_is_handled_at_a_time",
    "TestTickingOn": "test_no_message_is_begun_after_a_cancel",
    "TestGivingUpTimers": "test_a_full_mailbox_ends_no_timer",
    "TestJoiningAgain": "test_to_join_twice_is_to_join_once",
    "TestKeepingTheDead": "test_an_actor_that_is_over_is_in_no_group",
    "TestStayingHere": "test_groups_span_nodes",
    "TestHearingOfJoinsAlone": "test_the_membership_is_heard",
    "TestAskingTheDead": "test_an_ask_of_a_node_that_goes_fails_at_once",
}
"""Of each class of `broken_runtimes.py` the rules that must fail."""
EXACTLY = [
    "TestTickingOn",
    "TestGivingUpTimers",
    "TestJoiningAgain",
    "TestHearingOfJoinsAlone",
    "TestAskingTheDead",
]
"""Those that fail by no other rule."""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Run the contract on what is broken; return by class the rules that failed."""
    here, found = Path(__file__).parent, tmp_path_factory.mktemp("broken") / "failed.json"
    arguments = ("-q", "-p", "failed_rules", "-p", "no:cacheprovider", "--tb=no", "broken_runtimes.py")
    path = os.pathsep.join([str(here.parent), *sys.path])
    environment = {**os.environ, "PERDURE_FAILED": str(found), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=here, env=environment, capture_output=True, check=False
    )
    assert found.exists(), (done.stdout + done.stderr).decode()
    return {contract: set(rules) for contract, rules in json.loads(found.read_text()).items()}


@pytest.mark.parametrize("contract", BROKEN)
def test_what_is_broken_fails_by_the_rules_of_the_matter(contract: str, failed: dict[str, set[str]]) -> None:
    """A runtime that is broken in one way fails by the rules of it."""
    assert set(BROKEN[contract].split()) <= failed.get(contract, set())


@pytest.mark.parametrize("contract", EXACTLY)
def test_what_is_broken_fails_by_no_other_rule(contract: str, failed: dict[str, set[str]]) -> None:
    """What is broken in one matter passes the rules of all others."""
    assert failed.get(contract) == set(BROKEN[contract].split())


def test_only_what_is_broken_fails(failed: dict[str, set[str]]) -> None:
    """The runtime that the broken ones are made of fails by no rule."""
    assert failed.keys() == BROKEN.keys()


def test_every_rule_is_a_sentence() -> None:
    """Each test of the contract says its rule in a docstring."""
    sentence = re.compile(r"[A-Z`][^\n]*[^\n]\.")
    rules = {name: rule for name, rule in vars(ActorRuntimeContract).items() if name.startswith("test_")}

    assert len(rules) >= 40
    assert [name for name, rule in rules.items() if sentence.fullmatch(rule.__doc__ or "") is None] == []


def test_the_page_names_for_each_id_the_rules_that_say_so() -> None:
    """Those whose docstrings end with it; and no other rule is named there than there is."""
    rules = {name: rule.__doc__ or "" for name, rule in vars(ActorRuntimeContract).items() if name.startswith("test_")}
    rows = dict(re.findall(r"^\| ((?:ADAPT)-\d+) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE))

    said = {number: sorted(name for name, text in rules.items() if number in text) for number in rows}
    assert len(rows) == 8
    assert {number: sorted(re.findall(r"`(test_\w+)`", row)) for number, row in rows.items()} == said
    assert set(re.findall(r"`(test_\w+)`", PAGE.read_text())) <= rules.keys()
