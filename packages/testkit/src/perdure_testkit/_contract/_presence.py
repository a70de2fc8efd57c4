"""What the expectation that a key is there promises: an entry is replaced while it is there, and never brought back."""

from __future__ import annotations

import asyncio

import pytest

from perdure.abc import (
    MAX_KEY,
    Backend,
    Conflict,
    Delete,
    DeleteRange,
    Expectation,
    HasKey,
    LastKey,
    Purge,
    Put,
    PutState,
    StateVersion,
    Write,
    WriteGroup,
)
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import EVENTS, STATES, append, entries_of, keys_of, puts
from perdure_testkit._contract._stores import Launch, Reopen

_FIVE_IS_REMOVED = [Delete(EVENTS, "a", 5), DeleteRange(EVENTS, "a", 4, 7), Purge(EVENTS, "a")]


class PresenceRules:
    @pytest.mark.parametrize("key", [2, 5, 6, 9])
    async def test_an_entry_that_is_there_is_rewritten(self, backend: Backend, key: int) -> None:
        """A group that expects a key is applied while the key is there: first, last, and between."""
        await backend.commit([puts("a", 2, 5, 6, 9, value=b"old")])

        assert await backend.commit([_rewrite("a", key)]) == [None]

        assert await backend.collection(EVENTS, "a").get(key) == b"new"
        assert await keys_of(backend.collection(EVENTS, "a")) == [2, 5, 6, 9]

    @pytest.mark.parametrize("key", [1, 3, 7, 10, 2**53 + 1, MAX_KEY])
    async def test_a_key_that_is_not_there_is_a_conflict(self, backend: Backend, key: int) -> None:
        """A group that expects a key below, between or above those that are there is a conflict that has found 0."""
        await backend.commit([puts("a", 2, 5, 6, 9)])

        assert await backend.commit([_rewrite("a", key)]) == [Conflict(HasKey(EVENTS, "a", key), 0)]

        assert await keys_of(backend.collection(EVENTS, "a")) == [2, 5, 6, 9]

    @pytest.mark.parametrize("key", [-1, 0, MAX_KEY + 1])
    async def test_a_key_that_no_log_can_have_is_not_there(self, backend: Backend, key: int) -> None:
        """A key that is out of range is never there, also in an empty log."""
        await backend.commit([puts("a", 1, MAX_KEY)])
        expectations = [HasKey(EVENTS, prefix, key) for prefix in ("a", "empty")]

        outcomes = await backend.commit([WriteGroup((), (each,)) for each in expectations])

        assert outcomes == [Conflict(each, 0) for each in expectations]

    async def test_an_expected_key_has_63_bits(self, backend: Backend) -> None:
        """A key is not taken for its neighbour, however large it is."""
        await backend.commit([puts("a", 2**53, 2**53 + 2, MAX_KEY - 1)])
        keys = (2**53, 2**53 + 1, 2**53 + 2, MAX_KEY - 1, MAX_KEY)

        outcomes = await backend.commit([_rewrite("a", key) for key in keys])

        assert [conflict is None for conflict in outcomes] == [True, False, True, True, False]

    async def test_a_key_elsewhere_is_not_there(self, backend: Backend) -> None:
        """A key under another prefix, or in another collection, is not the one that is expected."""
        await backend.commit([puts("a", 1), WriteGroup((Put("others", "b", 1, b""),))])
        elsewhere = [HasKey(EVENTS, "b", 1), HasKey("others", "a", 1), HasKey("never_written", "a", 1)]

        outcomes = await backend.commit([WriteGroup((), (each,)) for each in elsewhere])

        assert outcomes == [Conflict(each, 0) for each in elsewhere]

    @pytest.mark.parametrize("removal", _FIVE_IS_REMOVED)
    async def test_what_was_removed_is_not_brought_back(self, backend: Backend, removal: Write) -> None:
        """A put that expects its key leaves what was deleted, in a range or alone, or purged, as it is: gone."""
        await backend.commit([puts("a", *range(1, 10))])
        await backend.commit([_rewrite("a", 5)])
        await backend.commit([WriteGroup((removal,))])
        left = await keys_of(backend.collection(EVENTS, "a"))

        assert await backend.commit([_rewrite("a", 5)]) == [Conflict(HasKey(EVENTS, "a", 5), 0)]

        assert await keys_of(backend.collection(EVENTS, "a")) == left

    async def test_what_a_removal_spared_is_still_there(self, backend: Backend) -> None:
        """A key beside a range that was removed is there, the head of a compacted log too."""
        await backend.commit([puts("a", *range(1, 8))])
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 2, 5), Delete(EVENTS, "a", 6)))])

        outcomes = await backend.commit([_rewrite("a", key) for key in range(1, 9)])

        assert [key for key, conflict in enumerate(outcomes, 1) if conflict is None] == [1, 5, 7]

    async def test_what_was_put_again_is_there(self, backend: Backend) -> None:
        """A key that was removed and put again is there."""
        await backend.commit([puts("a", 1, 2)])
        await backend.commit([WriteGroup((Purge(EVENTS, "a"),)), puts("a", 2)])

        outcomes = await backend.commit([_rewrite("a", 1), _rewrite("a", 2)])

        assert [conflict is None for conflict in outcomes] == [False, True]

    async def test_a_key_that_a_group_before_has_put_is_there(self, backend: Backend) -> None:
        """A group finds a key that a group before it has put: at the end, in a gap, or after a removal."""
        await backend.commit([puts("a", 1, 5)])
        groups = [
            WriteGroup((Put(EVENTS, "a", 6, b""),), (LastKey(EVENTS, "a", 5),)),
            _rewrite("a", 6),
            puts("a", 3),
            _rewrite("a", 3),
            WriteGroup((Delete(EVENTS, "a", 1),)),
            puts("a", 1),
            _rewrite("a", 1),
            append("b", 0, b"1", b"2"),
            _rewrite("b", 1),
        ]

        assert await backend.commit(groups) == [None] * 9

        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b"new"), (3, b"new"), (5, b""), (6, b"new")]
        assert await entries_of(backend.collection(EVENTS, "b")) == [(1, b"new"), (2, b"2")]

    @pytest.mark.parametrize("removal", _FIVE_IS_REMOVED)
    async def test_a_key_that_a_group_before_has_removed_is_not_there(self, backend: Backend, removal: Write) -> None:
        """A group does not find a key that a group before it in the commit has removed."""
        await backend.commit([puts("a", *range(1, 10))])

        outcomes = await backend.commit([_rewrite("a", 5), WriteGroup((removal,)), _rewrite("a", 5)])

        assert outcomes == [None, None, Conflict(HasKey(EVENTS, "a", 5), 0)]
        assert 5 not in await keys_of(backend.collection(EVENTS, "a"))

    @pytest.mark.parametrize("removal", _FIVE_IS_REMOVED)
    async def test_what_came_and_went_in_one_commit_is_not_there(self, backend: Backend, removal: Write) -> None:
        """A group does not find a key that was put and removed by the groups before it in the commit."""
        groups = [puts("a", *range(1, 10)), WriteGroup((removal,)), _rewrite("a", 5)]

        assert await backend.commit(groups) == [None, None, Conflict(HasKey(EVENTS, "a", 5), 0)]

        assert 5 not in await keys_of(backend.collection(EVENTS, "a"))

    async def test_a_group_in_conflict_puts_no_key_and_removes_none(self, backend: Backend) -> None:
        """What a refused group would have put is not there for the groups after it, and what it would remove is."""
        await backend.commit([puts("a", 1, 2)])
        refused = WriteGroup((Put(EVENTS, "a", 3, b""), DeleteRange(EVENTS, "a", 1, 3)), (LastKey(EVENTS, "a", 9),))

        outcomes = await backend.commit([refused, _rewrite("a", 1), _rewrite("a", 3)])

        assert [conflict and conflict.actual for conflict in outcomes] == [2, None, 0]

    async def test_an_expected_key_was_there_before_the_group(self, backend: Backend) -> None:
        """A group's own put does not make its key there, and its own removal does not take it away."""
        await backend.commit([puts("a", 1)])
        own_put = WriteGroup((Put(EVENTS, "a", 2, b""),), (HasKey(EVENTS, "a", 2),))
        own_removal = WriteGroup((Purge(EVENTS, "a"), Put(EVENTS, "a", 4, b"")), (HasKey(EVENTS, "a", 1),))

        assert await backend.commit([own_put, own_removal]) == [Conflict(HasKey(EVENTS, "a", 2), 0), None]

        assert await keys_of(backend.collection(EVENTS, "a")) == [4]

    async def test_a_missing_key_refuses_the_whole_group(self, backend: Backend) -> None:
        """A group that expects a key that is not there changes nothing, whatever it writes; the others are applied."""
        await backend.commit([puts("a", 1, 2, 3), WriteGroup((PutState(STATES, "a", b"kept"),))])
        writes = (
            Put(EVENTS, "a", 2, b"changed"),
            Put(EVENTS, "a", 5, b"added"),
            Delete(EVENTS, "a", 1),
            DeleteRange(EVENTS, "a", 1, 3),
            PutState(STATES, "a", b"changed"),
        )
        refused = WriteGroup(writes, (HasKey(EVENTS, "a", 4),))

        outcomes = await backend.commit([append("b", 0, b"1"), refused, append("a", 3, b"4")])

        assert [conflict is None for conflict in outcomes] == [True, False, True]
        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b""), (2, b""), (3, b""), (4, b"4")]
        assert await backend.state(STATES, "a").get() == (1, b"kept")
        assert await keys_of(backend.collection(EVENTS, "b")) == [1]

    @pytest.mark.parametrize("wrong", [HasKey(EVENTS, "a", 4), LastKey(EVENTS, "a", 2), StateVersion(STATES, "a", 0)])
    @pytest.mark.parametrize("place", [0, 1, 3])
    async def test_expected_keys_count_beside_the_others(
        self, backend: Backend, wrong: Expectation, place: int
    ) -> None:
        """Keys, heads and versions may be expected together, in any order: one that fails refuses the group."""
        await backend.commit([puts("a", 1, 2, 3), WriteGroup((PutState(STATES, "a", b""),))])
        right: list[Expectation] = [
            HasKey(EVENTS, "a", 1),
            LastKey(EVENTS, "a", 3),
            StateVersion(STATES, "a", 1),
            HasKey(EVENTS, "a", 3),
        ]
        mixed, put = (*right[:place], wrong, *right[place:]), Put(EVENTS, "a", 2, b"new")

        outcomes = await backend.commit([WriteGroup((put,), mixed), WriteGroup((put,), tuple(right))])

        assert outcomes == [Conflict(wrong, {HasKey: 0, LastKey: 3, StateVersion: 1}[type(wrong)]), None]

    async def test_the_first_expectation_that_fails_may_be_a_key(self, backend: Backend) -> None:
        """Of several expectations that fail the first is named, a key or another."""
        await backend.commit([puts("a", 1, 2)])
        key, head, version = HasKey(EVENTS, "a", 7), LastKey(EVENTS, "a", 9), StateVersion(STATES, "a", 3)
        holds = HasKey(EVENTS, "a", 1)

        outcomes = await backend.commit(
            [
                WriteGroup((), (holds, key, head, version)),
                WriteGroup((), (head, key)),
                WriteGroup((), (holds, version, key)),
                WriteGroup((), (key, HasKey(EVENTS, "a", 8))),
            ]
        )

        assert outcomes == [Conflict(key, 0), Conflict(head, 2), Conflict(version, 0), Conflict(key, 0)]

    @needs("prefixes_together")
    async def test_an_expected_key_may_guard_another_place(self, backend: Backend) -> None:
        """A key that is expected under one prefix guards writes under another."""
        await backend.commit([puts("a", 1)])
        put = Put(EVENTS, "b", 1, b"")

        outcomes = await backend.commit(
            [WriteGroup((put,), (HasKey(EVENTS, "a", 2),)), WriteGroup((put,), (HasKey(EVENTS, "a", 1),))]
        )

        assert [conflict is None for conflict in outcomes] == [False, True]

    async def test_a_rewritten_entry_leaves_the_head(self, backend: Backend) -> None:
        """Rewriting below the head, in a commit with appends, leaves writers of the log undisturbed."""
        await backend.commit([append("a", 0, b"1", b"2", b"3")])
        groups = [_rewrite("a", 1), append("a", 3, b"4"), _rewrite("a", 4), append("a", 4, b"5")]

        assert await backend.commit(groups) == [None] * 4

        assert await backend.commit([append("a", 5, b"6"), append("a", 5, b"stale")]) == [
            None,
            Conflict(LastKey(EVENTS, "a", 5), 6),
        ]
        assert [value for _, value in await entries_of(backend.collection(EVENTS, "a"))] == [
            *(b"new", b"2", b"3", b"new", b"5", b"6")
        ]

    async def test_many_are_rewritten_in_one_commit(self, backend: Backend) -> None:
        """Of 5,000 groups that each expect a key those are applied whose key is there."""
        await backend.commit([puts("a", *range(1, 2_501))])
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 1_001),))])

        outcomes = await backend.commit([_rewrite("a", key) for key in range(1, 5_001)])

        assert [conflict is None for conflict in outcomes] == [1_000 < key <= 2_500 for key in range(1, 5_001)]
        assert await keys_of(backend.collection(EVENTS, "a")) == list(range(1_001, 2_501))

    async def test_rewriting_beside_removal_brings_nothing_back(self, backend: Backend) -> None:
        """Commits that rewrite a log while others remove it from its start leave what the removals left."""
        await backend.commit([puts("a", *range(1, 101))])
        sweep = [backend.commit([_rewrite("a", key)]) for key in range(1, 101)]
        removals = [backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, stop),))]) for stop in range(2, 100)]

        await asyncio.gather(*(commit for pair in zip(sweep, removals, strict=False) for commit in pair), *sweep[98:])

        assert await entries_of(backend.collection(EVENTS, "a")) == [(99, b"new"), (100, b"new")]

    @needs("openers")
    @pytest.mark.parametrize("removal", _FIVE_IS_REMOVED)
    async def test_what_another_opener_removed_is_not_brought_back(
        self, backend: Backend, another: Reopen, removal: Write
    ) -> None:
        """Who wrote a log last finds no key in it that another opener has removed since."""
        other = await another()
        await backend.commit([append("a", 0, *[b""] * 9)])
        await backend.commit([_rewrite("a", 5)])
        await other.commit([WriteGroup((removal,))])

        assert await backend.commit([_rewrite("a", 5)]) == [Conflict(HasKey(EVENTS, "a", 5), 0)]

        assert 5 not in await keys_of(other.collection(EVENTS, "a"))

    @needs("processes")
    async def test_a_process_that_rewrites_beside_removal_brings_nothing_back(
        self, launch: Launch, backend: Backend
    ) -> None:
        """A process that rewrites a log while another removes it from its start leaves what the removals left."""
        await backend.commit([puts("a", *range(1, 201))])
        rival = await launch("rewrite", "a", 200)
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 51),))])

        rival.go()
        for stop in range(52, 201):
            await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, stop),))])

        said = [line async for line in rival.lines()]
        await rival.end()
        assert said[:50] == [f"missed {key}" for key in range(1, 51)]
        assert said[199:] == ["rewrote 200"]
        assert await entries_of(backend.collection(EVENTS, "a")) == [(200, b"rewritten")]


def _rewrite(prefix: str, key: int) -> WriteGroup:
    """Return the group that replaces an entry of the events, if it is there."""
    return WriteGroup((Put(EVENTS, prefix, key, b"new"),), (HasKey(EVENTS, prefix, key),))
