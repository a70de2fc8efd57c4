"""What holds at the limits, over them, and under load."""

from __future__ import annotations

import asyncio
import itertools
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any, ClassVar, cast

import pytest

from perdure.abc import Backend, Conflict, LastKey, Put, PutState, WriteGroup
from perdure.errors import OutcomeUnknown, StoreError, StoreUnavailable
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import (
    EVENTS,
    STATES,
    append,
    entries_of,
    fed,
    keys_of,
    puts,
    random_bytes,
    records_of,
)

_LONG = 12_288
_EVENT = random_bytes(512)


class LimitRules:
    many: ClassVar[int]
    largest: ClassVar[int]
    patience: ClassVar[float]

    async def test_a_value_of_the_greatest_size_is_kept(self, backend: Backend) -> None:
        """A value of the stated limit comes back as it was, as an entry and as a state (GAP-20, TCK-S11)."""
        size = min(backend.max_value_bytes, self.largest)
        value = (random_bytes(1_000_003) * (size // 1_000_003 + 1))[:size]

        await backend.commit([WriteGroup((Put(EVENTS, "a", 1, value), PutState(STATES, "a", value)))])

        assert await backend.collection(EVENTS, "a").get(1) == value
        assert await backend.state(STATES, "a").get() == (1, value)

    @pytest.mark.parametrize("kind", ["entry", "state"])
    async def test_a_value_over_the_limit_is_refused(self, backend: Backend, kind: str) -> None:
        """A value over the stated limit is a StoreError, which is neither doubt nor an outage (GAP-20)."""
        value = bytes(backend.max_value_bytes + 1)
        write = Put(EVENTS, "a", 1, value) if kind == "entry" else PutState(STATES, "a", value)

        with pytest.raises(StoreError) as caught:
            await backend.commit([WriteGroup((write,))])

        assert not isinstance(caught.value, OutcomeUnknown | StoreUnavailable)

    @pytest.mark.parametrize("place", [0, 1, 2, 3])
    @pytest.mark.parametrize("poison", ["over the limit", "no bytes"])
    async def test_a_commit_that_fails_writes_nothing(self, backend: Backend, place: int, poison: str) -> None:
        """A commit that fails at any write of any group has written nothing of any of them.

        (GAP-03, TCK-J19, ATS-29)
        """
        value = bytes(backend.max_value_bytes + 1) if poison == "over the limit" else cast(Any, object())
        await backend.commit([append("a", 0, b"1"), append("b", 0, b"1")])
        groups = [append("a", 1, b"2", b"3"), append("b", 1, b"2", b"3")]
        writes = [write for group in groups for write in group.writes]
        writes[place] = Put(EVENTS, "ab"[place // 2], 2 + place % 2, value)

        with pytest.raises(StoreError if poison == "over the limit" else Exception):
            await backend.commit([WriteGroup(tuple(writes[:2]), groups[0].expectations), WriteGroup(tuple(writes[2:]))])

        assert [await keys_of(backend.collection(EVENTS, prefix)) for prefix in "ab"] == [[1], [1]]
        assert await backend.commit([append("a", 1, b"2"), append("a", 1, b"stale")]) == [
            None,
            Conflict(LastKey(EVENTS, "a", 1), 2),
        ]

    async def test_any_number_of_prefixes_is_paged_while_others_come(self, backend: Backend) -> None:
        """However many prefixes there are, pages find each once, and those that come ahead meanwhile (GAP-23)."""
        names = [f"account/{number:06}" for number in range(self.many)]
        for some in range(0, self.many, 1_000):
            await backend.commit([puts(prefix, 1) for prefix in names[some : some + 1_000]])

        found: list[str] = []
        added = []
        while page := await backend.prefixes(EVENTS, found[-1] if found else "", 700):
            found += page
            if len(page) == 700:
                added.append(f"{page[-1]}/ahead")
                await backend.commit([puts(f"{names[0]}/{len(found)}", 1), puts(added[-1], 1)])

        assert found == sorted([*names, *added])

    async def test_thousands_of_calls_at_once_all_end(self, backend: Backend) -> None:
        """Thousands of commits that are begun at once all end, each with its own outcome (GAP-24, TCK-P01)."""
        value = random_bytes(1_000)

        outcomes = await asyncio.gather(
            *(backend.commit([append(f"{number % 50}", number // 50, value)]) for number in range(1_000))
        )

        assert outcomes == [[None]] * 1_000
        assert await keys_of(backend.collection(EVENTS, "49")) == list(range(1, 21))

    async def test_a_slow_reader_holds_no_writer_up(self, backend: Backend) -> None:
        """An iteration that stands still lets others write, and goes on to what they wrote ahead of it (GAP-24)."""
        await backend.commit([puts("a", *range(1, 1_001))])
        reading = backend.collection(EVENTS, "a").iterate()
        first = await anext(reading)

        async with asyncio.timeout(self.patience):
            for after in range(1_000, 1_010):
                assert await backend.commit([append("a", after, b"")]) == [None]

        assert [first.key, *[entry.key async for entry in reading]] == list(range(1, 1_011))

    async def test_a_long_scan_holds_a_few_pages(self, backend: Backend) -> None:
        """However long a log is, an iteration of it never holds the half (GAP-24)."""
        await _write_long(backend)

        held = await _most_held(backend.collection(EVENTS, "a").iterate())

        assert held < _LONG * len(_EVENT) / 2

    @needs("feed")
    async def test_a_long_feed_is_read_in_a_few_pages_of_memory(self, backend: Backend) -> None:
        """However long a feed is, who reads it in pages never holds the half (GAP-24)."""
        await _write_long(backend)

        held = await _most_held(records_of(backend, limit=512))

        assert held < _LONG * len(_EVENT) / 2

    @needs("feed")
    async def test_the_clock_may_go_backwards(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the time of day goes backwards nothing changes its order, and nothing is lost (GAP-22)."""
        seconds = itertools.count(2_000_000_000, -3_600)
        monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
        monkeypatch.setattr(time, "time_ns", lambda: next(seconds) * 1_000_000_000)

        for after in range(10):
            assert await backend.commit([append("a", after, b"%d" % after)]) == [None]

        assert await fed(backend) == [("a", key) for key in range(1, 11)]
        assert [value for _, value in await entries_of(backend.collection(EVENTS, "a"))] == [
            b"%d" % n for n in range(10)
        ]


async def _write_long(backend: Backend) -> None:
    """Write a log of some twenty pages."""
    for after in range(0, _LONG, 1_024):
        assert await backend.commit([append("a", after, *[_EVENT] * 1_024)]) == [None]


async def _most_held(scan: AsyncIterator[object]) -> int:
    """Return the bytes by which Python's memory was the fullest during a scan of all there is."""
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        found = 0
        async for _ in scan:
            found += 1
        assert found == _LONG
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()
