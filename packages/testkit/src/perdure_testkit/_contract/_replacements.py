"""What replacing promises: another value where there is one, nothing where there is none, and no news in the feed."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

from perdure.abc import (
    MAX_KEY,
    Backend,
    Conflict,
    Delete,
    DeleteRange,
    LastKey,
    Purge,
    Put,
    PutState,
    Replace,
    StateVersion,
    Write,
    WriteGroup,
)
from perdure.errors import OutcomeUnknown, StoreError, StoreUnavailable
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import (
    EVENTS,
    STATES,
    all_prefixes,
    append,
    entries_of,
    fed,
    keys_of,
    puts,
    random_bytes,
    records_of,
)
from perdure_testkit._contract._stores import Launch, Reopen

_FIVE_IS_REMOVED = [Delete(EVENTS, "a", 5), DeleteRange(EVENTS, "a", 4, 7), Purge(EVENTS, "a")]


class ReplacementRules:
    largest: ClassVar[int]
    patience: ClassVar[float]

    @pytest.mark.parametrize("key", [2, 5, 6, 9])
    async def test_a_value_that_is_there_is_replaced(self, backend: Backend, key: int) -> None:
        """A key that is there gets the new value, be it first, last or between, and the others keep theirs."""
        await backend.commit([puts("a", 2, 5, 6, 9, value=b"old")])

        assert await backend.commit([_replace("a", key)]) == [None]

        assert await backend.collection(EVENTS, "a").get(key) == b"new"
        assert await entries_of(backend.collection(EVENTS, "a")) == [
            (each, b"new" if each == key else b"old") for each in (2, 5, 6, 9)
        ]

    @pytest.mark.parametrize("key", [1, 3, 7, 10, 2**53 + 1, MAX_KEY])
    async def test_where_there_is_nothing_a_replacement_is_silent(self, backend: Backend, key: int) -> None:
        """A key below, between or above those that are there does not come by being replaced, and nothing fails."""
        await backend.commit([puts("a", 2, 5, 6, 9)])

        assert await backend.commit([_replace("a", key)]) == [None]

        assert await entries_of(backend.collection(EVENTS, "a")) == [(each, b"") for each in (2, 5, 6, 9)]
        assert await backend.last(EVENTS, "a") == 9

    async def test_a_replacement_makes_no_prefix_appear(self, backend: Backend) -> None:
        """A prefix that holds nothing, in a collection that was written or never was, holds nothing afterwards."""
        await backend.commit([puts("a", 1)])

        await backend.commit([_replace("b", 1), WriteGroup((Replace("never_written", "b", 1, b"new"),))])

        assert await all_prefixes(backend) == ["a"]
        assert await backend.prefixes("never_written") == []
        assert await backend.last(EVENTS, "b") == 0
        assert await backend.commit([append("b", 0, b"")]) == [None]

    async def test_a_replaced_key_has_63_bits(self, backend: Backend) -> None:
        """A key is not taken for its neighbour, however large it is."""
        await backend.commit([puts("a", 2**53, 2**53 + 2, MAX_KEY - 1)])

        await backend.commit([_replace("a", key) for key in (2**53 + 1, 2**53 + 2, MAX_KEY)])

        assert await entries_of(backend.collection(EVENTS, "a")) == [
            *((2**53, b""), (2**53 + 2, b"new"), (MAX_KEY - 1, b""))
        ]

    async def test_a_replacement_stays_in_its_place(self, backend: Backend) -> None:
        """The same key under another prefix, in another collection, and the state of the prefix keep their values."""
        await backend.commit([puts(prefix, 1) for prefix in ("a", "a.b", "A")])
        await backend.commit([WriteGroup((Put("others", "a", 1, b""), PutState(EVENTS, "a", b"")))])

        await backend.commit([_replace("a", 1)])

        assert [await backend.collection(EVENTS, prefix).get(1) for prefix in ("a", "a.b", "A")] == [b"new", b"", b""]
        assert await backend.collection("others", "a").get(1) == b""
        assert await backend.state(EVENTS, "a").get() == (1, b"")

    @pytest.mark.parametrize("value", [b"", b"\0", b"\xff\0'\n", bytes(range(256)), random_bytes(300_000)])
    async def test_a_new_value_is_bytes_of_any_size(self, backend: Backend, value: bytes) -> None:
        """A value is replaced by any bytes, shorter or longer, and comes back as they were, also from a page."""
        await backend.commit([puts("a", 1, 2, 3, value=b"old")])

        await backend.commit([_replace("a", 2, value)])

        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b"old"), (2, value), (3, b"old")]

    @pytest.mark.parametrize("removal", _FIVE_IS_REMOVED)
    async def test_what_was_removed_is_not_brought_back(self, backend: Backend, removal: Write) -> None:
        """What was deleted, in a range or alone, or purged, stays gone, though it had been replaced before."""
        await backend.commit([puts("a", *range(1, 10))])
        await backend.commit([_replace("a", 5)])
        await backend.commit([WriteGroup((removal,))])
        left = await entries_of(backend.collection(EVENTS, "a"))

        assert await backend.commit([_replace("a", 5)]) == [None]

        assert await entries_of(backend.collection(EVENTS, "a")) == left
        assert await all_prefixes(backend) == (["a"] if left else [])
        assert await backend.last(EVENTS, "a") == (9 if left else 0)

    async def test_what_a_removal_spared_is_replaced(self, backend: Backend) -> None:
        """A key beside a range that was removed is replaced, the head of a compacted log too."""
        await backend.commit([puts("a", *range(1, 8))])
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 2, 5), Delete(EVENTS, "a", 6)))])

        await backend.commit([_replace("a", key) for key in range(1, 9)])

        assert await entries_of(backend.collection(EVENTS, "a")) == [(key, b"new") for key in (1, 5, 7)]

    async def test_what_was_put_again_is_replaced(self, backend: Backend) -> None:
        """A key that was removed and put again is replaced."""
        await backend.commit([puts("a", 1, 2)])
        await backend.commit([WriteGroup((Purge(EVENTS, "a"),)), puts("a", 2)])

        await backend.commit([_replace("a", 1), _replace("a", 2)])

        assert await entries_of(backend.collection(EVENTS, "a")) == [(2, b"new")]

    async def test_what_a_group_before_has_put_is_replaced(self, backend: Backend) -> None:
        """A group replaces what a group before it has put: at the end, in a gap, after a removal, in a new log."""
        await backend.commit([puts("a", 1, 5)])
        groups = [
            append("a", 5, b""),
            _replace("a", 6),
            puts("a", 3),
            _replace("a", 3),
            WriteGroup((Delete(EVENTS, "a", 1),)),
            puts("a", 1),
            _replace("a", 1),
        ]

        assert await backend.commit(groups) == [None] * 7
        assert await backend.commit([append("b", 0, b"1", b"2"), _replace("b", 1)]) == [None] * 2

        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b"new"), (3, b"new"), (5, b""), (6, b"new")]
        assert await entries_of(backend.collection(EVENTS, "b")) == [(1, b"new"), (2, b"2")]

    @pytest.mark.parametrize("removal", _FIVE_IS_REMOVED)
    async def test_what_a_group_before_has_removed_is_not_brought_back(self, backend: Backend, removal: Write) -> None:
        """A group does not replace what a group before it in the commit has removed, be it of before or of it."""
        await backend.commit([puts("a", *range(1, 10))])

        assert await backend.commit([_replace("a", 5), WriteGroup((removal,)), _replace("a", 5)]) == [None] * 3
        assert 5 not in await keys_of(backend.collection(EVENTS, "a"))

        assert await backend.commit([puts("a", 5), WriteGroup((removal,)), _replace("a", 5)]) == [None] * 3
        assert 5 not in await keys_of(backend.collection(EVENTS, "a"))

    @pytest.mark.parametrize(
        ("writes", "left"),
        [
            ((Put(EVENTS, "a", 3, b"put"), Replace(EVENTS, "a", 3, b"new")), {1: b"1", 2: b"2", 3: b"new"}),
            ((Replace(EVENTS, "a", 3, b"new"), Put(EVENTS, "a", 3, b"put")), {1: b"1", 2: b"2", 3: b"put"}),
            ((Put(EVENTS, "a", 2, b"put"), Replace(EVENTS, "a", 2, b"new")), {1: b"1", 2: b"new"}),
            ((Replace(EVENTS, "a", 2, b"new"), Put(EVENTS, "a", 2, b"put")), {1: b"1", 2: b"put"}),
            ((Delete(EVENTS, "a", 1), Replace(EVENTS, "a", 1, b"new")), {2: b"2"}),
            ((Replace(EVENTS, "a", 1, b"new"), DeleteRange(EVENTS, "a", 1, 2)), {2: b"2"}),
            ((DeleteRange(EVENTS, "a", 1, 2), Replace(EVENTS, "a", 1, b"new")), {2: b"2"}),
            ((Purge(EVENTS, "a"), Replace(EVENTS, "a", 2, b"new"), Put(EVENTS, "a", 1, b"put")), {1: b"put"}),
            ((Replace(EVENTS, "a", 1, b"first"), Replace(EVENTS, "a", 1, b"new")), {1: b"new", 2: b"2"}),
        ],
    )
    async def test_writes_of_a_group_and_its_replacements_are_in_order(
        self, backend: Backend, writes: tuple[Write, ...], left: dict[int, bytes]
    ) -> None:
        """Within a group a replacement meets what the writes before it have left, and those after it meet its value."""
        await backend.commit([append("a", 0, b"1", b"2")])

        assert await backend.commit([WriteGroup(writes)]) == [None]

        assert await entries_of(backend.collection(EVENTS, "a")) == sorted(left.items())

    async def test_the_rest_of_a_group_is_written_where_a_replacement_finds_nothing(self, backend: Backend) -> None:
        """A replacement that finds nothing keeps no other write of its group from being done, before it or after."""
        await backend.commit([append("a", 0, b"1")])
        writes = (Put(EVENTS, "a", 2, b"2"), Replace(EVENTS, "a", 9, b""), Put(EVENTS, "a", 3, b"3"))

        assert await backend.commit([WriteGroup(writes), append("a", 3, b"4")]) == [None, None]

        assert await keys_of(backend.collection(EVENTS, "a")) == [1, 2, 3, 4]

    @pytest.mark.parametrize("stale", [LastKey(EVENTS, "a", 2), StateVersion(STATES, "a", 0)])
    async def test_a_group_in_conflict_replaces_nothing(self, backend: Backend, stale: LastKey | StateVersion) -> None:
        """A replacement is held to what its group expects, and one of a refused group leaves the old value."""
        await backend.commit([append("a", 0, b"1", b"2", b"3"), WriteGroup((PutState(STATES, "a", b""),))])
        replace = Replace(EVENTS, "a", 2, b"new")
        holds = (LastKey(EVENTS, "a", 3), StateVersion(STATES, "a", 1))

        refused, applied = await backend.commit(
            [WriteGroup((Replace(EVENTS, "a", 1, b""),), (stale,)), WriteGroup((replace,), holds)]
        )

        assert refused == Conflict(stale, 3 if isinstance(stale, LastKey) else 1)
        assert applied is None
        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b"1"), (2, b"new"), (3, b"3")]

    async def test_what_a_refused_group_would_put_or_remove_counts_for_no_replacement(self, backend: Backend) -> None:
        """What a refused group would have put is not replaced by the groups after it, and what it would remove is."""
        await backend.commit([puts("a", 1, 2)])
        refused = WriteGroup((Put(EVENTS, "a", 3, b""), DeleteRange(EVENTS, "a", 1, 3)), (LastKey(EVENTS, "a", 9),))

        await backend.commit([refused, _replace("a", 1), _replace("a", 3)])

        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b"new"), (2, b"")]

    async def test_a_replacement_leaves_the_head(self, backend: Backend) -> None:
        """Replacing, in a commit with appends or not, changes no last key and no outcome of those who expect it."""
        await backend.commit([append("a", 0, b"1", b"2", b"3")])
        groups = [_replace("a", 1), append("a", 3, b"4"), _replace("a", 4), _replace("a", 9), append("a", 4, b"5")]

        assert await backend.commit(groups) == [None] * 5

        assert await backend.last(EVENTS, "a") == 5
        assert await backend.commit([append("a", 5, b"6"), append("a", 5, b"stale")]) == [
            None,
            Conflict(LastKey(EVENTS, "a", 5), 6),
        ]
        assert [value for _, value in await entries_of(backend.collection(EVENTS, "a"))] == [
            *(b"new", b"2", b"3", b"new", b"5", b"6")
        ]

    async def test_many_are_replaced_in_one_commit(self, backend: Backend) -> None:
        """Of 5,000 replacements in one commit, in groups of one and of hundreds, those that find a value count."""
        await backend.commit([puts("a", *range(1, 2_501))])
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 1_001),))])
        singly = [_replace("a", key) for key in range(1, 2_001)]
        together = WriteGroup(tuple(Replace(EVENTS, "a", key, b"new") for key in range(2_001, 5_001)))

        assert await backend.commit([*singly, together]) == [None] * 2_001

        assert await entries_of(backend.collection(EVENTS, "a")) == [(key, b"new") for key in range(1_001, 2_501)]

    @needs("feed")
    async def test_a_replaced_value_keeps_its_place_in_the_feed(self, backend: Backend) -> None:
        """A value that was replaced appears once, where the one before it was."""
        await backend.commit([append("a", 0, b"1", b"2", b"3")])

        await backend.commit([_replace("a", 2)])
        await backend.commit([append("a", 3, b"4")])

        assert [record async for record in records_of(backend)] == [
            *(("a", 1, b"1"), ("a", 2, b"new"), ("a", 3, b"3"), ("a", 4, b"4"))
        ]

    @needs("feed", "prefixes_together")
    async def test_replaced_values_keep_the_commit_order_of_all_prefixes(self, backend: Backend) -> None:
        """However often values of several prefixes are replaced, and in whatever order, the feed keeps its own."""
        for after in range(5):
            await backend.commit([append(prefix, after, b"") for prefix in "ba"])

        for key in (5, 1, 3, 1):
            await backend.commit([_replace("a", key), _replace("b", key)])

        assert [record async for record in records_of(backend)] == [
            (prefix, key, b"new" if key in (1, 3, 5) else b"") for key in range(1, 6) for prefix in "ba"
        ]

    @needs("feed")
    async def test_a_replaced_value_is_not_met_again_in_the_feed(self, backend: Backend) -> None:
        """Behind an offset that was handed out after a value, at the end or in the midst, it does not come again."""
        await backend.commit([append("a", 0, *[b"old"] * 6)])
        midst = (await backend.feed(EVENTS, None, 3)).offset
        end = (await backend.feed(EVENTS, midst)).offset

        await backend.commit([_replace("a", key) for key in (1, 3, 6)])
        await backend.commit([append("a", 6, b"next")])

        assert await fed(backend, end) == [("a", 7)]
        assert await fed(backend, midst) == [("a", key) for key in (4, 5, 6, 7)]

    @needs("feed")
    async def test_a_reader_of_the_feed_who_comes_to_it_meets_the_new_value(self, backend: Backend) -> None:
        """Who has not passed a value yet finds the new one in its place, and the old one no more."""
        await backend.commit([append("a", 0, b"1", b"2", b"3")])
        offset = (await backend.feed(EVENTS, None, 1)).offset

        await backend.commit([_replace("a", 2), _replace("a", 3, b"a longer one than it was")])

        assert [record async for record in records_of(backend, offset)] == [
            *(("a", 2, b"new"), ("a", 3, b"a longer one than it was"))
        ]

    @needs("feed")
    async def test_replaced_and_put_again_differ_in_the_feed(self, backend: Backend) -> None:
        """A put moves a value that was replaced to the newest place, and a replacement leaves it there."""
        await backend.commit([append("a", 0, b"1", b"2", b"3")])

        await backend.commit([_replace("a", 1), puts("a", 1, 2, value=b"put")])
        await backend.commit([_replace("a", 1)])

        assert [record async for record in records_of(backend)] == [("a", 3, b"3"), ("a", 1, b"new"), ("a", 2, b"put")]

    @needs("feed")
    async def test_a_replaced_value_takes_its_place_out_of_the_feed_with_it(self, backend: Backend) -> None:
        """What was replaced and is then deleted, or put again, leaves its place, and the others keep theirs."""
        await backend.commit([append("a", 0, *[b"old"] * 6)])
        await backend.commit([_replace("a", key) for key in (2, 3, 5)])

        await backend.commit([WriteGroup((Delete(EVENTS, "a", 3), Put(EVENTS, "a", 2, b"put")))])
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 5, 6),))])

        assert await fed(backend) == [("a", 1), ("a", 4), ("a", 6), ("a", 2)]

    @needs("feed")
    async def test_what_is_put_and_replaced_in_one_commit_is_fed_once(self, backend: Backend) -> None:
        """A value that was put and replaced at once appears once, where it was put."""
        await backend.commit(
            [
                append("a", 0, b"1", b"2", b"3"),
                _replace("a", 2),
                append("a", 3, b"4"),
                _replace("a", 4),
                _replace("a", 3),
            ]
        )

        assert [record async for record in records_of(backend)] == [
            *(("a", 1, b"1"), ("a", 2, b"new"), ("a", 3, b"new"), ("a", 4, b"new"))
        ]

    @needs("feed")
    @pytest.mark.parametrize("removal", _FIVE_IS_REMOVED)
    async def test_what_is_not_brought_back_is_not_in_the_feed(self, backend: Backend, removal: Write) -> None:
        """Neither what was replaced and removed nor what was removed and replaced appears."""
        await backend.commit([puts("a", *range(1, 10))])
        await backend.commit([_replace("a", 5), WriteGroup((removal,)), _replace("a", 5)])
        await backend.commit([_replace("a", 5)])

        records = await fed(backend)

        assert records == [("a", key) for key in await keys_of(backend.collection(EVENTS, "a"))]
        assert ("a", 5) not in records

    @needs("feed")
    async def test_a_follower_of_the_feed_beside_replacements_sees_each_record_once(self, backend: Backend) -> None:
        """A reader that follows the feed while all that was written is replaced sees every record once, in order."""
        length = 60

        async def write() -> None:
            for after in range(length):
                await backend.commit([append("a", after, b"old")])
                await backend.commit([_replace("a", key) for key in (1, after // 2, after, after + 1) if key])

        writing = asyncio.create_task(write())
        seen: list[int] = []
        offset: str | None = None
        try:
            async with asyncio.timeout(self.patience):
                while len(seen) < length:
                    page = await backend.feed(EVENTS, offset, 7)
                    seen += [record.key for record in page.records]
                    offset = page.offset
                    await asyncio.sleep(0)
        finally:
            await writing

        assert (await backend.feed(EVENTS, offset)).records == []
        assert seen == list(range(1, length + 1))

    async def test_a_new_value_of_the_greatest_size_is_kept(self, backend: Backend) -> None:
        """A value is replaced by one of the stated limit, which comes back as it was."""
        size = min(backend.max_value_bytes, self.largest)
        value = (random_bytes(1_000_003) * (size // 1_000_003 + 1))[:size]
        await backend.commit([append("a", 0, b"old")])

        await backend.commit([_replace("a", 1, value)])

        assert await backend.collection(EVENTS, "a").get(1) == value

    @pytest.mark.parametrize("key", [1, 2])
    async def test_a_new_value_over_the_limit_is_refused(self, backend: Backend, key: int) -> None:
        """A value over the stated limit is a StoreError and changes nothing, whether there is one to replace or not."""
        await backend.commit([append("a", 0, b"old")])
        groups = [append("a", 1, b"next"), _replace("a", key, bytes(backend.max_value_bytes + 1))]

        with pytest.raises(StoreError) as caught:
            await backend.commit(groups)

        assert not isinstance(caught.value, OutcomeUnknown | StoreUnavailable)
        assert await entries_of(backend.collection(EVENTS, "a")) == [(1, b"old")]
        assert await backend.commit([append("a", 1, b"next")]) == [None]

    @needs("reopening")
    async def test_what_was_replaced_is_replaced_when_opened_again(self, backend: Backend, reopen: Reopen) -> None:
        """New values are there when the store is opened again, what was absent is not, and the head is as it was."""
        await backend.commit([append("a", 0, b"1", b"2", b"3")])
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 2),))])
        await backend.commit([_replace("a", key) for key in (1, 2, 9)])

        await backend.close()
        backend = await reopen()

        assert await entries_of(backend.collection(EVENTS, "a")) == [(2, b"new"), (3, b"3")]
        assert await backend.commit([append("a", 2, b"stale"), append("a", 3, b"4")]) == [
            Conflict(LastKey(EVENTS, "a", 2), 3),
            None,
        ]
        await backend.commit([_replace("a", 1), _replace("a", 3)])
        assert await entries_of(backend.collection(EVENTS, "a")) == [(2, b"new"), (3, b"new"), (4, b"4")]

    @needs("reopening", "feed")
    async def test_a_replaced_value_keeps_its_place_in_the_feed_when_opened_again(
        self, backend: Backend, reopen: Reopen
    ) -> None:
        """The feed and its offsets are the same after values were replaced, before or after the store was reopened."""
        await backend.commit([append("a", 0, b"1", b"2", b"3", b"4")])
        offset = (await backend.feed(EVENTS, None, 2)).offset
        await backend.commit([_replace("a", 1), _replace("a", 3)])

        await backend.close()
        backend = await reopen()
        await backend.commit([_replace("a", 2), _replace("a", 4)])

        assert [record async for record in records_of(backend)] == [("a", key, b"new") for key in (1, 2, 3, 4)]
        assert await fed(backend, offset) == [("a", 3), ("a", 4)]

    async def test_replacing_beside_removal_brings_nothing_back(self, backend: Backend) -> None:
        """Commits that replace a log while others remove it from its start leave what the removals left."""
        await backend.commit([puts("a", *range(1, 101))])
        sweep = [backend.commit([_replace("a", key)]) for key in range(1, 101)]
        removals = [backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, stop),))]) for stop in range(2, 100)]

        await asyncio.gather(*(commit for pair in zip(sweep, removals, strict=False) for commit in pair), *sweep[98:])

        assert await entries_of(backend.collection(EVENTS, "a")) == [(99, b"new"), (100, b"new")]

    @needs("openers")
    @pytest.mark.parametrize("removal", _FIVE_IS_REMOVED)
    async def test_what_another_opener_removed_is_not_brought_back(
        self, backend: Backend, another: Reopen, removal: Write
    ) -> None:
        """Who wrote and replaced a log last brings nothing back that another opener has removed since."""
        other = await another()
        await backend.commit([append("a", 0, *[b""] * 9)])
        await backend.commit([_replace("a", 5)])
        await other.commit([WriteGroup((removal,))])
        left = await entries_of(other.collection(EVENTS, "a"))

        assert await backend.commit([_replace("a", 5)]) == [None]

        assert await entries_of(other.collection(EVENTS, "a")) == left
        assert await backend.last(EVENTS, "a") == (9 if left else 0)

    @needs("openers")
    async def test_what_another_opener_replaced_is_read(self, backend: Backend, another: Reopen) -> None:
        """What one opener has replaced is seen by every read that another begins afterwards."""
        other = await another()
        await backend.commit([append("a", 0, b"1", b"2")])

        for number in range(10):
            await other.commit([_replace("a", 1, b"%d" % number)])

            assert await backend.collection(EVENTS, "a").get(1) == b"%d" % number

    @needs("processes")
    async def test_a_process_that_replaces_beside_removal_brings_nothing_back(
        self, launch: Launch, backend: Backend
    ) -> None:
        """A process that replaces a log while another removes it from its start leaves what the removals left."""
        await backend.commit([puts("a", *range(1, 201))])
        rival = await launch("replace", "a", 200)
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 51),))])

        rival.go()
        for stop in range(52, 201):
            await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, stop),))])

        assert [line async for line in rival.lines()] == [f"replaced {key}" for key in range(1, 201)]
        await rival.end()
        assert await entries_of(backend.collection(EVENTS, "a")) == [(200, b"new")]


def _replace(prefix: str, key: int, value: bytes = b"new") -> WriteGroup:
    """Return the group that replaces a value of the events and expects nothing."""
    return WriteGroup((Replace(EVENTS, prefix, key, value),))
