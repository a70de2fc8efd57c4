"""The contract catches backends that break it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from perdure.abc import Backend, Conflict, Page, WriteGroup
from perdure.errors import EntryNotFound
from perdure.memory import MemoryBackend
from perdure_testkit import ActorContract, BackendContract
from perdure_testkit._contract._claims import claims_of, rules_of
from perdure_testkit.failing import failed_rules

Rule: TypeAlias = Callable[[Backend], Awaitable[None]]

rules = BackendContract()


class ChecksAllGroupsFirst(MemoryBackend):
    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        conflicts = await super().commit([WriteGroup((), group.expectations) for group in groups])
        passed = [group for group, conflict in zip(groups, conflicts, strict=True) if conflict is None]
        await super().commit([WriteGroup(group.writes) for group in passed])
        return conflicts


class LosesTheLastGroup(MemoryBackend):
    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        written = groups[:-1] if len(groups) > 1 else groups
        return [*await super().commit(written), *[None] * (len(groups) - len(written))]


class NamesNoActualHead(MemoryBackend):
    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        return [conflict and conflict._replace(actual=0) for conflict in await super().commit(groups)]


class ReadsTooMuchOfMany(MemoryBackend):
    def pages(
        self, collection: str, prefixes: Sequence[str], *, limit: int, max_bytes: int
    ) -> Awaitable[Sequence[Page]]:
        return super().pages(collection, prefixes, limit=limit, max_bytes=1 << 30)


class LosesEmptyPages(MemoryBackend):
    async def pages(self, collection: str, prefixes: Sequence[str], *, limit: int, max_bytes: int) -> list[Page]:
        pages = await super().pages(collection, prefixes, limit=limit, max_bytes=max_bytes)
        return [page for page in pages if page.entries]


class LosesStatesWithoutValue(MemoryBackend):
    async def read_states(
        self, state: str, prefixes: Sequence[str], *, max_bytes: int
    ) -> list[tuple[int, bytes | None]]:
        states = await super().read_states(state, prefixes, max_bytes=max_bytes)
        return [state for state in states if state[1] is not None]


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (ChecksAllGroupsFirst, rules.test_a_group_sees_the_groups_before_it),
        (LosesTheLastGroup, rules.test_many_logs_in_one_commit),
        (LosesTheLastGroup, rules.test_the_others_are_not_affected_by_a_conflict),
        (ReadsTooMuchOfMany, lambda backend: rules.test_first_pages_of_many_are_those_of_each(backend, 1000, 10)),
        (LosesEmptyPages, lambda backend: rules.test_first_pages_of_many_are_those_of_each(backend, 1000, 10)),
        (LosesStatesWithoutValue, lambda backend: rules.test_many_states_are_those_of_each(backend, 10)),
        (NamesNoActualHead, lambda backend: rules.test_a_conflict_names_what_was_expected_and_what_is(backend, 2)),
    ],
)
async def test_a_broken_backend_fails_its_rule(broken: type[MemoryBackend], rule: Rule) -> None:
    """A backend that breaks a rule fails the test of that rule, which the reference backend passes."""
    await rule(MemoryBackend())

    with pytest.raises((AssertionError, EntryNotFound)):
        await rule(broken())


MODELS = "does_what_the_(model|reference)_does"

BROKEN = {
    "TestForgetful": (
        "test_what_was_committed_is_there_again test_heads_outlive_the_object",
        "opener|opened|again|reopening|outlive|stays_deleted|close_finishes",
    ),
    "TestForking": (
        "test_racing_writers_leave_one_winner test_a_conflict_names_what_was_expected_and_what_is "
        "test_a_stale_opener_is_refused_after_a_take_over",
        "winner|conflict|stale|refused|cancelled|fails|expectation|group|heads|head|version|one|own|listed|purged|"
        "opened_again",
    ),
    "TestForkingOpeners": (
        "test_a_stale_opener_is_refused_after_a_take_over",
        "opener|fails|first_expectation|over_the_limit",
    ),
    "TestMoving": (
        "test_a_replaced_value_keeps_its_place_in_the_feed test_a_replaced_value_is_not_met_again_in_the_feed "
        "test_replaced_and_put_again_differ_in_the_feed",
        "feed|all_prefixes|fed_once",
    ),
    "TestResurrecting": (
        "test_where_there_is_nothing_a_replacement_is_silent test_what_was_removed_is_not_brought_back "
        "test_a_replacement_makes_no_prefix_appear",
        "back|key|head|nothing|spared|put_again|refused|opened_again|in_order",
    ),
    "TestResurrectingBelowTheHead": (
        "test_where_there_is_nothing_a_replacement_is_silent test_what_was_removed_is_not_brought_back",
        "back|key|spared|put_again|opened_again|in_order",
    ),
    "TestIgnoring": ("test_a_value_that_is_there_is_replaced", "replac|new_value"),
    "TestLookingBeforeTheCommit": (
        "test_what_a_group_before_has_put_is_replaced test_what_a_group_before_has_removed_is_not_brought_back",
        "head|feed|fed_once|in_order",
    ),
    "TestRememberingKeys": ("test_what_another_opener_removed_is_not_brought_back", "back"),
    "TestReordering": ("test_records_come_in_commit_order", "feed|offset|newest_place|commit_order"),
    "TestGapSkipping": (
        "test_the_feed_skips_nothing_under_concurrent_writers test_the_feed_skips_nothing_of_other_openers",
        "feed|offset|record|follower|newest_place|reads_what_it_wrote|clock|stays_deleted|commit_order|fed_once",
    ),
    "TestCountingFeed": ("test_a_follower_survives_compaction", "offset|newest_place"),
    "TestNonAtomicInConflict": (
        "test_a_group_in_conflict_changes_nothing",
        "winner|conflict|stale|refused|cancelled|expectation|group|head|version|one|own|listed|purged",
    ),
    "TestNonAtomicInFailure": ("test_a_commit_that_fails_writes_nothing", "over_the_limit"),
    "TestTornByCancellation": (
        "test_a_commit_cancelled_at_any_turn_is_whole_or_nothing",
        "one_moment|fails|one$|follower|group|order|record|commit|feed|removal",
    ),
    "TestDroppedByCancellation": ("test_a_cancelled_commit_goes_on", "close_finishes"),
    "TestShiftedByCancellation": ("test_a_call_cancelled_at_any_turn_shifts_no_answer", "cancelled"),
    "TestPrefixLeaking": ("test_a_purge_spares_prefixes_like_it", "^$"),
    "TestNormalising": ("test_prefixes_hold_each_their_own", "^$"),
    "TestHeadForgetting": (
        "test_compaction_keeps_the_head test_heads_outlive_the_object",
        "compacting|has_put|opened_again",
    ),
    "TestVersionForgetting": ("test_a_delete_raises_the_version", "delete"),
    "TestLagging": ("test_a_writer_reads_what_it_wrote", "reads_what|cancelled"),
    "TestUnlimited": ("test_a_value_over_the_limit_is_refused test_a_new_value_over_the_limit_is_refused", "fails"),
    "TestCutting": ("test_values_are_bytes_and_nothing_else", "value|there_again"),
    "TestHoarding": ("test_a_long_scan_holds_a_few_pages", "^$"),
    "TestThreadLeaking": ("test_close_leaves_no_thread", "^$"),
    "TestTaskLeaking": ("test_close_leaves_no_task", "^$"),
    "TestHandleLeaking": ("test_close_leaves_no_handle", "^$"),
    "TestGoingOn": ("test_a_closed_store_says_so", "closing_twice"),
    "TestClosingOnce": ("test_closing_twice_is_closing_once", "close|reopening|outlive|opened|again|stays_deleted"),
    "TestUnsynced": (
        "test_what_was_acknowledged_survives_a_kill",
        "^test_a_process_reads_what_another_was_told$|of_other_processes|kill|race|replaced|loser",
    ),
}
"""Of each class of `broken.py` the rules that must fail, and what the names of others that fail with them hold."""

SLOW = "not the_model and not many and not of_any_size or TestNormalising or TestHeadForgetting"
"""What is run of the rules: two of the broken backends are enough to show that the models find something."""


@pytest.fixture(scope="module")
def failed() -> dict[str, set[str]]:
    """Run the contract on each broken backend, but not all of its ten thousand tests; return the rules that failed."""
    always = {contract: rules.split() for contract, (rules, _) in BROKEN.items()}
    return failed_rules(Path(__file__).with_name("broken.py"), "-k", SLOW, always=always, one_of=6)


@pytest.mark.parametrize("contract", BROKEN)
def test_a_broken_backend_fails_by_the_rules_of_the_matter(contract: str, failed: dict[str, set[str]]) -> None:
    """A backend that is broken in one way fails by the rule of it, and by no rule of another matter."""
    must, may = BROKEN[contract]

    assert set(must.split()) <= failed[contract]
    assert {rule for rule in failed[contract] - set(must.split()) if not re.search(f"{MODELS}|{may}", rule)} == set()


def test_only_what_is_broken_fails(failed: dict[str, set[str]]) -> None:
    """The backend that the broken ones are made of fails by no rule."""
    assert failed.keys() == BROKEN.keys()


@pytest.mark.parametrize("contract", [ActorContract, BackendContract])
def test_a_rule_says_which_claims_it_cannot_do_without(contract: type) -> None:
    """A rule that uses a fixture of a claim is not run where the claim is not made."""
    claims = {"reopen": {"reopening", "kills"}, "another": {"openers"}, "launch": {"processes", "kills"}}

    silent = [
        name
        for name, rule in rules_of(contract)
        for fixture in claims.keys() & set(inspect.signature(rule).parameters)
        if not claims[fixture] & set(claims_of(rule))
    ]

    assert silent == []


def test_every_rule_is_a_sentence() -> None:
    """Each test of the contract says its rule in a docstring, and then which ids it covers."""
    sentence = re.compile(r"[A-Z][^\n]*[^.\n]( \([^)]+\)\.|\.(\n\n *\([A-Z]+-[^)]+\)\n *)?)")
    tests = {name: getattr(rules, name) for name in dir(rules) if name.startswith("test_")}

    assert len(tests) > 100
    assert [name for name, test in tests.items() if sentence.fullmatch(test.__doc__ or "") is None] == []


def test_the_public_door_is_what_it_says() -> None:
    """Everything in `__all__` exists, in order, and nothing else is public."""
    import perdure_testkit

    names = {name for name, value in vars(perdure_testkit).items() if not inspect.ismodule(value)}
    public = sorted(name for name in names if not name.startswith("_"))

    assert perdure_testkit.__all__ == public
