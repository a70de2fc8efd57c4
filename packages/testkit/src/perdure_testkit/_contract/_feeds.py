"""What a feed promises."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

from perdure.abc import Backend, Delete, DeleteRange, Purge, Put, Write, WriteGroup
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import EVENTS, append, fed, puts, random_bytes, records_of


@needs("feed")
class FeedRules:
    patience: ClassVar[float]

    async def test_the_feed_of_nothing_is_empty(self, backend: Backend) -> None:
        """The feed of a collection that was never written has no records."""
        assert (await backend.feed("never_written")).records == []

    async def test_the_offset_of_nothing_can_be_resumed(self, backend: Backend) -> None:
        """What is written later appears after the offset that an empty feed gave."""
        offset = (await backend.feed(EVENTS)).offset

        await backend.commit([append("a", 0, b"1")])

        assert await fed(backend, offset) == [("a", 1)]

    async def test_records_hold_prefix_key_and_value(self, backend: Backend) -> None:
        """A record of the feed has its prefix, its key and its value."""
        await backend.commit([append("a", 0, b"one", b""), append("b", 0, b"\0\xff")])

        assert [record async for record in records_of(backend)] == [
            ("a", 1, b"one"),
            ("a", 2, b""),
            ("b", 1, b"\0\xff"),
        ]

    @needs("prefixes_together")
    async def test_records_come_in_commit_order(self, backend: Backend) -> None:
        """Records of all prefixes come in the order in which they were committed, and within a group were written."""
        await backend.commit([append("b", 0, b"", b""), append("a", 0, b"")])
        await backend.commit([append("c", 0, b"")])
        await backend.commit([append("a", 1, b""), append("b", 2, b"")])
        await backend.commit(
            [WriteGroup((Put(EVENTS, "d", 9, b""), Put(EVENTS, "a", 3, b""), Put(EVENTS, "d", 8, b"")))]
        )

        assert await fed(backend) == [
            *(("b", 1), ("b", 2), ("a", 1), ("c", 1), ("a", 2), ("b", 3)),
            *(("d", 9), ("a", 3), ("d", 8)),
        ]

    @pytest.mark.parametrize("limit", [1, 3, 10, 1000])
    @needs("prefixes_together")
    async def test_pages_cover_the_feed(self, backend: Backend, limit: int) -> None:
        """Pages of any size have each record once, in order, and never more than their limit."""
        for after in range(5):
            await backend.commit([append(prefix, after, b"") for prefix in "abcd"])

        assert await fed(backend, limit=limit) == [(prefix, key) for key in range(1, 6) for prefix in "abcd"]
        assert len((await backend.feed(EVENTS, None, limit)).records) == min(limit, 20)

    async def test_an_offset_can_be_resumed(self, backend: Backend) -> None:
        """What comes after an offset is the same each time, and what is written later comes after it too (GAP-09)."""
        await backend.commit([append("a", 0, *[b""] * 6)])
        offset = (await backend.feed(EVENTS, None, 4)).offset
        first = await fed(backend, offset)

        await backend.commit([append("b", 0, b"")])

        assert first == [("a", 5), ("a", 6)]
        assert await fed(backend, offset) == [*first, ("b", 1)]

    async def test_the_offset_at_the_end_stays(self, backend: Backend) -> None:
        """At the end of the feed the offset leads to what comes next, however often it is asked."""
        await backend.commit([append("a", 0, b"")])
        page = await backend.feed(EVENTS)
        for _ in range(3):
            page = await backend.feed(EVENTS, page.offset)

        await backend.commit([append("a", 1, b"")])

        assert page.records == []
        assert await fed(backend, page.offset) == [("a", 2)]

    async def test_an_offset_is_text(self, backend: Backend) -> None:
        """Offsets are text, so that they can be stored anywhere."""
        await backend.commit([append("a", 0, b"")])

        assert isinstance((await backend.feed(EVENTS)).offset, str)

    async def test_other_collections_have_other_feeds(self, backend: Backend) -> None:
        """The feed of a collection has nothing of another."""
        await backend.commit([append("a", 0, b""), append("a", 0, b"", collection="snapshots")])

        assert await fed(backend) == [("a", 1)]

    async def test_refused_groups_are_not_in_the_feed(self, backend: Backend) -> None:
        """What was refused does not appear."""
        await backend.commit([append("a", 0, b""), append("a", 0, b""), append("b", 3, b""), append("a", 1, b"")])

        assert await fed(backend) == [("a", 1), ("a", 2)]

    async def test_a_replaced_value_is_at_its_newest_place(self, backend: Backend) -> None:
        """A value that was replaced appears once, at its newest place, and behind an offset before it."""
        await backend.commit([append("a", 0, b"old", b"2", b"3")])
        offset = (await backend.feed(EVENTS)).offset

        await backend.commit([WriteGroup((Put(EVENTS, "a", 1, b"new"),))])

        assert [record async for record in records_of(backend)] == [("a", 2, b"2"), ("a", 3, b"3"), ("a", 1, b"new")]
        assert await fed(backend, offset) == [("a", 1)]

    @pytest.mark.parametrize(
        ("write", "left"),
        [
            (Delete(EVENTS, "a", 2), [("a", 1), ("b", 1), ("a", 3)]),
            (DeleteRange(EVENTS, "a", 1, 3), [("b", 1), ("a", 3)]),
            (Purge(EVENTS, "a"), [("b", 1)]),
        ],
    )
    @needs("prefixes_together")
    async def test_what_was_deleted_is_not_in_the_feed(
        self, backend: Backend, write: Write, left: list[tuple[str, int]]
    ) -> None:
        """What was deleted, alone, in a range or by a purge, does not appear."""
        await backend.commit([append("a", 0, b"", b""), append("b", 0, b""), append("a", 2, b"")])

        await backend.commit([WriteGroup((write,))])

        assert await fed(backend) == left

    @pytest.mark.parametrize("write", [Delete(EVENTS, "b", 1), DeleteRange(EVENTS, "b", 1, 9), Purge(EVENTS, "b")])
    @needs("prefixes_together")
    async def test_no_record_appears_behind_an_offset(self, backend: Backend, write: Write) -> None:
        """When the newest records are deleted, what is written later still appears after the offsets handed out.

        (GAP-08)
        """
        await backend.commit([append("a", 0, b""), append("b", 0, b"")])
        offset = (await backend.feed(EVENTS)).offset
        await backend.commit([WriteGroup((write,))])

        await backend.commit([append("c", 0, b""), append("b", 0, b"")])

        assert await fed(backend, offset) == [("c", 1), ("b", 1)]

    async def test_no_record_appears_behind_an_offset_of_an_emptied_collection(self, backend: Backend) -> None:
        """When all records are deleted, what is written later still appears after the offsets handed out (GAP-08)."""
        await backend.commit([append("a", 0, *[b""] * 10)])
        offset = (await backend.feed(EVENTS)).offset
        await backend.collection(EVENTS, "a").purge()

        await backend.commit([append("a", 0, b"")])

        assert await fed(backend, offset) == [("a", 1)]

    async def test_a_feed_of_large_values_misses_none(self, backend: Backend) -> None:
        """Records of a MiB each all come, in as many pages as it takes."""
        sizes = [1 << 20, 3, 0, *[1 << 20] * 9, 1]
        await backend.commit([append("a", 0, *map(random_bytes, sizes))])

        records = [record async for record in records_of(backend)]

        assert [record.value for record in records] == list(map(random_bytes, sizes))

    async def test_the_feed_skips_nothing_under_concurrent_writers(self, backend: Backend) -> None:
        """A reader that follows the feed while others write sees every record once, in the order that stays.

        (GAP-08)
        """
        writers, length = 8, 40

        async def write(prefix: str) -> None:
            for after in range(length):
                assert await backend.commit([append(prefix, after, b"")]) == [None]

        writing = asyncio.gather(*(write(f"{number}") for number in range(writers)))
        seen: list[tuple[str, int]] = []
        offset: str | None = None
        try:
            async with asyncio.timeout(self.patience):
                while len(seen) < writers * length:
                    page = await backend.feed(EVENTS, offset, 7)
                    seen += [(record.prefix, record.key) for record in page.records]
                    offset = page.offset
                    await asyncio.sleep(0)
        finally:
            await writing

        assert seen == await fed(backend)
        assert sorted(seen) == [(f"{number}", key) for number in range(writers) for key in range(1, length + 1)]

    @needs("prefixes_together")
    async def test_a_follower_survives_compaction(self, backend: Backend) -> None:
        """A reader that follows the feed while logs are compacted sees every record that is left (GAP-08)."""
        await backend.commit([append("a", 0, *[b""] * 10), append("b", 0, *[b""] * 10)])
        page = await backend.feed(EVENTS, None, 5)

        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 10),)), puts("c", 1)])

        assert await fed(backend, page.offset, 5) == [("a", 10), *(("b", key) for key in range(1, 11)), ("c", 1)]
