"""Compacting the logs of actors that are not at work, and of those that are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from perdure import ActorSystem, Keyring, PersistentActor, Sealing
from perdure.abc import Backend, Delete, Put
from perdure.errors import CorruptionError, EntryNotFound, SealedStore, StoreUnavailable
from perdure.memory import MemoryBackend
from perdure.snapshots import CollectionSnapshots
from perdure.upkeep import Compacted, Compaction, compact, forget, verify
from perdure_testkit import FaultyBackend, VirtualClock

from .diaries import ONE, Diary, Pocketbook, Read, Said, Say, entries, write
from .turning import soon, turns


class Person(Diary):
    @classmethod
    def subject(cls, persistence_id: str) -> str | None:
        return persistence_id.partition("/")[2]


class Count(PersistentActor[int, Said]):
    """What a diary would be whose state is of another type today."""

    type_name: ClassVar[str] = "Diary"
    initial_state = 0


@pytest.fixture
async def store() -> AsyncIterator[FaultyBackend]:
    backend = FaultyBackend(MemoryBackend())
    yield backend
    await backend.close()


def sealed(**options: Any) -> Sealing:
    return Sealing(Keyring({1: ONE}), **options)


async def tell(store: Backend, count: int, *types: type[Any], key: str = "a", **where: Any) -> None:
    """Tell an actor of each type so many texts."""
    async with ActorSystem(store=store, **where) as system:
        for actor_type in types or (Diary,):
            for number in range(count):
                await system.ref(actor_type, key).ask(Say(str(number)))


async def known(store: Backend, actor_type: type[Any] = Diary, key: str = "a", **where: Any) -> int:
    """Return how many texts a new actor knows."""
    async with ActorSystem(store=store, **where) as system:
        return len(await system.ref(actor_type, key).ask(Read()))


async def numbers(store: Backend, collection: str = "events", name: str = "Diary/a") -> list[int]:
    return list(await entries(store, collection, name))


async def test_events_below_the_oldest_kept_snapshot_are_removed(store: Backend) -> None:
    """A diary has a snapshot at every fourth entry; the event at the snapshot's own number stays."""
    await tell(store, 14)

    result = await compact(store)

    assert (result.compacted, result.events) == (1, 7)
    assert await numbers(store) == [*range(8, 15)]
    assert await known(store) == 14


@pytest.mark.parametrize(("keep", "first"), [(1, 12), (2, 8), (3, 1)])
async def test_nothing_is_removed_before_as_many_snapshots_are_there_as_are_kept(
    store: Backend, keep: int, first: int
) -> None:
    await tell(store, 14)

    await compact(store, keep_snapshots=keep)

    assert (await numbers(store))[0] == first
    assert await numbers(store, "snapshots") == [number for number in (8, 12) if number >= first]


async def test_snapshots_that_are_not_old_enough_are_kept(store: Backend) -> None:
    clock = VirtualClock()
    await tell(store, 13, clock=clock)

    await compact(store, keep_snapshots=1, keep_snapshots_for=60.0, clock=clock)
    kept = await numbers(store)
    await clock.advance(61.0)
    await compact(store, keep_snapshots=1, keep_snapshots_for=60.0, clock=clock)

    assert (kept[0], (await numbers(store))[0]) == (8, 12)


async def test_the_last_event_stays_when_a_snapshot_covers_it(store: Backend) -> None:
    """It is the head of the log."""
    await tell(store, 12)

    await compact(store, keep_snapshots=1)

    assert await numbers(store) == [12]
    assert await known(store) == 12


async def test_where_the_state_is_stored_with_each_event_the_last_one_stays(store: Backend) -> None:
    await tell(store, 6, Pocketbook)

    result = await compact(store)

    assert (result.events, await numbers(store, name="Pocketbook/a")) == (5, [6])
    assert await known(store, Pocketbook) == 6


async def test_a_log_without_snapshots_stays_as_it_is(store: Backend) -> None:
    await tell(store, 3)

    result = await compact(store)

    assert (result.logs, result.compacted, await numbers(store)) == (1, 0, [1, 2, 3])


async def test_only_those_are_compacted_that_are_named(store: Backend) -> None:
    for key in ("a", "b"):
        await tell(store, 12, key=key)

    await compact(store, ["Diary/b"])

    assert len(await numbers(store)) == 12
    assert len(await numbers(store, name="Diary/b")) == 5


async def test_an_actor_without_events_is_an_error(store: Backend) -> None:
    with pytest.raises(EntryNotFound, match="events/Diary/nobody"):
        await compact(store, ["Diary/nobody"])


async def test_a_dry_run_tells_what_would_go_and_leaves_it(store: Backend) -> None:
    await tell(store, 14)
    told: list[Compacted] = []

    result = await compact(store, keep_snapshots=1, dry_run=True, compacted=told.append)

    assert told == [Compacted("Diary/a", below=12, events=11, snapshots=1)]
    assert (result.events, result.snapshots, len(await numbers(store))) == (11, 1, 14)


async def test_what_is_removed_can_be_moved_to_the_archive_of_the_store(store: Backend) -> None:
    await tell(store, 14)
    before = await entries(store, "events", "Diary/a")

    await compact(store, archive=True)

    archived, left = await entries(store, "archive", "Diary/a"), await entries(store, "events", "Diary/a")
    assert (archived | left, len(archived)) == (before, 7)


async def test_snapshots_and_the_archive_may_be_elsewhere(store: Backend, tmp_path: Any) -> None:
    shelf = CollectionSnapshots(inner := MemoryBackend())
    await tell(store, 14, snapshots=shelf)

    await compact(store, snapshots=shelf, archive=f"file://{tmp_path}/a", keep_snapshots=1)

    assert (await numbers(store), await numbers(inner, "snapshots")) == ([12, 13, 14], [12])
    assert (await verify(store, snapshots=shelf, archive=None)).ok
    assert await known(store, snapshots=shelf) == 14


@pytest.mark.parametrize("options", [{}, {"hide_names": True}, {"chain": True}])
async def test_a_sealed_store_is_compacted_with_its_keys(store: Backend, options: dict[str, Any]) -> None:
    sealing = sealed(**options)
    await tell(store, 14, sealing=sealing)
    told: list[Compacted] = []

    await compact(store, ["Diary/a"], sealing=sealing, compacted=told.append)

    assert [each.persistence_id for each in told] == ["Diary/a"]
    assert await known(store, sealing=sealing) == 14
    assert (await verify(store, sealing)).ok


async def test_without_its_keys_a_sealed_store_is_refused(store: Backend) -> None:
    await tell(store, 14, sealing=sealed())

    with pytest.raises(SealedStore):
        await compact(store)


async def test_logs_of_forgotten_subjects_are_left_alone(store: Backend) -> None:
    await tell(store, 14, Person, sealing=sealed())
    await forget(store, sealed(), "a")

    result = await compact(store, sealing=sealed())

    assert (result.forgotten, result.compacted) == (1, 0)


async def test_a_snapshot_that_cannot_be_read_covers_nothing_and_is_named(store: Backend) -> None:
    await tell(store, 14)
    await write(store, Put("snapshots", "Diary/a", 12, b"?"))
    told: list[CorruptionError] = []

    result = await compact(store, keep_snapshots=1, found=told.append)

    assert [problem.sequence_number for problem in told] == [12]
    assert (result.problem_count, (await numbers(store))[0]) == (1, 8)
    assert await known(store) == 14


async def test_a_snapshot_that_its_actor_type_cannot_decode_covers_nothing(store: Backend) -> None:
    await tell(store, 14)

    result = await compact(store, actor_types=[Count])

    assert (result.compacted, result.problem_count) == (0, 2)


async def test_a_snapshot_whose_event_is_missing_covers_nothing(store: Backend) -> None:
    """The actor would not be recovered from it."""
    await tell(store, 14)
    await write(store, Delete("events", "Diary/a", 12))

    result = await compact(store, keep_snapshots=1)

    assert result.compacted == 0


async def test_a_snapshot_ahead_of_its_log_is_named(store: Backend) -> None:
    await tell(store, 12)
    await write(store, *(Delete("events", "Diary/a", number) for number in (11, 12)))

    [problem] = (await compact(store, keep_snapshots=1)).problems

    assert "the log ends at 10" in problem.reason


async def test_a_second_call_finds_nothing_to_do(store: Backend) -> None:
    await tell(store, 14)
    await compact(store)

    assert await compact(store) == Compaction(logs=1)


async def test_an_actor_that_goes_on_meanwhile_loses_nothing(store: FaultyBackend) -> None:
    """Its newest snapshot is another one then, so its log is looked at again."""
    async with ActorSystem(store=store.inner) as system:
        diary = system.ref(Diary, "a")
        for number in range(14):
            await diary.ask(Say(str(number)))
        release = store.hold("commit")

        compacting = soon(compact(store))
        await turns(100)
        for number in range(14, 18):
            await diary.ask(Say(str(number)))
        release.set()

        assert (await compacting).compacted == 1
        assert len(await diary.ask(Read())) == 18
    assert (await numbers(store))[0] == 12
    assert await known(store) == 18


async def test_a_failure_between_two_steps_leaves_an_actor_that_can_be_recovered(store: FaultyBackend) -> None:
    await tell(store, 14)
    store.reject("commit", when=2)

    with pytest.raises(StoreUnavailable):
        await compact(store, keep_snapshots=1)
    after_failure = await known(store)
    await compact(store, keep_snapshots=1)

    assert after_failure == await known(store) == 14
    assert await numbers(store) == [12, 13, 14]


async def test_progress_is_told_after_each_log(store: Backend) -> None:
    for key in "abc":
        await tell(store, 5, key=key)
    seen: list[int] = []

    await compact(store, progress=lambda at: seen.append(at.logs))

    assert seen == [1, 2, 3]


@pytest.mark.parametrize("options", [{"keep_snapshots": 0}, {"keep_snapshots_for": 0.0}])
async def test_a_policy_that_keeps_nothing_is_refused(store: Backend, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="keep_snapshots"):
        await compact(store, **options)
