"""The snapshot contract catches stores that break it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdure_testkit import SnapshotContract
from perdure_testkit._contract._claims import rules_of
from perdure_testkit.failing import failed_rules

BROKEN = {
    "TestForgetful": "test_what_was_saved_is_there_again test_a_store_can_be_opened_many_times "
    "test_what_was_deleted_stays_deleted",
    "TestSortingAsText": "test_numbers_are_ordered_as_numbers",
    "TestExcludingItsBound": "test_a_bound_includes_itself",
    "TestDeletingTooMuch": "test_a_delete_excludes_its_bound",
    "TestKeepingTheFirst": "test_a_second_save_replaces_the_first",
    "TestPrefixLeaking": "test_ids_hold_each_their_own test_ids_have_each_their_numbers",
    "TestCaseBlind": "test_ids_hold_each_their_own test_ids_have_each_their_numbers test_a_delete_spares_ids_like_it "
    "test_what_was_saved_is_there_again",
    "TestCutting": "test_records_are_bytes_and_nothing_else",
    "TestTorn": "test_a_save_cancelled_at_any_turn_is_whole_or_nothing test_a_reader_beside_a_writer_never_goes_back",
    "TestCachingWhatWasRead": "test_a_read_that_a_save_overtakes_hides_nothing "
    "test_a_read_that_a_delete_overtakes_brings_nothing_back",
    "TestOvertaking": "test_a_cancelled_save_never_overtakes_a_later_one "
    "test_a_cancelled_save_comes_not_back_after_a_delete",
    "TestUnchecked": "test_an_invalid_id_is_refused test_a_number_out_of_range_is_refused",
    "TestGoingOn": "test_a_closed_store_says_so",
    "TestLeaking": "test_close_leaves_no_thread test_close_leaves_no_task test_close_leaves_no_handle",
}
"""Of each class of `broken_snapshots.py` the rules that must fail."""


@pytest.fixture(scope="module")
def failed() -> dict[str, set[str]]:
    """Run the contract on each broken store; return by class the rules that failed."""
    return failed_rules(Path(__file__).with_name("broken_snapshots.py"))


@pytest.mark.parametrize("contract", BROKEN)
def test_a_broken_store_fails_by_the_rules_of_the_matter(contract: str, failed: dict[str, set[str]]) -> None:
    """A snapshot store that is broken in one way fails by the rules of it."""
    assert set(BROKEN[contract].split()) <= failed[contract]


@pytest.mark.parametrize(
    "contract",
    ["TestForgetful", "TestUnchecked", "TestGoingOn", "TestLeaking", "TestCachingWhatWasRead", "TestCaseBlind"],
)
def test_a_broken_store_fails_by_no_other_rule(contract: str, failed: dict[str, set[str]]) -> None:
    """What is broken in one matter passes the rules of all others."""
    assert failed[contract] == set(BROKEN[contract].split())


def test_only_what_is_broken_fails(failed: dict[str, set[str]]) -> None:
    """The store that the broken ones are made of fails by no rule."""
    assert failed.keys() == BROKEN.keys()


def test_every_rule_is_a_sentence() -> None:
    """Each test of the contract says its rule in a docstring, and then which ids it covers."""
    sentence = re.compile(r"[A-Z][^\n]*[^.\n]( \([^)]+\)\.|\.(\n\n *\([A-Z]+-[^)]+\)\n *)?)")

    rules = dict(rules_of(SnapshotContract))

    assert len(rules) > 40
    assert [name for name, rule in rules.items() if sentence.fullmatch(rule.__doc__ or "") is None] == []
