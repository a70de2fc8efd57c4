"""What keeps one place of a store apart from another, and what finds them all."""

from __future__ import annotations

import pytest

from perdure.abc import Backend, Delete, Purge, Put, PutState, WriteGroup
from perdure.errors import InvalidIdentifier
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import (
    EVENTS,
    INVALID_NAMES,
    INVALID_PREFIXES,
    PREFIXES,
    STATES,
    all_prefixes,
    append,
    entries_of,
    fed,
    puts,
)

_NAMES = (
    "events",
    "events_",
    "events_by_key",
    "event",
    "e",
    "select",
    "table",
    "prefixes",
    "catalog",
    "a" * 48,
    "a" * 47,
)


class IsolationRules:
    async def test_prefixes_hold_each_their_own(self, backend: Backend) -> None:
        """Prefixes that contain each other, differ in case alone, or look like syntax hold each their own entries.

        (GAP-19, ORL-08)
        """
        await backend.commit([append(prefix, 0, b"1", prefix.encode()) for prefix in PREFIXES])

        for prefix in PREFIXES:
            assert await entries_of(backend.collection(EVENTS, prefix)) == [(1, b"1"), (2, prefix.encode())], prefix

    async def test_prefixes_have_each_their_head(self, backend: Backend) -> None:
        """The head of a log is not that of a prefix like it (ATS-02)."""
        await backend.commit([append(prefix, 0, *[b""] * length) for length, prefix in enumerate(PREFIXES)])

        outcomes = await backend.commit([append(prefix, length, b"") for length, prefix in enumerate(PREFIXES)])

        assert outcomes == [None] * len(PREFIXES)

    async def test_a_purge_spares_prefixes_like_it(self, backend: Backend) -> None:
        """Purging one prefix leaves every other, in one commit and over several."""
        await backend.commit([append(prefix, 0, b"") for prefix in PREFIXES])
        left = list(PREFIXES)

        for prefix in PREFIXES[::3]:
            await backend.collection(EVENTS, prefix).purge()
            left.remove(prefix)

            assert await all_prefixes(backend) == left, prefix

    async def test_states_hold_each_their_own(self, backend: Backend) -> None:
        """States of prefixes that contain each other, or look like syntax, hold each their own value.

        (GAP-19, TCK-D05)
        """
        await backend.commit([WriteGroup((PutState(STATES, prefix, prefix.encode()),)) for prefix in PREFIXES])

        for prefix in PREFIXES:
            assert await backend.state(STATES, prefix).get() == (1, prefix.encode()), prefix

    async def test_states_are_deleted_each_alone(self, backend: Backend) -> None:
        """Deleting and purging states leaves those of prefixes like theirs."""
        await backend.commit([WriteGroup((PutState(STATES, prefix, b""),)) for prefix in PREFIXES])

        for prefix in PREFIXES[::2]:
            await backend.state(STATES, prefix).delete()
        for prefix in PREFIXES[::4]:
            await backend.state(STATES, prefix).purge()

        versions = [await backend.state(STATES, prefix).version() for prefix in PREFIXES]
        assert versions == [(0, 1, 2, 1)[place % 4] for place in range(len(PREFIXES))]

    async def test_collections_hold_each_their_own(self, backend: Backend) -> None:
        """Collections and states of all names hold each their own, under one prefix (GAP-19, ORL-17)."""
        for name in _NAMES:
            await backend.collection(name, "a").put(1, name.encode())
            await backend.state(name, "a").put(name.encode() * 2)

        for name in _NAMES:
            assert await entries_of(backend.collection(name, "a")) == [(1, name.encode())], name
            assert await backend.state(name, "a").get() == (1, name.encode() * 2), name

    async def test_a_purge_spares_other_collections(self, backend: Backend) -> None:
        """Purging a prefix in one collection leaves it in the others, and leaves its state."""
        for name in _NAMES:
            await backend.collection(name, "a").put(1, b"")
            await backend.state(name, "a").put(b"")

        await backend.collection(EVENTS, "a").purge()

        assert [name for name in _NAMES if not await backend.collection(name, "a").last()] == [EVENTS]
        assert await backend.state(EVENTS, "a").version() == 1

    async def test_an_invalid_prefix_is_refused(self, backend: Backend) -> None:
        """A prefix that is empty, too long, has a NUL or is no Unicode raises InvalidIdentifier (GAP-19, ATS-21)."""
        for prefix in INVALID_PREFIXES:
            with pytest.raises(InvalidIdentifier):
                backend.collection(EVENTS, prefix)
            with pytest.raises(InvalidIdentifier):
                backend.state(STATES, prefix)

    async def test_an_invalid_name_is_refused(self, backend: Backend) -> None:
        """A name that is not of the plain kind raises InvalidIdentifier (GAP-19)."""
        for name in INVALID_NAMES:
            with pytest.raises(InvalidIdentifier):
                backend.collection(name, "a")
            with pytest.raises(InvalidIdentifier):
                backend.state(name, "a")

    async def test_an_unknown_collection_has_no_prefixes(self, backend: Backend) -> None:
        """A collection that was never written has no prefixes."""
        assert await backend.prefixes("never_written") == []

    @pytest.mark.parametrize("limit", [1, 7, 1000])
    async def test_prefixes_come_in_the_order_of_code_points(self, backend: Backend, limit: int) -> None:
        """All prefixes come exactly as they were given, in the order of code points, in pages of any size.

        (GAP-19, GAP-23)
        """
        await backend.commit([append(prefix, 0, b"") for prefix in reversed(PREFIXES)])

        assert await all_prefixes(backend, limit) == list(PREFIXES)

    async def test_prefixes_begin_after_any_text(self, backend: Backend) -> None:
        """A page of prefixes begins after a text that need not be one of them, and has at most its limit."""
        await backend.commit([append(prefix, 0, b"") for prefix in ("a", "c", "e", "g")])

        assert await backend.prefixes(EVENTS, "b", 2) == ["c", "e"]
        assert await backend.prefixes(EVENTS, "c", 2) == ["e", "g"]
        assert await backend.prefixes(EVENTS, "g", 2) == []

    @pytest.mark.parametrize("write", [Delete(EVENTS, "b", 1), Purge(EVENTS, "b")])
    async def test_a_prefix_without_entries_is_not_listed(self, backend: Backend, write: Delete | Purge) -> None:
        """A prefix is listed only while it holds an entry."""
        await backend.commit([append(prefix, 0, b"") for prefix in "abc"])

        await backend.commit([WriteGroup((write,))])

        assert await backend.prefixes(EVENTS) == ["a", "c"]
        await backend.commit([append("b", 0, b"")])
        assert await backend.prefixes(EVENTS) == ["a", "b", "c"]

    async def test_states_are_not_listed_as_prefixes(self, backend: Backend) -> None:
        """States do not count as prefixes of a collection of their name, nor do refused groups."""
        await backend.commit([WriteGroup((PutState(EVENTS, "a", b""),)), append("b", 1, b"stale")])

        assert await backend.prefixes(EVENTS) == []

    async def test_many_prefixes_are_paged_while_others_come(self, backend: Backend) -> None:
        """Paging through 2,500 prefixes finds each once, and those that came meanwhile ahead of it (GAP-23)."""
        await backend.commit([append(f"{number:05}", 0, b"") for number in range(0, 5_000, 2)])
        found = await backend.prefixes(EVENTS, limit=1000)
        await backend.commit([append(f"{number:05}", 0, b"") for number in (1, 4_999)])

        while page := await backend.prefixes(EVENTS, found[-1], 1000):
            found += page

        assert found == [*(f"{number:05}" for number in range(0, 5_000, 2)), "04999"]

    @needs("feed", "prefixes_together")
    async def test_the_feed_has_every_prefix(self, backend: Backend) -> None:
        """The feed names every prefix exactly as it was given."""
        await backend.commit([WriteGroup((Put(EVENTS, prefix, 1, b""),)) for prefix in PREFIXES])

        assert await fed(backend) == [(prefix, 1) for prefix in PREFIXES]

    async def test_long_and_short_prefixes_are_used_together(self, backend: Backend) -> None:
        """One commit may write to a thousand new and old prefixes of all lengths (GAP-19)."""
        names = ["x" * length for length in range(1, 1025)]
        await backend.commit([puts(prefix, 1) for prefix in names[::2]])

        assert await backend.commit([puts(prefix, 2) for prefix in names]) == [None] * 1024

        assert await all_prefixes(backend) == names
