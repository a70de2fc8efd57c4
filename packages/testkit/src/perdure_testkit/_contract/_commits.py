"""What a commit promises."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

from perdure.abc import (
    Backend,
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    Expectation,
    LastKey,
    Purge,
    PurgeState,
    Put,
    PutState,
    StateVersion,
    WriteGroup,
)
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import EVENTS, STATES, append, entries_of, keys_of, puts


class CommitRules:
    patience: ClassVar[float]

    @needs("prefixes_together")
    async def test_writes_happen_in_order(self, backend: Backend) -> None:
        """The writes of a group happen in order: what comes later wins."""
        group = WriteGroup(
            (
                Put(EVENTS, "a", 1, b"first"),
                Put(EVENTS, "a", 1, b"second"),
                Put(EVENTS, "a", 2, b"deleted"),
                Delete(EVENTS, "a", 2),
                Put(EVENTS, "a", 3, b"purged with the rest"),
                Purge(EVENTS, "b"),
                Put(EVENTS, "b", 1, b"after the purge"),
                Delete(EVENTS, "a", 3),
                Put(EVENTS, "a", 3, b"again"),
            )
        )

        await backend.commit([group])

        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b"second"), (3, b"again")]
        assert await entries_of(backend.collection(EVENTS, "b")) == [(1, b"after the purge")]

    async def test_a_range_excludes_its_stop(self, backend: Backend) -> None:
        """A range is deleted from its start to before its stop, and nothing beside it (TCK-J12, TCK-S08)."""
        await backend.commit([puts("a", *range(1, 10)), puts("aa", *range(1, 10))])

        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 3, 7),))])

        assert await keys_of(backend.collection(EVENTS, "a")) == [1, 2, 7, 8, 9]
        assert await keys_of(backend.collection(EVENTS, "aa")) == list(range(1, 10))

    @pytest.mark.parametrize(("start", "stop"), [(5, 5), (7, 3), (20, 30), (1, 1)])
    async def test_a_range_may_be_empty(self, backend: Backend, start: int, stop: int) -> None:
        """A range in which nothing lies deletes nothing."""
        await backend.commit([puts("a", *range(1, 10))])

        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", start, stop), DeleteRange("none", "a", 1, 9)))])

        assert await keys_of(backend.collection(EVENTS, "a")) == list(range(1, 10))

    async def test_deleting_a_missing_key_in_a_group_is_silent(self, backend: Backend) -> None:
        """A group may delete a key that is not there."""
        group = WriteGroup((Delete(EVENTS, "a", 1), Delete("never_written", "a", 1), Put(EVENTS, "a", 2, b"")))

        assert await backend.commit([group]) == [None]

        assert await keys_of(backend.collection(EVENTS, "a")) == [2]

    async def test_an_empty_commit_has_no_outcome(self, backend: Backend) -> None:
        """A commit of no groups has no outcomes."""
        assert await backend.commit([]) == []

    async def test_an_empty_group_is_applied(self, backend: Backend) -> None:
        """A group without writes and expectations is applied, alone and among others."""
        assert await backend.commit([WriteGroup(())]) == [None]
        assert await backend.commit([WriteGroup(()), append("a", 0, b""), WriteGroup(())]) == [None] * 3

    async def test_a_group_may_only_ask(self, backend: Backend) -> None:
        """A group of expectations alone tells whether they hold."""
        await backend.commit([append("a", 0, b"")])
        holds, fails = LastKey(EVENTS, "a", 1), LastKey(EVENTS, "a", 2)

        outcomes = await backend.commit([WriteGroup((), (holds,)), WriteGroup((), (fails,))])

        assert outcomes == [None, Conflict(fails, 1)]

    async def test_an_append_to_the_head_is_applied(self, backend: Backend) -> None:
        """Appends that expect the actual head are applied, the first of them to an empty log (TCK-P02)."""
        for after in range(5):
            assert await backend.commit([append("a", after, b"")]) == [None]

        assert await keys_of(backend.collection(EVENTS, "a")) == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize("after", [0, 1, 2, 4, 100])
    async def test_a_conflict_names_what_was_expected_and_what_is(self, backend: Backend, after: int) -> None:
        """An append that expects another head, lower or higher, is a conflict that names both.

        (GAP-01, ORL-03, ATS-04)
        """
        await backend.commit([append("a", 0, b"1", b"2", b"3")])

        [conflict] = await backend.commit([append("a", after, b"stale")])

        assert conflict == Conflict(LastKey(EVENTS, "a", after), 3)

    async def test_a_conflict_on_an_unknown_collection_has_0(self, backend: Backend) -> None:
        """Where nothing was ever written the actual head is 0 and the actual version 0."""
        log, state = LastKey("never_written", "a", 1), StateVersion("never_written", "a", 1)

        outcomes = await backend.commit([WriteGroup((), (log,)), WriteGroup((), (state,))])

        assert outcomes == [Conflict(log, 0), Conflict(state, 0)]

    @needs("prefixes_together")
    async def test_a_group_in_conflict_changes_nothing(self, backend: Backend) -> None:
        """A group whose expectation fails changes nothing, wherever its writes go (GAP-03, ATS-04)."""
        await backend.commit([puts("a", 1, 2, 3), WriteGroup((PutState(STATES, "a", b"kept"),))])
        writes = (
            Put(EVENTS, "a", 2, b"changed"),
            Put(EVENTS, "a", 4, b"added"),
            Put(EVENTS, "b", 1, b"added"),
            Put("others", "a", 1, b"added"),
            Delete(EVENTS, "a", 1),
            DeleteRange(EVENTS, "a", 1, 3),
            Purge(EVENTS, "a"),
            PutState(STATES, "a", b"changed"),
            PutState(STATES, "b", b"added"),
            DeleteState(STATES, "a"),
            PurgeState(STATES, "a"),
        )

        await backend.commit([WriteGroup(writes, (LastKey(EVENTS, "c", 1),))])

        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b""), (2, b""), (3, b"")]
        assert await backend.state(STATES, "a").get() == (1, b"kept")
        assert await backend.prefixes(EVENTS) == ["a"]
        assert await backend.prefixes("others") == []
        assert await backend.state(STATES, "b").version() == 0

    async def test_the_others_are_not_affected_by_a_conflict(self, backend: Backend) -> None:
        """The groups before and after one in conflict are applied, and the outcomes are in the order of the groups."""
        groups = [append("a", 0, b"1"), append("b", 5, b"stale"), append("c", 0, b"1"), append("d", 1, b"stale")]

        outcomes = await backend.commit(groups)

        assert [conflict is None for conflict in outcomes] == [True, False, True, False]
        assert await backend.prefixes(EVENTS) == ["a", "c"]

    @needs("prefixes_together")
    async def test_the_first_expectation_that_fails_is_named(self, backend: Backend) -> None:
        """Of several expectations the first that fails is named."""
        expectations = (LastKey(EVENTS, "a", 0), StateVersion(STATES, "a", 4), LastKey(EVENTS, "b", 9))

        [conflict] = await backend.commit([WriteGroup((Put(EVENTS, "a", 1, b""),), expectations)])

        assert conflict == Conflict(expectations[1], 0)

    @pytest.mark.parametrize("wrong", [LastKey(EVENTS, "b", 2), StateVersion(STATES, "a", 0)])
    @needs("prefixes_together")
    async def test_every_expectation_counts(self, backend: Backend, wrong: Expectation) -> None:
        """A group is applied only if all of its expectations hold."""
        await backend.commit([append("a", 0, b"1"), append("b", 0, b"1"), WriteGroup((PutState(STATES, "a", b""),))])
        right = (LastKey(EVENTS, "a", 1), LastKey(EVENTS, "b", 1), StateVersion(STATES, "a", 1))
        put = Put(EVENTS, "a", 2, b"")

        outcomes = await backend.commit([WriteGroup((put,), (*right, wrong)), WriteGroup((put,), right)])

        assert [conflict is None for conflict in outcomes] == [False, True]

    async def test_an_expectation_may_guard_another_place(self, backend: Backend) -> None:
        """An expectation on one place guards writes to another: a writer's epoch fences its logs (GAP-01)."""
        await backend.commit([WriteGroup((PutState("epochs", "a", b"new owner"),))])
        fenced = WriteGroup((Put(EVENTS, "a", 1, b""),), (LastKey(EVENTS, "a", 0), StateVersion("epochs", "a", 0)))

        [conflict] = await backend.commit([fenced])

        assert conflict == Conflict(StateVersion("epochs", "a", 0), 1)
        assert await backend.collection(EVENTS, "a").last() == 0

    async def test_expectations_are_about_what_was_before_the_group(self, backend: Backend) -> None:
        """A group's expectations are held against the store before its own writes."""
        writes = (Purge(EVENTS, "a"), Put(EVENTS, "a", 9, b""), PutState(STATES, "a", b""))
        expectations = (LastKey(EVENTS, "a", 0), StateVersion(STATES, "a", 0))

        assert await backend.commit([WriteGroup(writes, expectations)]) == [None]

    async def test_a_group_sees_the_groups_before_it(self, backend: Backend) -> None:
        """A group's expectations are held against what the groups before it in the commit have written."""
        bump = PutState(STATES, "a", b"")
        groups = [
            append("a", 0, b"1", b"2"),
            append("a", 0, b"stale"),
            append("a", 2, b"3"),
            WriteGroup((bump,), (StateVersion(STATES, "a", 0),)),
            WriteGroup((bump,), (StateVersion(STATES, "a", 0),)),
            WriteGroup((bump,), (StateVersion(STATES, "a", 1), LastKey(EVENTS, "a", 3))),
        ]

        outcomes = await backend.commit(groups)

        assert [conflict and conflict.actual for conflict in outcomes] == [None, 2, None, None, 1, None]
        assert [value for _, value in await entries_of(backend.collection(EVENTS, "a"))] == [b"1", b"2", b"3"]

    @needs("prefixes_together")
    async def test_a_group_does_not_see_a_group_in_conflict(self, backend: Backend) -> None:
        """What a refused group would have written is not there for the groups after it."""
        refused = WriteGroup((Put(EVENTS, "a", 7, b""), PutState(STATES, "a", b"")), (LastKey(EVENTS, "b", 1),))
        after = WriteGroup((Put(EVENTS, "a", 1, b""),), (LastKey(EVENTS, "a", 0), StateVersion(STATES, "a", 0)))

        outcomes = await backend.commit([refused, after])

        assert [conflict is None for conflict in outcomes] == [False, True]
        assert await keys_of(backend.collection(EVENTS, "a")) == [1]

    async def test_a_group_sees_deletions_before_it(self, backend: Backend) -> None:
        """Heads fall within a commit as groups delete, purge and put again."""
        await backend.commit([puts("a", 1, 2, 3)])
        groups = [
            WriteGroup((Delete(EVENTS, "a", 3),), (LastKey(EVENTS, "a", 3),)),
            WriteGroup((DeleteRange(EVENTS, "a", 2, 100),), (LastKey(EVENTS, "a", 2),)),
            WriteGroup((Purge(EVENTS, "a"),), (LastKey(EVENTS, "a", 1),)),
            append("a", 0, b"new"),
        ]

        assert await backend.commit(groups) == [None] * 4

        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b"new")]

    async def test_compaction_keeps_the_head(self, backend: Backend) -> None:
        """A log that is compacted below its last event keeps its head: the stale are refused, the others go on.

        (TCK-J13, TCK-J15, TCK-J18)
        """
        await backend.commit([append("a", 0, *[b""] * 5)])
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 5),))])

        outcomes = await backend.commit([append("a", 0, b"new"), append("a", 4, b"stale"), append("a", 5, b"next")])

        assert [conflict and conflict.actual for conflict in outcomes] == [5, 5, None]
        assert await keys_of(backend.collection(EVENTS, "a")) == [5, 6]

    async def test_appending_and_compacting_go_together(self, backend: Backend) -> None:
        """One group may append to a log and delete what is below."""
        await backend.commit([append("a", 0, b"1", b"2")])
        group = WriteGroup((Put(EVENTS, "a", 3, b"3"), DeleteRange(EVENTS, "a", 1, 3)), (LastKey(EVENTS, "a", 2),))

        assert await backend.commit([group, append("a", 3, b"4")]) == [None, None]

        assert await entries_of(backend.collection(EVENTS, "a")) == [(3, b"3"), (4, b"4")]

    async def test_an_event_and_its_snapshot_are_one(self, backend: Backend) -> None:
        """A group over collections and states is applied to all of them or to none (GAP-03, GAP-10)."""

        def both(after: int, version: int) -> WriteGroup:
            writes = (
                Put(EVENTS, "a", after + 1, b""),
                Put("snapshots", "a", after + 1, b""),
                PutState(STATES, "a", b""),
            )
            return WriteGroup(writes, (LastKey(EVENTS, "a", after), StateVersion(STATES, "a", version)))

        outcomes = await backend.commit([both(0, 0), both(1, 0), both(0, 1)])

        assert [conflict is None for conflict in outcomes] == [True, False, False]
        assert await keys_of(backend.collection("snapshots", "a")) == [1]
        assert await backend.state(STATES, "a").version() == 1

    async def test_many_logs_in_one_commit(self, backend: Backend) -> None:
        """A commit of 5,000 groups on as many logs applies each."""
        groups = [append(f"account/{number}", 0, b"%d" % number) for number in range(5_000)]

        assert await backend.commit(groups) == [None] * 5_000

        assert await backend.collection(EVENTS, "account/4999").get(1) == b"4999"
        assert len(await backend.prefixes(EVENTS, limit=10_000)) == 5_000

    async def test_many_appends_to_one_log_in_one_commit(self, backend: Backend) -> None:
        """A commit of 5,000 groups on one log appends each after the one before."""
        groups = [append("a", number, b"%d" % number) for number in range(5_000)]

        assert await backend.commit(groups) == [None] * 5_000

        assert [value for _, value in await entries_of(backend.collection(EVENTS, "a"))] == [
            b"%d" % number for number in range(5_000)
        ]

    async def test_many_conflicts_in_one_commit(self, backend: Backend) -> None:
        """Of 5,000 groups each conflict stands in its group's place."""
        groups = [append(f"{number}", number % 2, b"") for number in range(5_000)]

        outcomes = await backend.commit(groups)

        assert [conflict is None for conflict in outcomes] == [number % 2 == 0 for number in range(5_000)]

    async def test_racing_writers_leave_one_winner(self, backend: Backend) -> None:
        """Of writers that race for one sequence number exactly one wins, and the losers learn the new head.

        (GAP-02, ORL-04)
        """
        for after in range(20):
            race = [backend.commit([append("a", after, b"%d" % writer)]) for writer in range(8)]

            outcomes = [conflict for [conflict] in await asyncio.gather(*race)]

            assert outcomes.count(None) == 1
            assert outcomes.count(Conflict(LastKey(EVENTS, "a", after), after + 1)) == 7
            assert await backend.collection(EVENTS, "a").get(after + 1) == b"%d" % outcomes.index(None)

    async def test_racing_writers_of_a_state_leave_one_winner(self, backend: Backend) -> None:
        """Of writers that saw the same version of a state exactly one wins (ORL-03, ORL-04)."""
        for seen in range(10):
            expectation = StateVersion(STATES, "a", seen)
            race = [
                backend.commit([WriteGroup((PutState(STATES, "a", b"%d" % writer),), (expectation,))])
                for writer in range(8)
            ]

            outcomes = [conflict for [conflict] in await asyncio.gather(*race)]

            assert outcomes.count(None) == 1
            assert await backend.state(STATES, "a").get() == (seen + 1, b"%d" % outcomes.index(None))

    @needs("feed")
    async def test_a_writer_reads_what_it_wrote(self, backend: Backend) -> None:
        """What a commit has applied is seen by every read that begins when it has returned (GAP-31)."""
        for after in range(50):
            await backend.commit([append("a", after, b""), WriteGroup((PutState(STATES, "a", b""),))])

            reads = backend.last(EVENTS, "a"), backend.read_state(STATES, "a"), backend.feed(EVENTS)
            last, (version, _), page = await asyncio.gather(*reads)

            assert (last, version, len(page.records)) == (after + 1, after + 1, after + 1)

    async def test_a_cancelled_commit_goes_on(self, backend: Backend) -> None:
        """A commit that was begun goes on when the one who waits for it is cancelled (GAP-06, GAP-07)."""
        commit = asyncio.ensure_future(backend.commit([append("a", 0, b"begun")]))
        await asyncio.sleep(0)

        commit.cancel()

        async with asyncio.timeout(self.patience):
            while await backend.collection(EVENTS, "a").last() == 0:  # noqa: ASYNC110  nobody is left to tell
                await asyncio.sleep(0)

    async def test_a_cancelled_commit_harms_no_other(self, backend: Backend) -> None:
        """Commits beside one that is cancelled get their own outcomes, and the log does not fork (GAP-06)."""
        for after in range(20):
            cancelled = asyncio.ensure_future(backend.commit([append("a", after, b"cancelled")]))
            beside = asyncio.ensure_future(backend.commit([append("b", after, b"")]))
            stale = asyncio.ensure_future(backend.commit([append("b", after + 100, b"")]))
            await asyncio.sleep(0)
            cancelled.cancel()

            assert await beside == [None]
            assert await stale == [Conflict(LastKey(EVENTS, "b", after + 100), after + 1)]
            await backend.commit([append("a", after, b"if it was not written")])

        assert await keys_of(backend.collection(EVENTS, "a")) == list(range(1, 21))

    async def test_a_cancelled_read_harms_no_other(self, backend: Backend) -> None:
        """Reads beside and after one that is cancelled get their own answers (GAP-06)."""
        await backend.commit([append(f"{number}", 0, b"%d" % number) for number in range(50)])

        for number in range(50):
            cancelled = asyncio.ensure_future(backend.collection(EVENTS, "0").get(1))
            await asyncio.sleep(0)
            cancelled.cancel()

            assert await backend.collection(EVENTS, f"{number}").get(1) == b"%d" % number
