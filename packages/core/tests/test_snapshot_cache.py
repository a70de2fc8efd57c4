"""What the cache of snapshots remembers, for how long, and what it never hides."""

from __future__ import annotations

import asyncio

import pytest

from perdure.abc import MAX_KEY
from perdure.errors import DamagedSnapshot, StoreClosed, StoreUnavailable
from perdure.memory import MemoryBackend
from perdure.snapshots import CachedSnapshots, CollectionSnapshots, Snapshot
from perdure.snapshots._cache import _ENTRY_BYTES
from perdure_testkit import VirtualClock


class Counting(CollectionSnapshots):
    """Counts what it is asked, waits for its doors to open, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend(), owned=True)
        self.asked: list[tuple[str, int]] = []
        self.reading, self.saving, self.deleting = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for door in (self.reading, self.saving, self.deleting):
            door.set()
        self.failure: Exception | None = None

    async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
        self.asked.append((persistence_id, at_most))
        found = await super().newest(persistence_id, at_most)
        if self.failure is not None:
            raise self.failure
        await self.reading.wait()
        return found

    async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
        await self.saving.wait()
        if self.failure is not None:
            raise self.failure
        await super().save(persistence_id, sequence_number, record)

    async def delete(self, persistence_id: str, below: int) -> None:
        await self.deleting.wait()
        await super().delete(persistence_id, below)


@pytest.fixture
async def store() -> Counting:
    store = Counting()
    for identity in "abc":
        await store.save(identity, 5, b"5" * 100)
    return store


@pytest.fixture
def cached(store: Counting, clock: VirtualClock) -> CachedSnapshots:
    return CachedSnapshots(store, now=clock.monotonic)


async def begun(*calls: object) -> None:
    """Let tasks that were just made run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_second_read_does_not_ask_the_store(cached: CachedSnapshots, store: Counting) -> None:
    """What was read is remembered, byte for byte, as the very object that the store returned (ATS-78)."""
    first = await cached.newest("a")

    second = await cached.newest("a")

    assert first is second
    assert store.asked == [("a", MAX_KEY)]


async def test_a_bound_at_or_above_what_is_remembered_is_a_hit(cached: CachedSnapshots, store: Counting) -> None:
    """The newest of all is the newest up to any number from its own on; below it the store is asked (ATS-78)."""
    await cached.newest("a")

    found = [await cached.newest("a", bound) for bound in (4, 5, 6)]

    assert found == [None, (5, b"5" * 100), (5, b"5" * 100)]
    assert store.asked == [("a", MAX_KEY), ("a", 4)]


async def test_that_there_is_none_is_not_remembered(cached: CachedSnapshots, store: Counting) -> None:
    """An absent snapshot is asked for again (ATS-78)."""
    await cached.newest("none")
    await store.save("none", 1, b"1")

    assert await cached.newest("none") == (1, b"1")


async def test_what_is_too_old_is_read_again(cached: CachedSnapshots, store: Counting, clock: VirtualClock) -> None:
    """After its time to live the store is asked again, and what others saved meanwhile is seen (ATS-78)."""
    await cached.newest("a")
    await store.save("a", 6, b"by another")
    await clock.advance(299)
    before = await cached.newest("a")

    await clock.advance(1)

    assert before == (5, b"5" * 100)
    assert await cached.newest("a") == (6, b"by another")


async def test_a_save_keeps_the_age_of_what_it_replaces(
    cached: CachedSnapshots, store: Counting, clock: VirtualClock
) -> None:
    """Saves of this process do not hide those of others beyond the time to live."""
    await cached.newest("a")
    await store.save("a", 9, b"by another")
    await clock.advance(299)
    await cached.save("a", 6, b"own")

    await clock.advance(1)

    assert await cached.newest("a") == (9, b"by another")


async def test_a_save_takes_the_place_of_what_is_remembered(cached: CachedSnapshots, store: Counting) -> None:
    """A finished save is there at once, without asking the store (ATS-78)."""
    await cached.newest("a")

    await cached.save("a", 6, b"6")

    assert await cached.newest("a") == (6, b"6")
    assert len(store.asked) == 1


async def test_a_save_where_nothing_is_remembered_is_not(cached: CachedSnapshots, store: Counting) -> None:
    """What was saved need not be the newest, so the store is asked."""
    await cached.save("a", 4, b"4")

    assert await cached.newest("a") == (5, b"5" * 100)


async def test_a_failed_save_drops_what_is_remembered(cached: CachedSnapshots, store: Counting) -> None:
    """Nobody knows what a failed save has left, so the store is asked."""
    await cached.newest("a")
    store.failure = StoreUnavailable("save", "down")
    with pytest.raises(StoreUnavailable):
        await cached.save("a", 6, b"6")
    store.failure = None

    await cached.newest("a")

    assert len(store.asked) == 2


async def test_a_read_overtaken_by_a_save_is_not_remembered(cached: CachedSnapshots, store: Counting) -> None:
    """A read that began before a save and ends after it is answered, and hides nothing (ATS-78)."""
    store.reading.clear()
    reading = asyncio.ensure_future(cached.newest("a"))
    await begun(reading)
    await cached.save("a", 6, b"6")
    store.reading.set()

    overtaken = await reading

    assert overtaken == (5, b"5" * 100)
    assert await cached.newest("a") == (6, b"6")


async def test_a_read_begun_beside_a_save_is_not_remembered(cached: CachedSnapshots, store: Counting) -> None:
    """A read that begins while a save is under way may bring what was before it, and hides nothing (ATS-78)."""
    store.saving.clear()
    saving = asyncio.ensure_future(cached.save("a", 6, b"6"))
    await begun(saving)
    store.reading.clear()
    reading = asyncio.ensure_future(cached.newest("a"))
    await begun(reading)
    store.saving.set()
    await saving
    store.reading.set()

    await reading

    assert await cached.newest("a") == (6, b"6")


@pytest.mark.parametrize("first", ["read", "delete"])
async def test_a_read_beside_a_delete_brings_nothing_back(cached: CachedSnapshots, store: Counting, first: str) -> None:
    """What a read brings from before a delete is not remembered, whichever of them began first (ATS-78)."""
    store.reading.clear()
    store.deleting.clear()
    calls = {"read": lambda: cached.newest("a"), "delete": lambda: cached.delete("a", 6)}
    tasks = {}
    for name in sorted(calls, key=lambda name: name != first):
        tasks[name] = asyncio.ensure_future(calls[name]())
        await begun(tasks[name])
    store.deleting.set()
    await tasks["delete"]
    store.reading.set()

    await tasks["read"]

    assert await cached.newest("a") is None


async def test_a_delete_drops_what_it_removes(cached: CachedSnapshots, store: Counting) -> None:
    """What is below the bound of a delete is forgotten, what is at it is not."""
    await cached.newest("a")
    await cached.delete("a", 5)
    await cached.newest("a")

    await cached.delete("a", 6)

    assert len(store.asked) == 1
    assert await cached.newest("a") is None


async def test_after_saves_of_one_number_at_once_the_store_is_asked(cached: CachedSnapshots, store: Counting) -> None:
    """Which of two saves at once the store holds is known to the store alone."""
    await cached.newest("a")
    store.saving.clear()
    saving = [asyncio.ensure_future(cached.save("a", 6, record)) for record in (b"1", b"2")]
    await begun(saving)
    store.saving.set()
    await asyncio.gather(*saving)

    await cached.newest("a")

    assert len(store.asked) == 2


async def test_a_save_that_nobody_waits_for_counts_when_it_is_done(cached: CachedSnapshots, store: Counting) -> None:
    """What is remembered while a cancelled save goes on is replaced when it is done."""
    await cached.newest("a")
    store.saving.clear()
    saving = asyncio.ensure_future(cached.save("a", 6, b"6"))
    await begun(saving)
    saving.cancel()
    await asyncio.wait([saving])
    before = await cached.newest("a")
    store.saving.set()
    await begun()

    after = await cached.newest("a")

    assert (before, after) == ((5, b"5" * 100), (6, b"6"))


async def test_of_two_reads_the_later_is_remembered(
    cached: CachedSnapshots, store: Counting, clock: VirtualClock
) -> None:
    """A slow read does not take the place of one that began after it."""
    store.reading.clear()
    slow = asyncio.ensure_future(cached.newest("a"))
    await begun(slow)
    await store.save("a", 6, b"by another")
    await clock.advance(1)
    gate, store.reading = store.reading, asyncio.Event()
    store.reading.set()
    await cached.newest("a")
    gate.set()

    await slow

    assert await cached.newest("a") == (6, b"by another")


async def test_what_is_forgotten_is_read_again(cached: CachedSnapshots, store: Counting) -> None:
    """After forget the store is asked, and a read that began before it is not remembered."""
    await cached.newest("a")
    store.reading.clear()
    cached.forget("a")
    reading = asyncio.ensure_future(cached.newest("a"))
    await begun(reading)

    cached.forget("a")
    store.reading.set()
    await reading

    await cached.newest("a")
    assert len(store.asked) == 3


async def test_the_least_used_make_room(store: Counting, clock: VirtualClock) -> None:
    """Over its bound the cache forgets those who asked the longest ago."""
    cached = CachedSnapshots(store, max_bytes=2 * (101 + _ENTRY_BYTES), now=clock.monotonic)
    for identity in "abac":
        await cached.newest(identity)
    store.asked.clear()

    for identity in "acb":
        await cached.newest(identity)

    assert store.asked == [("b", MAX_KEY)]


async def test_what_is_larger_than_the_cache_is_not_remembered(store: Counting) -> None:
    """A record over the bound of the cache leaves what is in it."""
    cached = CachedSnapshots(store, max_bytes=1_000)
    await store.save("large", 1, bytes(1_000))
    for identity in ("a", "large", "large", "a"):
        await cached.newest(identity)

    assert [identity for identity, _ in store.asked] == ["a", "large", "large"]


async def test_a_damaged_snapshot_is_not_remembered(cached: CachedSnapshots, store: Counting) -> None:
    """That a snapshot is damaged is said each time, by the store."""
    store.failure = DamagedSnapshot("a", 5, "half of it is missing")

    for _ in range(2):
        with pytest.raises(DamagedSnapshot):
            await cached.newest("a")

    assert len(store.asked) == 2


async def test_closing_closes_the_store(cached: CachedSnapshots, store: Counting) -> None:
    """The store behind the cache is closed with it, and what was remembered is no longer given."""
    await cached.newest("a")

    await cached.close()

    for closed in (cached, store):
        with pytest.raises(StoreClosed):
            await closed.newest("a")


@pytest.mark.parametrize(("name", "value"), [("max_bytes", 0), ("seconds", 0), ("seconds", float("nan"))])
async def test_a_cache_that_holds_nothing_is_refused(store: Counting, name: str, value: float) -> None:
    """A bound that makes no sense is named (ATS-78)."""
    with pytest.raises(ValueError, match=f"{name} is"):
        CachedSnapshots(store, **{name: value})  # type: ignore[arg-type]
