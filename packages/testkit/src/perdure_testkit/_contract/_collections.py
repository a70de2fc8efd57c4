"""What a collection promises."""

from __future__ import annotations

import asyncio

import pytest

from perdure.abc import MAX_KEY, Backend, Delete, DeleteRange, Page, Put, WriteGroup
from perdure.errors import EntryNotFound, InvalidIdentifier
from perdure_testkit._contract._material import (
    EVENTS,
    PREFIXES,
    SIZES,
    VALUES,
    append,
    entries_of,
    keys_of,
    puts,
    random_bytes,
)

_PLENTY = 1 << 30


class CollectionRules:
    async def test_a_value_is_read_back_under_its_key(self, backend: Backend) -> None:
        """A value is read back under its key (ORL-01, TCK-J01)."""
        log = backend.collection(EVENTS, "a")

        await log.put(7, b"seven")

        assert await log.get(7) == b"seven"

    async def test_a_second_put_replaces_the_value(self, backend: Backend) -> None:
        """A second put replaces the value, and adds no entry (TCK-S10)."""
        log = backend.collection(EVENTS, "a")
        await log.put(1, b"old and longer")

        await log.put(1, b"new")

        assert await entries_of(log) == [(1, b"new")]

    async def test_a_missing_key_is_named(self, backend: Backend) -> None:
        """Getting a missing key raises EntryNotFound with the real key (TCK-J11)."""
        log = backend.collection(EVENTS, "a.b/c")
        await log.put(1, b"")

        with pytest.raises(EntryNotFound) as caught:
            await log.get(2)

        assert caught.value.key == "events/a.b/c/2"

    async def test_a_key_of_an_unknown_collection_is_named(self, backend: Backend) -> None:
        """Getting from a collection that was never written raises EntryNotFound with the real key.

        (TCK-J11, TCK-S01)
        """
        with pytest.raises(EntryNotFound) as caught:
            await backend.collection("never_written", "a").get(1)

        assert caught.value.key == "never_written/a/1"

    async def test_a_deleted_key_is_gone(self, backend: Backend) -> None:
        """A deleted key is gone, and its neighbours are not (TCK-S07)."""
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", 1, 2, 3)])

        await log.delete(2)

        assert await keys_of(log) == [1, 3]

    async def test_deleting_a_missing_key_is_an_error(self, backend: Backend) -> None:
        """Deleting a missing key raises EntryNotFound with the real key."""
        with pytest.raises(EntryNotFound) as caught:
            await backend.collection(EVENTS, "a").delete(5)

        assert caught.value.key == "events/a/5"

    async def test_a_key_is_deleted_once(self, backend: Backend) -> None:
        """A second delete of a key raises EntryNotFound."""
        log = backend.collection(EVENTS, "a")
        await log.put(1, b"")
        await log.delete(1)

        with pytest.raises(EntryNotFound):
            await log.delete(1)

    async def test_the_last_key_of_nothing_is_0(self, backend: Backend) -> None:
        """The last key of an empty collection is 0 (TCK-J11, ATS-07)."""
        assert await backend.collection(EVENTS, "a").last() == 0

    async def test_the_last_key_is_the_greatest(self, backend: Backend) -> None:
        """The last key is the greatest one, not the one that was put last."""
        log = backend.collection(EVENTS, "a")
        await log.put(10, b"")

        await log.put(9, b"")

        assert await log.last() == 10

    async def test_the_last_key_falls_when_it_is_deleted(self, backend: Backend) -> None:
        """When the greatest key is deleted the next one below is the last."""
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", 3, 5)])

        await log.delete(5)

        assert await log.last() == 3

    async def test_entries_come_in_the_order_of_numbers(self, backend: Backend) -> None:
        """Entries come in the order of their keys as numbers, whatever the order of the puts."""
        await backend.commit([puts("a", 100, 9, 10, 2, 2**40, 2**31, 1)])

        assert await keys_of(backend.collection(EVENTS, "a")) == [1, 2, 9, 10, 100, 2**31, 2**40]

    async def test_reverse_is_the_other_way_round(self, backend: Backend) -> None:
        """With reverse the greatest key comes first (TCK-S04)."""
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", 1, 2, 10)])

        assert [entry.key async for entry in log.iterate(reverse=True)] == [10, 2, 1]

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_nothing_is_iterated_where_nothing_is(self, backend: Backend, reverse: bool) -> None:
        """An empty collection yields nothing, in either direction (TCK-J11, TCK-S01, ATS-03)."""
        assert [entry async for entry in backend.collection(EVENTS, "a").iterate(reverse=reverse)] == []

    @pytest.mark.parametrize(
        ("start", "stop", "keys"),
        [
            (1, 9, [2, 4, 6, 8]),
            (4, 6, [4]),
            (3, 7, [4, 6]),
            (4, 4, []),
            (6, 4, []),
            (5, 6, []),
            (9, 100, []),
            (1, 2, []),
            (8, None, [8]),
            (MAX_KEY, None, []),
            (MAX_KEY + 1, None, []),
        ],
    )
    async def test_bounds_include_start_and_exclude_stop(
        self, backend: Backend, start: int, stop: int | None, keys: list[int]
    ) -> None:
        """Of the bounds of an iteration the start is included and the stop is not.

        (TCK-J02, TCK-J03, TCK-J05, TCK-J07, TCK-J10, TCK-S03, ATS-03)
        """
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", 2, 4, 6, 8)])

        assert [entry.key async for entry in log.iterate(start, stop)] == keys
        assert [entry.key async for entry in log.iterate(start, stop, reverse=True)] == keys[::-1]

    @pytest.mark.parametrize(("reverse", "keys"), [(False, [1, 2, 3]), (True, [9, 8, 7])])
    async def test_a_limit_ends_the_iteration(self, backend: Backend, reverse: bool, keys: list[int]) -> None:
        """A limit ends the iteration, counted from where it begins (TCK-J04)."""
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", *range(1, 10))])

        assert [entry.key async for entry in log.iterate(reverse=reverse, limit=3)] == keys

    @pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (9, 9), (10, 9)])
    async def test_a_limit_is_exact(self, backend: Backend, limit: int, count: int) -> None:
        """A limit of 0 gives nothing, and one beyond what there is gives all there is (TCK-J08, TCK-J09)."""
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", *range(1, 10))])

        assert len([entry async for entry in log.iterate(limit=limit)]) == count

    @pytest.mark.parametrize(
        ("start", "stop", "limit", "keys"),
        [(1, 3, 9, []), (1, 4, 9, []), (3, 9, 9, [4, 5, 6]), (4, 9, 2, [4, 5]), (2, 6, 9, [4, 5]), (2, 9, 1, [4])],
    )
    async def test_what_removal_left_is_read_within_bounds(
        self, backend: Backend, start: int, stop: int, limit: int, keys: list[int]
    ) -> None:
        """What is left of a log whose beginning was removed comes within bounds and limit.

        (TCK-J06, TCK-J16, TCK-J17, TCK-J22)
        """
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", *range(1, 7)), WriteGroup((DeleteRange(EVENTS, "a", 1, 4),))])

        assert [entry.key async for entry in log.iterate(start, stop, limit=limit)] == keys

    @pytest.mark.parametrize(("stop", "found"), [(None, [15]), (15, [14]), (14, [13]), (11, [])])
    async def test_the_latest_below_a_bound_is_found(
        self, backend: Backend, stop: int | None, found: list[int]
    ) -> None:
        """One entry in reverse from a bound is the latest before it, or none (TCK-S03, TCK-S04, TCK-S05)."""
        log = backend.collection("snapshots", "a")
        writes = tuple(Put("snapshots", "a", key, b"%d" % key) for key in range(11, 16))
        await backend.commit([WriteGroup(writes)])

        assert [entry.key async for entry in log.iterate(1, stop, reverse=True, limit=1)] == found

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_a_long_iteration_misses_nothing(self, backend: Backend, reverse: bool) -> None:
        """An iteration over several pages yields each entry once, in order (TCK-J01, TCK-P03)."""
        log = backend.collection(EVENTS, "a")
        keys = list(range(3, 4503, 3))
        await backend.commit([puts("a", *keys)])

        found = [entry.key async for entry in log.iterate(reverse=reverse)]

        assert found == (keys[::-1] if reverse else keys)

    @pytest.mark.parametrize("key", [1, 2**31, 2**53 + 1, MAX_KEY - 1, MAX_KEY])
    async def test_keys_have_63_bits(self, backend: Backend, key: int) -> None:
        """Keys up to 2**63 - 1 are kept exactly (GAP-21, ORL-09)."""
        log = backend.collection(EVENTS, "a")

        await log.put(key, b"value")

        assert (await log.last(), await log.get(key), await entries_of(log)) == (key, b"value", [(key, b"value")])

    async def test_the_greatest_key_is_deleted(self, backend: Backend) -> None:
        """The greatest possible key can be deleted, alone and in a range."""
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", 1, MAX_KEY - 1, MAX_KEY)])

        await log.delete(MAX_KEY)
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 2, MAX_KEY + 1),))])

        assert await keys_of(log) == [1]

    @pytest.mark.parametrize("key", [0, -1, MAX_KEY + 1])
    async def test_a_key_out_of_range_is_refused(self, backend: Backend, key: int) -> None:
        """A key below 1 or above 2**63 - 1 raises InvalidIdentifier, to read and to write."""
        log = backend.collection(EVENTS, "a")

        with pytest.raises(InvalidIdentifier):
            await log.get(key)
        with pytest.raises(InvalidIdentifier):
            await log.put(key, b"")

        assert await log.last() == 0

    async def test_values_of_any_size_are_kept(self, backend: Backend) -> None:
        """A value of any size, of no bytes and of several MiB, comes back as it was (GAP-20, TCK-S11)."""
        log = backend.collection(EVENTS, "a")

        for key, size in enumerate(SIZES, 1):
            await log.put(key, random_bytes(size))

        for key, size in enumerate(SIZES, 1):
            assert await log.get(key) == random_bytes(size), size

    async def test_values_are_bytes_and_nothing_else(self, backend: Backend) -> None:
        """A value is never taken for text, a number or the end of a string (GAP-19, GAP-21)."""
        log = backend.collection(EVENTS, "a")

        for key, value in enumerate(VALUES, 1):
            await log.put(key, value)

        assert [await log.get(key) for key in range(1, len(VALUES) + 1)] == list(VALUES)

    async def test_an_empty_value_is_a_value(self, backend: Backend) -> None:
        """An entry without bytes is there all the same (GAP-20)."""
        log = backend.collection(EVENTS, "a")

        await log.put(1, b"")

        assert (await log.last(), await entries_of(log)) == (1, [(1, b"")])

    async def test_values_read_together_stay_apart(self, backend: Backend) -> None:
        """Values that are written and read together keep their bounds."""
        values = [b"", b"", *VALUES, b"", *(random_bytes(size) for size in range(300)), b""]

        await backend.commit([append("a", 0, *values)])

        assert await entries_of(backend.collection(EVENTS, "a")) == list(enumerate(values, 1))

    async def test_a_purged_collection_is_empty(self, backend: Backend) -> None:
        """A purge removes everything: the last key is 0 and nothing is iterated."""
        log = backend.collection(EVENTS, "a")
        await backend.commit([puts("a", 1, 2, MAX_KEY)])

        await log.purge()

        assert (await log.last(), await entries_of(log)) == (0, [])

    async def test_purging_nothing_is_silent(self, backend: Backend) -> None:
        """Purging what is empty, or was never written, does nothing (ATS-13)."""
        await backend.collection("never_written", "a").purge()
        await backend.collection(EVENTS, "a").purge()

        assert await backend.collection(EVENTS, "a").last() == 0

    async def test_a_purged_collection_begins_anew(self, backend: Backend) -> None:
        """After a purge the collection can be written from its first key."""
        log = backend.collection(EVENTS, "a")
        await backend.commit([append("a", 0, b"old", b"old")])
        await log.purge()

        assert await backend.commit([append("a", 0, b"new")]) == [None]

        assert await entries_of(log) == [(1, b"new")]

    async def test_a_page_of_nothing_is_empty(self, backend: Backend) -> None:
        """A page of a collection that was never written is empty, with nothing behind it."""
        page = await backend.page("never_written", "a", 1, MAX_KEY + 1, limit=10, max_bytes=_PLENTY)

        assert page == ([], False)

    @pytest.mark.parametrize(("limit", "count", "more"), [(2, 2, True), (3, 3, False), (4, 3, False)])
    @pytest.mark.parametrize("reverse", [False, True])
    async def test_a_page_is_limited_in_entries(
        self, backend: Backend, limit: int, count: int, more: bool, reverse: bool
    ) -> None:
        """A page holds at most its limit of entries, and says whether there are more."""
        await backend.commit([puts("a", 1, 2, 3)])

        page = await backend.page(EVENTS, "a", 1, 10, limit=limit, max_bytes=_PLENTY, reverse=reverse)

        assert (len(page.entries), page.more) == (count, more)

    @pytest.mark.parametrize(
        ("max_bytes", "count", "more"), [(99, 1, True), (199, 1, True), (200, 2, True), (300, 3, False)]
    )
    @pytest.mark.parametrize("reverse", [False, True])
    async def test_a_page_is_limited_in_bytes(
        self, backend: Backend, max_bytes: int, count: int, more: bool, reverse: bool
    ) -> None:
        """A page holds at most its limit of bytes after the first entry, which always comes."""
        await backend.commit([puts("a", 1, 2, 3, value=bytes(100))])

        page = await backend.page(EVENTS, "a", 1, 10, limit=10, max_bytes=max_bytes, reverse=reverse)

        assert (len(page.entries), page.more) == (count, more)

    async def test_a_page_that_is_full_of_empty_values_says_so(self, backend: Backend) -> None:
        """Entries without bytes behind a full page are counted to it."""
        await backend.commit([append("a", 0, bytes(100), b"", b"", b"x")])

        page = await backend.page(EVENTS, "a", 1, 10, limit=10, max_bytes=100)

        assert ([entry.key for entry in page.entries], page.more) == ([1, 2, 3], True)

    async def test_what_is_behind_the_stop_is_not_more(self, backend: Backend) -> None:
        """Entries outside of the bounds of a page do not count as more."""
        await backend.commit([puts("a", 1, 2, 3, 4, 5)])

        page = await backend.page(EVENTS, "a", 2, 4, limit=2, max_bytes=_PLENTY)

        assert ([entry.key for entry in page.entries], page.more) == ([2, 3], False)

    @pytest.mark.parametrize(("limit", "max_bytes"), [(1000, _PLENTY), (4, _PLENTY), (1000, 10)])
    async def test_first_pages_of_many_are_those_of_each(self, backend: Backend, limit: int, max_bytes: int) -> None:
        """The first pages of many prefixes are what they are one by one, within limits for all of them together."""
        values = [bytes(size) for size in range(7)]
        written = [(prefix, values[: number % 7]) for number, prefix in enumerate(PREFIXES)]
        await backend.commit([append(prefix, 0, *some) for prefix, some in written if some])
        found: list[Page] = []

        while len(found) < len(PREFIXES):
            pages = await backend.pages(EVENTS, PREFIXES[len(found) :], limit=limit, max_bytes=max_bytes)
            entries = [entry for page in pages for entry in page.entries]
            assert pages
            assert len(entries) <= limit
            assert sum(len(entry.value) for entry in entries) <= max_bytes
            found += pages

        for prefix, page in zip(PREFIXES, found, strict=True):
            count = max(1, len(page.entries))
            assert page == await backend.page(EVENTS, prefix, 1, MAX_KEY + 1, limit=count, max_bytes=_PLENTY), prefix

    async def test_first_pages_of_nothing_are_empty(self, backend: Backend) -> None:
        """So are those of a collection that was never written; and there are none of no prefixes."""
        assert await backend.pages("never_written", ["a"], limit=10, max_bytes=_PLENTY) == [([], False)]
        assert await backend.pages(EVENTS, [], limit=10, max_bytes=_PLENTY) == []

    async def test_a_page_is_one_moment(self, backend: Backend) -> None:
        """A page shows the collection as it was at one moment, while others write."""
        steps = 200
        await backend.commit([puts("a", 1, 2)])

        async def write() -> None:
            for step in range(2, steps):  # after which the collection holds the keys from `step` to twice that
                oldest, newest = Delete(EVENTS, "a", step - 1), puts("a", 2 * step - 1, 2 * step)
                await backend.commit([WriteGroup((oldest, *newest.writes))])

        writing = asyncio.ensure_future(write())
        try:
            while not writing.done():
                await asyncio.sleep(0)
                page = await backend.page(EVENTS, "a", 1, MAX_KEY, limit=1000, max_bytes=_PLENTY)
                first = page.entries[0].key

                assert ([entry.key for entry in page.entries], page.more) == (list(range(first, 2 * first + 1)), False)
        finally:
            await writing
