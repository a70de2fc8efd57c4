"""Queries give the same on each backend, while others write and compact, and from each offset."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perdure import ActorSystem, Event, Full, Message, PersistentActor, every_n_events, open_backend
from perdure.abc import DeleteRange, WriteGroup
from perdure.journal import EVENTS
from perdure.query import FeedEvent, Query, StoredEvent, Stream, Tags
from perdure.query._feed import FeedStream

PER_ACTOR = 40
ACTORS = 8


class Count(Message[int]):
    """Count one on."""


class Counted(Event):
    number: int


class Meter(PersistentActor[int, Counted]):
    initial_state = 0

    def apply(self, count: int, event: Counted) -> int:
        return event.number

    def tags(self, event: Counted) -> list[str]:
        return ["even" if event.number % 2 == 0 else "odd", self.persistence_id]

    async def handle(self, message: Message[Any], context: object) -> int:
        await self.persist(Counted(self.state + 1))
        return self.state


class Compacting(Meter):
    type_name = "Meter"
    strategy = Full(snapshot=every_n_events(5), keep_snapshots=1, compact=True)


@pytest.fixture
async def system(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ActorSystem]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FeedStream, "_PAGE", 16)
    async with ActorSystem(store=store) as system:
        yield system


async def count(system: ActorSystem, kind: type[Meter] = Meter, times: int = PER_ACTOR) -> None:
    """Have all actors count at once."""

    async def one(key: str) -> None:
        for _ in range(times):
            await system.ref(kind, key).ask(Count())

    await asyncio.gather(*(one(f"{number:02}") for number in range(ACTORS)))


def names(events: list[Any]) -> list[tuple[str, int]]:
    return [(stored.persistence_id, stored.sequence_number) for stored in events]


async def take(stream: Stream[Any], count: int) -> list[Any]:
    return [await asyncio.wait_for(anext(stream), 20) for _ in range(count)]


async def test_all_ways_of_asking_agree(system: ActorSystem) -> None:
    """The feed has each log in its order, tags part it, and the ids are those of the logs."""
    await count(system)
    query = system.query(Meter)

    everything = [stored async for stored in query.all_events()]
    ids = [persistence_id async for persistence_id in query.ids(Meter)]
    logs = {each: [stored async for stored in query.events_of(each)] for each in ids}
    odd = [stored async for stored in query.tagged("odd")]
    not_odd = [stored async for stored in query.tagged(Tags(none_of=("odd",)))]
    one = [stored async for stored in query.tagged(Tags(all_of=("even",), any_of=("Meter/03", "Meter/04")))]

    assert ids == [f"Meter/{number:02}" for number in range(ACTORS)]
    for each, log in logs.items():
        assert names(log) == [name for name in names(everything) if name[0] == each]
        assert [stored.event.number for stored in log] == list(range(1, PER_ACTOR + 1))
    assert sorted(names(odd) + names(not_odd)) == sorted(names(everything))
    assert names(one) == [
        name for name in names(everything) if name[0] in ("Meter/03", "Meter/04") and name[1] % 2 == 0
    ]


async def test_a_stream_goes_on_behind_each_offset_also_after_a_compaction(system: ActorSystem) -> None:
    """What was removed is missed, and nothing else is."""
    await count(system, times=9)
    given: list[FeedEvent] = [stored async for stored in system.query(Meter).all_events()]
    removals = tuple(DeleteRange(EVENTS, f"Meter/{number:02}", 1, number + 2) for number in range(ACTORS))
    for removal in removals:
        await system.backend.commit([WriteGroup((removal,))])
    left = [stored for stored in given if stored.sequence_number >= int(stored.persistence_id[-2:]) + 2]

    for place, stored in enumerate(given):
        rest = [event async for event in system.query(Meter).all_events(after=stored.offset)]

        assert names(rest) == [name for name in names(given[place + 1 :]) if name in names(left)]


async def test_live_streams_see_each_event_once_while_all_write(system: ActorSystem) -> None:
    """Those that were there before, one that comes in the middle, and one that goes on in another's place."""
    query = system.query(Meter)
    half = ACTORS * PER_ACTOR // 2
    early = asyncio.ensure_future(take(query.all_events(live=True), 2 * half))
    tagged = asyncio.ensure_future(take(query.tagged("even", live=True), half))
    of_one = asyncio.ensure_future(take(query.events_of("Meter/05", live=True), PER_ACTOR))
    ids = asyncio.ensure_future(take(query.ids(live=True), ACTORS))

    await count(system, times=PER_ACTOR // 2)
    late = asyncio.ensure_future(take(query.all_events(live=True), 2 * half))
    first = await take(query.all_events(live=True), half // 2)
    resumed = asyncio.ensure_future(take(query.all_events(after=first[-1].offset, live=True), 2 * half - half // 2))
    await count(system, times=PER_ACTOR // 2)

    order = names(await early)
    assert Counter(order).most_common(1)[0][1] == 1
    assert names(await late) == order
    assert names(first + await resumed) == order
    assert names(await tagged) == [name for name in order if name[1] % 2 == 0]
    assert names(await of_one) == [("Meter/05", number) for number in range(1, PER_ACTOR + 1)]
    assert sorted(await ids) == [f"Meter/{number:02}" for number in range(ACTORS)]


async def test_a_live_stream_survives_compaction(system: ActorSystem) -> None:
    """It sees what is left in the order of commits, once, and the last event of each log in the end."""
    seen: list[StoredEvent] = []

    async def see(stored: FeedEvent) -> None:
        seen.append(stored)

    system.sink("seen", system.query(Meter).all_events(live=True), see)
    await count(system, Compacting)
    await system.close()

    assert len(set(names(seen))) == len(seen)
    for number in range(ACTORS):
        log = [stored.sequence_number for stored in seen if stored.persistence_id == f"Meter/{number:02}"]
        assert log == sorted(log)
        assert log[-1] == PER_ACTOR


async def test_a_read_model_elsewhere_follows(system: ActorSystem, store: str, tmp_path: Path) -> None:
    """An opener of its own looks now and then, and misses nothing."""
    if store.startswith("rocksdb"):
        pytest.skip("one process at a time may open a RocksDB database, and once")
    backend = await open_backend(store)
    try:
        following = asyncio.ensure_future(
            take(Query(backend, [Meter], poll=0.02).all_events(live=True), ACTORS * PER_ACTOR)
        )
        await count(system)

        found = names(await following)
    finally:
        await backend.close()

    assert found == names([stored async for stored in system.query(Meter).all_events()])
