"""The contract catches backends that break it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import pytest

from perdure.abc import Backend, Conflict, FeedPage, Page, WriteGroup
from perdure.errors import EntryNotFound
from perdure.memory import MemoryBackend
from perdure_testkit import BackendContract

Rule: TypeAlias = Callable[[Backend], Awaitable[None]]

rules = BackendContract()


class IgnoresExpectations(MemoryBackend):
    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        return await super().commit([WriteGroup(group.writes) for group in groups])


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


class WritesHalfOfAGroupInConflict(MemoryBackend):
    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        outcomes = await super().commit(groups)
        refused = [group for group, conflict in zip(groups, outcomes, strict=True) if conflict is not None]
        await super().commit([WriteGroup(group.writes[:1]) for group in refused])
        return outcomes


class NamesNoActualHead(MemoryBackend):
    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        return [conflict and conflict._replace(actual=0) for conflict in await super().commit(groups)]


class SkipsInItsFeed(MemoryBackend):
    async def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> FeedPage:
        records, offset = await super().feed(collection, after, limit)
        return FeedPage(records[:-1] if len(records) > 2 else records, offset)


class CountsItsFeed(MemoryBackend):
    """Takes for an offset the number of records before it, which deletions change."""

    async def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> FeedPage:
        records, _ = await super().feed(collection, None, 1_000_000)
        begin = int(after or 0)
        page = records[begin : begin + limit]
        return FeedPage(page, str(begin + len(page)))


class MixesUpPrefixes(MemoryBackend):
    async def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> Page:
        return await super().page(
            collection, prefix.lower(), start, stop, limit=limit, max_bytes=max_bytes, reverse=reverse
        )


class CutsValuesAtNul(MemoryBackend):
    async def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> Page:
        page = await super().page(collection, prefix, start, stop, limit=limit, max_bytes=max_bytes, reverse=reverse)
        return Page([entry._replace(value=entry.value.split(b"\0")[0]) for entry in page.entries], page.more)


class ForgetsVersions(MemoryBackend):
    async def read_state(self, state: str, prefix: str) -> tuple[int, bytes | None]:
        version, value = await super().read_state(state, prefix)
        return (0 if value is None else version), value


class GoesOnAfterClose(MemoryBackend):
    async def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (IgnoresExpectations, lambda backend: rules.test_a_conflict_names_what_was_expected_and_what_is(backend, 2)),
        (IgnoresExpectations, rules.test_racing_writers_leave_one_winner),
        (IgnoresExpectations, rules.test_compaction_keeps_the_head),
        (IgnoresExpectations, lambda backend: rules.test_it_does_what_the_reference_does(backend, 0)),
        (ChecksAllGroupsFirst, rules.test_a_group_sees_the_groups_before_it),
        (LosesTheLastGroup, rules.test_many_logs_in_one_commit),
        (LosesTheLastGroup, rules.test_the_others_are_not_affected_by_a_conflict),
        (WritesHalfOfAGroupInConflict, rules.test_a_group_in_conflict_changes_nothing),
        (NamesNoActualHead, lambda backend: rules.test_a_conflict_names_what_was_expected_and_what_is(backend, 2)),
        (SkipsInItsFeed, lambda backend: rules.test_pages_cover_the_feed(backend, 10)),
        (SkipsInItsFeed, rules.test_records_come_in_commit_order),
        (CountsItsFeed, rules.test_a_follower_survives_compaction),
        (CountsItsFeed, rules.test_no_record_appears_behind_an_offset_of_an_emptied_collection),
        (MixesUpPrefixes, rules.test_prefixes_hold_each_their_own),
        (CutsValuesAtNul, rules.test_values_are_bytes_and_nothing_else),
        (ForgetsVersions, rules.test_a_delete_raises_the_version),
    ],
)
async def test_a_broken_backend_fails_its_rule(broken: type[MemoryBackend], rule: Rule) -> None:
    """A backend that breaks a rule fails the test of that rule, which the reference backend passes."""
    await rule(MemoryBackend())

    with pytest.raises((AssertionError, EntryNotFound)):
        await rule(broken())


async def test_a_backend_that_goes_on_after_close_fails() -> None:
    """A backend that can be used after close fails the rule that it cannot."""
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await rules.test_a_closed_store_says_so(GoesOnAfterClose(), lambda backend: backend.last("events", "a"))


def test_every_rule_is_a_sentence() -> None:
    """Each test of the contract says its rule in a docstring, and then which ids it covers."""
    sentence = re.compile(r"[A-Z][^\n]*[^.\n]( \([^)]+\)\.|\.(\n\n +\([A-Z]+-[^)]+\)\n +)?)")
    tests = {name: getattr(rules, name) for name in dir(rules) if name.startswith("test_")}

    assert len(tests) > 100
    assert [name for name, test in tests.items() if sentence.fullmatch(test.__doc__ or "") is None] == []


def test_the_public_door_is_what_it_says() -> None:
    """Everything in `__all__` exists, in order, and nothing else is public."""
    import perdure_testkit

    public = sorted(name for name in vars(perdure_testkit) if not name.startswith("_") and name != "pytest")

    assert perdure_testkit.__all__ == public
