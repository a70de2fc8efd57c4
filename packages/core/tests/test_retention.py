"""Which snapshots and events are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perdure import ActorSystem, Full, Light, Message, SnapshotFailed, every_n_events, never, replay
from perdure.abc import Entry, Put, WriteGroup
from perdure.errors import CorruptionError, EventsNeeded, StoreUnavailable
from perdure.journal import EVENTS
from perdure.memory import MemoryBackend
from perdure.snapshots import SNAPSHOTS, ChunkArchive, CollectionArchive, CollectionSnapshots
from perdure_testkit import FaultyBackend, VirtualClock

from .tapes import PureTape, Read, Write, background, keys, stored_as

ARCHIVE = "archive"


class Forget(Message[None]):
    """Delete the events up to a number."""

    to: int


class Save(Message[None]):
    """Save a snapshot."""


class Forgetting(PureTape):
    strategy = Full(snapshot=never)

    async def handle(self, message: Any, context: Any) -> Any:
        match message:
            case Forget(to):
                await self.delete_events(to)
            case Save():
                await self.save_snapshot()
            case _:
                return await super().handle(message, context)


async def write(system: ActorSystem, tape: Any, *values: int) -> None:
    for value in values:
        await system.ref(tape, "a").ask(Write((value,)))
        await background(system)


class TestAge:
    """`keep_snapshots_for` keeps those that are young enough, and never fewer than `keep_snapshots`."""

    TAPE = stored_as(PureTape, Full(snapshot=every_n_events(1), keep_snapshots=1, keep_snapshots_for=60, compact=True))

    async def test_young_ones_are_kept(self, store: FaultyBackend, clock: VirtualClock) -> None:
        """They are removed by the first snapshot after their time."""
        kept = []
        async with ActorSystem(store=store, clock=clock, passivate_after=1e9) as system:
            for seconds in (0, 30, 30, 61):
                await clock.advance(seconds)
                await write(system, self.TAPE, 1)
                kept.append(await keys(store, SNAPSHOTS))

        assert kept == [[1], [1, 2], [1, 2, 3], [4]]

    async def test_the_time_outlives_the_actor(self, store: FaultyBackend, clock: VirtualClock) -> None:
        """A new life knows how old the snapshots of the last one are."""
        for seconds in (0, 30, 31):
            await clock.advance(seconds)
            async with ActorSystem(store=store, clock=clock) as system:
                await write(system, self.TAPE, 1)

        assert await keys(store, SNAPSHOTS) == [2, 3]

    async def test_events_are_kept_from_the_oldest_kept_snapshot_on(
        self, store: FaultyBackend, clock: VirtualClock
    ) -> None:
        """From each snapshot that is kept, the log can be read on."""
        async with ActorSystem(store=store, clock=clock, passivate_after=1e9) as system:
            for seconds in (0, 30, 31):
                await clock.advance(seconds)
                await write(system, self.TAPE, 1)

        assert (await keys(store, SNAPSHOTS), await keys(store)) == ([2, 3], [2, 3])

    async def test_one_that_cannot_be_read_is_removed(self, store: FaultyBackend, clock: VirtualClock) -> None:
        """Nobody can say how old it is, and nobody can use it."""
        await store.commit([WriteGroup((Put(SNAPSHOTS, "Tape/a", 1, b"rubbish"),))])
        async with ActorSystem(store=store, clock=clock) as system:
            await write(system, self.TAPE, 1, 2)

        assert await keys(store, SNAPSHOTS) == [1, 2]


class TestArchive:
    """With `compact="archive"` events are moved, not lost."""

    TAPE = stored_as(PureTape, Full(snapshot=every_n_events(2), keep_snapshots=1, compact="archive"))

    async def test_events_go_from_the_log_to_the_archive(self, store: FaultyBackend) -> None:
        """The log and the archive together hold each event."""
        async with ActorSystem(store=store) as system:
            await write(system, self.TAPE, 10, 20, 30, 40, 50)

        assert (await keys(store, ARCHIVE), await keys(store)) == ([1, 2, 3], [4, 5])

    async def test_what_cannot_be_archived_stays(self, store: FaultyBackend) -> None:
        """The snapshot is kept, the failure is reported, and the next one makes up for it."""
        async with ActorSystem(store=store) as system:
            events = system.events()
            store.reject("commit", StoreUnavailable("commit", "down"), when=is_archive)
            await write(system, self.TAPE, 1, 2)
            store.heal()
            between = (await keys(store, SNAPSHOTS), await keys(store), await keys(store, ARCHIVE))
            await write(system, self.TAPE, 3, 4)

        assert between == ([2], [1, 2], [])
        assert (await keys(store), await keys(store, ARCHIVE)) == ([4], [1, 2, 3])
        assert [str(event.error) async for event in events if isinstance(event, SnapshotFailed)] == ["commit: down"]

    async def test_a_recovery_without_snapshots_begins_in_the_archive(self, store: FaultyBackend) -> None:
        """So a lost or damaged snapshot is no loss."""
        async with ActorSystem(store=store) as system:
            await write(system, self.TAPE, 10, 20, 30, 40, 50)
        await store.collection(SNAPSHOTS, "Tape/a").purge()

        async with ActorSystem(store=store) as system:
            assert await system.ref(self.TAPE, "a").ask(Read()) == [10, 20, 30, 40, 50]

    async def test_an_archive_without_its_log_is_no_log(self, store: FaultyBackend) -> None:
        """Going on from it would hide that the newest events are lost."""
        async with ActorSystem(store=store) as system:
            await write(system, self.TAPE, 10, 20, 30)
        await store.collection(EVENTS, "Tape/a").purge()

        async with ActorSystem(store=store) as system:
            with pytest.raises(CorruptionError, match="the log ends before the state that was saved at this number"):
                await system.ref(self.TAPE, "a").ask(Read())

    async def test_an_archive_that_does_not_reach_the_log_is_left_aside(self, store: FaultyBackend) -> None:
        """Another strategy has compacted without archiving; the state that it stored covers what is missing."""
        light = stored_as(PureTape, Light(compact=True))
        for tape in (self.TAPE, light):
            async with ActorSystem(store=store) as system:
                await write(system, tape, 10, 20)

        async with ActorSystem(store=store) as system:
            assert await system.ref(self.TAPE, "a").ask(Read()) == [10, 20, 10, 20]

    async def test_an_archive_may_be_elsewhere(self, store: FaultyBackend) -> None:
        """Such as on cheaper disks; it is its owner who closes it."""
        cheap = MemoryBackend()

        async def commit(writes: Any, size: int) -> None:
            await cheap.commit([WriteGroup(tuple(writes))])

        async with ActorSystem(store=store, archive=CollectionArchive(cheap, commit)) as system:
            await write(system, self.TAPE, 10, 20, 30)

        assert (await keys(store, ARCHIVE), await keys(cheap, ARCHIVE)) == ([], [1])


class TestChunkArchive:
    """Events may be archived in pages, in any snapshot store."""

    @pytest.fixture
    def archive(self) -> ChunkArchive:
        return ChunkArchive(CollectionSnapshots(MemoryBackend()))

    async def test_a_recovery_reads_them(self, store: FaultyBackend, archive: ChunkArchive) -> None:
        """As those of any archive."""
        async with ActorSystem(store=store, archive=archive) as system:
            await write(system, TestArchive.TAPE, 10, 20, 30, 40, 50)
        await store.collection(SNAPSHOTS, "Tape/a").purge()

        async with ActorSystem(store=store, archive=archive) as system:
            assert await system.ref(TestArchive.TAPE, "a").ask(Read()) == [10, 20, 30, 40, 50]

    async def test_an_archive_may_be_named_by_its_url(self, store: FaultyBackend, tmp_path: Path) -> None:
        """Of anything that keeps snapshots, such as a bucket or a folder; it is opened and closed with the system."""
        url = f"file://{tmp_path}/old"
        async with ActorSystem(store=store, archive=url) as system:
            await write(system, TestArchive.TAPE, 10, 20, 30, 40, 50)

        second = await replay(store, TestArchive.TAPE, "a", to=2, archive=url)

        assert (second.state, await keys(store)) == ((10, 20), [4, 5])

    @pytest.mark.parametrize("start", [1, 2, 3, 4, 7, 9, 10])
    @pytest.mark.parametrize("stop", [1, 2, 4, 7, 10, 99])
    async def test_any_part_can_be_read(self, archive: ChunkArchive, start: int, stop: int) -> None:
        """Also where pages were added again after a crash, and begin or end elsewhere."""
        for first, last in ((1, 3), (4, 5), (4, 6), (7, 9)):
            await archive.add("Tape/a", [Entry(n, b"%d" % n) for n in range(first, last + 1)])

        read = [entry async for page in archive.pages("Tape/a", start, stop) for entry in page]

        assert read == [(n, b"%d" % n) for n in range(start, min(stop, 10))]

    async def test_pages_are_compressed(self) -> None:
        """Old events are cold, and much alike."""
        backend = MemoryBackend()
        archive = ChunkArchive(CollectionSnapshots(backend))
        entries = [Entry(n, b"much alike " * 20) for n in range(1, 101)]
        await archive.add("Tape/a", entries)

        size = len((await backend.page(SNAPSHOTS, "Tape/a", 1, 1000, limit=1, max_bytes=1)).entries[0].value)

        assert size < 22_000 / 10
        assert [page async for page in archive.pages("Tape/a")] == [entries]

    @pytest.mark.parametrize(
        "chunk",
        [
            *(b"", b"\0", b"\0rubbish", b"\1rubbish", b"\0\x90", b"\0\x91\x92\x02\xc4\x01x"),
            b"\0\x92\x92\x09\xc4\x01x\x92\x03\xc4\x01x",  # of 9 and 3: who believes it looks for the beginning for ever
            b"\0\x94" + b"".join(b"\x92%c\xc4\x01x" % number for number in range(4)),
        ],
    )
    async def test_damage_is_named(self, chunk: bytes) -> None:
        """With the id and the number."""
        snapshots = CollectionSnapshots(MemoryBackend())
        await snapshots.save("Tape/a", 3, chunk)

        with pytest.raises(
            CorruptionError, match="Tape/a, sequence number 3: the archived events up to here are damaged"
        ):
            [page async for page in ChunkArchive(snapshots).pages("Tape/a")]


def is_archive(groups: list[WriteGroup]) -> bool:
    return any(getattr(write, "collection", "") == ARCHIVE for group in groups for write in group.writes)


class TestDeletion:
    """`delete_events` removes what a snapshot covers, and refuses what would make the actor unrecoverable."""

    async def test_events_are_removed_up_to_the_number(self, store: FaultyBackend) -> None:
        """The next life goes on with the snapshot and the numbers (ATS-11, ATS-61)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Forgetting, "a")
            await ref.ask(Write((10, 20, 30)))
            await ref.ask(Save())
            await ref.ask(Write((40,)))
            await ref.ask(Forget(2))
            kept = await keys(store)
            await ref.stop()
            state = await ref.ask(Read())

        assert (kept, state) == ([3, 4], [10, 20, 30, 40])

    async def test_the_event_of_the_snapshot_stays(self, store: FaultyBackend) -> None:
        """It is the head of the log, so no number is used twice (ATS-12, ATS-64)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Forgetting, "a")
            await ref.ask(Write((10, 20, 30)))
            await ref.ask(Save())
            await ref.ask(Forget(3))
            await ref.stop()
            number = await ref.ask(Write((40,)))

        assert (number, await keys(store)) == (4, [3, 4])

    async def test_events_are_removed_once(self, store: FaultyBackend) -> None:
        """To ask again, or for fewer, changes nothing (ATS-13)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Forgetting, "a")
            await ref.ask(Write((10, 20, 30)))
            await ref.ask(Save())
            for to in (2, 2, 1):
                await ref.ask(Forget(to))

        assert await keys(store) == [3]

    @pytest.mark.parametrize("to", [0, -1])
    async def test_nothing_is_removed_below_the_first(self, store: FaultyBackend, to: int) -> None:
        """A number of no event asks for nothing (ATS-64)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Forgetting, "a")
            await ref.ask(Write((10, 20)))
            await ref.ask(Forget(to))

        assert await keys(store) == [1, 2]

    async def test_without_a_snapshot_it_is_refused(self, store: FaultyBackend) -> None:
        """The error says what to do, and the events are all there (ATS-65)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Forgetting, "a")
            await ref.ask(Write((10, 20)))

            with pytest.raises(EventsNeeded, match=r"Tape/a: the events up to 2 .* no snapshot is there: await save_"):
                await ref.ask(Forget(2))

        assert await keys(store) == [1, 2]

    async def test_beyond_the_newest_snapshot_it_is_refused(self, store: FaultyBackend) -> None:
        """What the snapshot covers is named (ATS-65)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Forgetting, "a")
            await ref.ask(Write((10, 20)))
            await ref.ask(Save())
            await ref.ask(Write((30,)))

            with pytest.raises(EventsNeeded, match="covers those up to 2 only") as caught:
                await ref.ask(Forget(3))

        assert (caught.value.to, caught.value.covered, await keys(store)) == (3, 2, [1, 2, 3])

    async def test_a_damaged_snapshot_covers_nothing(self, store: FaultyBackend) -> None:
        """Only what can be read makes events superfluous."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Forgetting, "a")
            await ref.ask(Write((10, 20)))
            await ref.ask(Save())
            await store.collection(SNAPSHOTS, "Tape/a").put(2, b"rubbish")

            with pytest.raises(EventsNeeded, match="no snapshot is there"):
                await ref.ask(Forget(2))

        assert await keys(store) == [1, 2]

    async def test_a_state_that_is_stored_with_each_event_covers_all(self, store: FaultyBackend) -> None:
        """With `Light`, the last event is all that is needed."""
        tape = stored_as(Forgetting, Light())
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            await ref.ask(Write((10, 20, 30)))
            await ref.ask(Forget(3))
            await ref.stop()

            assert await ref.ask(Read()) == [10, 20, 30]
        assert await keys(store, EVENTS) == [3]
