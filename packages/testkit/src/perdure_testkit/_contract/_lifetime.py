"""What opening and closing promise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from perdure.abc import (
    Backend,
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    LastKey,
    PutState,
    StateVersion,
    WriteGroup,
)
from perdure.errors import EntryNotFound, StoreClosed
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import (
    EVENTS,
    PREFIXES,
    STATES,
    all_prefixes,
    append,
    entries_of,
    fed,
    random_bytes,
)
from perdure_testkit._contract._stores import Reopen


class LifetimeRules:
    async def test_durability_is_one_of_two(self, backend: Backend) -> None:
        """A backend says which durability it gives."""
        assert backend.durability in ("full", "relaxed")

    @pytest.mark.parametrize(
        "use",
        [
            lambda backend: backend.commit([append("a", 0, b"")]),
            lambda backend: backend.commit([]),
            lambda backend: backend.page(EVENTS, "a", 1, 2, limit=1, max_bytes=1),
            lambda backend: backend.pages(EVENTS, ["a"], limit=1, max_bytes=1),
            lambda backend: backend.last(EVENTS, "a"),
            lambda backend: backend.read_state(STATES, "a"),
            lambda backend: backend.read_states(STATES, ["a"], max_bytes=1),
            lambda backend: backend.prefixes(EVENTS),
            lambda backend: backend.feed(EVENTS),
            lambda backend: backend.collection(EVENTS, "a").get(1),
            lambda backend: backend.collection(EVENTS, "a").put(1, b""),
            lambda backend: backend.state(STATES, "a").get(),
        ],
        ids=[
            *("commit", "empty commit", "page", "pages", "last", "read_state", "read_states", "prefixes", "feed"),
            *("get", "put", "state"),
        ],
    )
    async def test_a_closed_store_says_so(self, backend: Backend, use: Callable[[Backend], Awaitable[object]]) -> None:
        """Every call after close raises StoreClosed (GAP-29, ATS-18)."""
        await backend.commit([append("a", 0, b"")])

        await backend.close()

        with pytest.raises(StoreClosed):
            await use(backend)

    async def test_closing_twice_is_closing_once(self, backend: Backend) -> None:
        """Closing again does nothing, one after the other and at the same time (GAP-29, ATS-18)."""
        await asyncio.gather(backend.close(), backend.close())

        await backend.close()

        with pytest.raises(StoreClosed):
            await backend.last(EVENTS, "a")

    async def test_an_unused_store_closes(self, backend: Backend) -> None:
        """A store that was opened and never used closes."""
        await backend.close()

    async def test_closing_finishes_what_was_begun(self, backend: Backend) -> None:
        """Commits and reads that were begun before close end as if it had not come (GAP-29)."""
        commits = [asyncio.ensure_future(backend.commit([append(f"{n}", 0, b"")])) for n in range(20)]
        reads = [asyncio.ensure_future(backend.prefixes(EVENTS)) for _ in range(20)]
        await asyncio.sleep(0)

        await backend.close()

        assert await asyncio.gather(*commits) == [[None]] * 20
        assert len(await asyncio.gather(*reads)) == 20

    async def test_many_calls_at_once_get_their_own_answers(self, backend: Backend) -> None:
        """Hundreds of commits and reads at once each get their own answer (ORL-04)."""
        await backend.commit([append(f"{n}", 0, b"%d" % n) for n in range(200)])

        commits = [asyncio.ensure_future(backend.commit([append(f"{n}", n % 3, b"")])) for n in range(200)]
        values = await asyncio.gather(*(backend.collection(EVENTS, f"{n}").get(1) for n in range(200)))
        outcomes = [conflict is None for [conflict] in await asyncio.gather(*commits)]

        assert values == [b"%d" % n for n in range(200)]
        assert outcomes == [n % 3 == 1 for n in range(200)]

    @needs("reopening")
    async def test_what_was_committed_is_there_again(self, backend: Backend, reopen: Reopen) -> None:
        """Everything that was committed is there when the store is opened again (ORL-01, TCK-J01)."""
        values = [b"", b"\0\xff", random_bytes(100_000)]
        await backend.commit([append(prefix, 0, *values) for prefix in PREFIXES])
        await backend.commit([WriteGroup((PutState(STATES, prefix, prefix.encode()),)) for prefix in PREFIXES])

        await backend.close()
        backend = await reopen()

        assert await all_prefixes(backend) == list(PREFIXES)
        for prefix in PREFIXES:
            assert await entries_of(backend.collection(EVENTS, prefix)) == list(enumerate(values, 1))
            assert await backend.state(STATES, prefix).get() == (1, prefix.encode())

    @needs("reopening", "feed", "prefixes_together")
    async def test_what_was_deleted_stays_deleted(self, backend: Backend, reopen: Reopen) -> None:
        """What was deleted or purged does not come back when the store is opened again."""
        await backend.commit([append(prefix, 0, b"", b"", b"") for prefix in "abc"])
        await backend.commit([WriteGroup((PutState(STATES, "a", b""),))])
        await backend.commit(
            [WriteGroup((Delete(EVENTS, "a", 2), DeleteRange(EVENTS, "b", 1, 3), DeleteState(STATES, "a")))]
        )
        await backend.collection(EVENTS, "c").purge()

        await backend.close()
        backend = await reopen()

        assert await fed(backend) == [("a", 1), ("a", 3), ("b", 3)]
        with pytest.raises(EntryNotFound):
            await backend.state(STATES, "a").get()

    @needs("reopening")
    async def test_heads_outlive_the_object(self, backend: Backend, reopen: Reopen) -> None:
        """After reopening a stale writer is refused, on a compacted log too, and the right one goes on.

        (GAP-11, TCK-J13)
        """
        await backend.commit([append("a", 0, b"", b"", b"")])
        await backend.commit([WriteGroup((DeleteRange(EVENTS, "a", 1, 3),))])

        await backend.close()
        backend = await reopen()

        assert await backend.commit([append("a", 2, b"stale")]) == [Conflict(LastKey(EVENTS, "a", 2), 3)]
        assert await backend.commit([append("a", 3, b"next")]) == [None]

    @needs("reopening")
    async def test_versions_outlive_the_object(self, backend: Backend, reopen: Reopen) -> None:
        """The version of a state, of a deleted one too, is the same after the store was opened again.

        (GAP-11, ORL-18)
        """
        state = backend.state(STATES, "a")
        await state.put(b"")
        await state.delete()

        await backend.close()
        backend = await reopen()

        stale = StateVersion(STATES, "a", 1)
        assert await backend.commit([WriteGroup((PutState(STATES, "a", b""),), (stale,))]) == [Conflict(stale, 2)]
        await backend.state(STATES, "a").put(b"")
        assert await backend.state(STATES, "a").version() == 3

    @needs("reopening", "feed")
    async def test_offsets_outlive_the_object(self, backend: Backend, reopen: Reopen) -> None:
        """An offset of the feed leads to the same place after the store was opened again (GAP-09)."""
        await backend.commit([append("a", 0, *[b""] * 5)])
        offset = (await backend.feed(EVENTS, None, 3)).offset

        await backend.close()
        backend = await reopen()

        assert await fed(backend, offset) == [("a", 4), ("a", 5)]

    @needs("reopening", "feed")
    async def test_no_record_appears_behind_an_offset_after_reopening(self, backend: Backend, reopen: Reopen) -> None:
        """When the newest records were deleted before reopening, later ones appear after the offsets handed out.

        (GAP-08)
        """
        await backend.commit([append("a", 0, *[b""] * 5)])
        offset = (await backend.feed(EVENTS)).offset
        await backend.collection(EVENTS, "a").purge()

        await backend.close()
        backend = await reopen()
        await backend.commit([append("a", 0, b"")])

        assert await fed(backend, offset) == [("a", 1)]

    @needs("reopening")
    async def test_a_store_can_be_opened_many_times(self, backend: Backend, reopen: Reopen) -> None:
        """A log goes on over many openings."""
        for after in range(5):
            assert await backend.commit([append("a", after, b"%d" % after)]) == [None]
            await backend.close()
            backend = await reopen()

        assert [value for _, value in await entries_of(backend.collection(EVENTS, "a"))] == [
            b"0",
            b"1",
            b"2",
            b"3",
            b"4",
        ]
