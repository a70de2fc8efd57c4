"""What is in a store, counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from perdure import ActorSystem, Keyring, Sealing
from perdure.abc import Backend, Put
from perdure.memory import MemoryBackend
from perdure.upkeep import Stats, compact, stats
from perdure_testkit import VirtualClock

from .diaries import ONE, Diary, Note, Pocketbook, Say, entries, write


@pytest.fixture
async def store() -> AsyncIterator[Backend]:
    backend = MemoryBackend()
    yield backend
    await backend.close()


def sealed(*, hide_names: bool = False) -> Sealing:
    return Sealing(Keyring({1: ONE}), hide_names=hide_names)


async def tell(store: Backend, sealing: Sealing | None = None) -> None:
    """Have two diaries of 5 and 1 events, a pocketbook of 3, and a note; an hour goes by after each text."""
    clock = VirtualClock()
    async with ActorSystem(store=store, sealing=sealing, clock=clock) as system:
        for kind, key, count in ((Diary, "a", 5), (Diary, "b", 1), (Pocketbook, "a", 3), (Note, "a", 2)):
            for _ in range(count):
                await system.ref(kind, key).ask(Say("text"))
                await clock.advance(3600.0)


async def test_an_empty_store_has_nothing(store: Backend) -> None:
    assert await stats(store) == Stats()


async def test_all_that_is_stored_is_counted(store: Backend) -> None:
    await tell(store)
    await compact(store, ["Diary/a"], keep_snapshots=1, archive=True)

    found = await stats(store)

    kinds = (found.events, found.snapshots, found.durable_states, found.stored_states, found.archived)
    assert (found.logs, [kind.count for kind in kinds]) == (3, [6, 1, 1, 1, 3])
    assert found.archived.bytes == sum(map(len, (await entries(store, "archive", "Diary/a")).values()))
    assert found.durable_states.bytes == sum(map(len, (await entries(store, "durable", "Note/a")).values()))


async def test_events_are_counted_by_type(store: Backend) -> None:
    await tell(store)
    async with ActorSystem(store=store) as system:
        await (await system.spawn(Diary, name="mine")).ask(Say("?"))

    found = await stats(store)

    assert {kind: amount.count for kind, amount in found.types.items()} == {"Diary": 6, "Pocketbook": 3}
    assert found.untyped.count == 1
    assert sum(amount.bytes for amount in (*found.types.values(), found.untyped)) == found.events.bytes


async def test_the_largest_logs_are_named(store: Backend) -> None:
    await tell(store)

    found = await stats(store, largest=2)

    assert [(log.persistence_id, log.events) for log in found.largest] == [("Diary/a", 5), ("Pocketbook/a", 3)]


async def test_the_times_are_those_of_the_first_and_the_last_event(store: Backend) -> None:
    await tell(store)

    found = await stats(store)

    assert found.oldest is not None
    assert found.newest is not None
    assert (found.newest - found.oldest).total_seconds() == 8 * 3600
    assert found.oldest < datetime.now(UTC)


@pytest.mark.parametrize("hide_names", [False, True])
async def test_a_sealed_store_is_known_to_who_has_its_keys(store: Backend, hide_names: bool) -> None:
    await tell(store, sealed(hide_names=hide_names))

    found = await stats(store, sealed(hide_names=hide_names))

    assert (found.types["Diary"].count, found.largest[0].persistence_id, found.unread) == (6, "Diary/a", 0)
    assert found.sealed == found.events.count + found.snapshots.count + 2


async def test_without_keys_it_says_what_it_cannot_know(store: Backend) -> None:
    await tell(store, sealed(hide_names=True))

    found = await stats(store)

    assert (found.events.count, found.types, found.untyped.count) == (9, {}, 9)
    assert (found.unread, found.oldest) == (found.logs, None)


async def test_a_log_whose_end_is_damaged_is_counted(store: Backend) -> None:
    await tell(store)
    await write(store, Put("events", "Diary/b", 1, b"?"))

    found = await stats(store)

    assert (found.logs, found.events.count, found.unread) == (3, 9, 1)


async def test_progress_is_told_in_the_end(store: Backend) -> None:
    await tell(store)
    seen: list[int] = []

    await stats(store, progress=lambda at: seen.append(at.events.count))

    assert seen == [9]
