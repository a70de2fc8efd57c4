"""The contracts of the ports catch what breaks them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdure_replication.testing import MembershipContract, TransportContract
from perdure_testkit.failing import failed_rules

BROKEN = {
    "TestDoubling": "test_frames_come_in_order_and_once test_many_may_send_at_once",
    "TestNameless": "test_a_frame_reaches_its_peer_with_the_senders_name",
    "TestCutting": "test_a_large_frame_is_received_whole test_a_frame_is_bytes_and_nothing_else",
    "TestStripping": "test_a_frame_is_bytes_and_nothing_else",
    "TestOvertaking": "test_frames_come_in_order_and_once",
    "TestSilentOfTheLost": "test_a_node_that_nobody_named_is_unreachable test_a_closed_node_receives_nothing",
    "TestUnlimited": "test_a_frame_over_the_limit_is_refused",
    "TestEchoing": "test_a_frame_reaches_its_peer_alone",
    "TestNeverClosing": "test_a_closed_transport_sends_nothing test_a_closed_node_receives_nothing",
    "TestLeavingATask": "test_close_leaves_no_task",
    "TestGreetingNobody": "test_each_learns_of_the_others",
    "TestSelfish": "test_nobody_is_told_of_itself",
    "TestLeavingInSilence": "test_who_leaves_is_reported test_who_left_may_come_back",
    "TestNumberless": "test_who_leaves_is_reported",
    "TestKeepingTheFirst": "test_a_greater_incarnation_is_reported",
    "TestClaimingLess": "test_a_claim_is_at_least_what_was_asked_for",
    "TestTalkingOn": "test_after_leaving_nothing_is_reported",
}
"""Of each class of `broken_ports.py` the rules that must fail."""


@pytest.fixture(scope="module")
def failed() -> dict[str, set[str]]:
    """Run the contracts on what is broken; return by class the rules that failed."""
    return failed_rules(Path(__file__).with_name("broken_ports.py"))


@pytest.mark.parametrize("contract", BROKEN)
def test_what_is_broken_fails_by_the_rules_of_the_matter(contract: str, failed: dict[str, set[str]]) -> None:
    """A port that is broken in one way fails by the rules of it."""
    assert set(BROKEN[contract].split()) <= failed[contract]


@pytest.mark.parametrize(
    "contract",
    ["TestStripping", "TestOvertaking", "TestUnlimited", "TestSelfish", "TestKeepingTheFirst", "TestClaimingLess"],
)
def test_what_is_broken_fails_by_no_other_rule(contract: str, failed: dict[str, set[str]]) -> None:
    """What is broken in one matter passes the rules of all others."""
    assert failed[contract] == set(BROKEN[contract].split())


def test_only_what_is_broken_fails(failed: dict[str, set[str]]) -> None:
    """The ports that the broken ones are made of fail by no rule."""
    assert failed.keys() == BROKEN.keys()


@pytest.mark.parametrize("contract", [TransportContract, MembershipContract])
def test_every_rule_is_a_sentence(contract: type[object]) -> None:
    """Each test of a contract says its rule in a docstring."""
    sentence = re.compile(r"[A-Z`][^\n]*[^\n]\.")
    rules = {name: rule for name, rule in vars(contract).items() if name.startswith("test_")}

    assert len(rules) >= 10
    assert [name for name, rule in rules.items() if sentence.fullmatch(rule.__doc__ or "") is None] == []
