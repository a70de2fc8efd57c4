"""Verifying, anchoring, sealing anew and forgetting, in whole stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import ActorSystem, Full, Keyring, Sealing, every_n_events, replay
from perdure.abc import Backend, Delete, DeleteRange, Entry, Purge, Put, PutState
from perdure.errors import (
    ChainBroken,
    CorruptionError,
    KeyMissing,
    PlaintextRefused,
    RolledBack,
    SealedStore,
    SubjectForgotten,
    TailCut,
)
from perdure.memory import MemoryBackend
from perdure.security import ORIGIN, Anchor, Seal
from perdure.security._layout import plain_record
from perdure.snapshots import ChunkArchive, CollectionSnapshots, open_archive, open_snapshots
from perdure.upkeep import Verification, forget, reseal, take_anchor, verify
from perdure_testkit import FaultyBackend, VirtualClock

from .diaries import ONE, TWO, Diary, Note, Pocketbook, Say, entries, write
from .turning import soon, turns


class Archived(Diary):
    strategy = Full(snapshot=every_n_events(4), keep_snapshots=1, compact="archive")


class Person(Diary):
    @classmethod
    def subject(cls, persistence_id: str) -> str | None:
        return persistence_id.partition("/")[2]


PAGE = 2048
"""Events that are read together."""

ALL: tuple[type[Any], ...] = (Diary, Archived, Pocketbook, Person, Note)


@pytest.fixture
async def store() -> AsyncIterator[FaultyBackend]:
    backend = FaultyBackend(MemoryBackend())
    yield backend
    await backend.close()


def old(**options: Any) -> Sealing:
    return Sealing(Keyring({1: ONE}), **options)


def both(**options: Any) -> Sealing:
    return Sealing(Keyring({1: ONE, 2: TWO}), **options)


def new(**options: Any) -> Sealing:
    return Sealing(Keyring({2: TWO}), **options)


async def tell(
    store: Backend, sealing: Sealing | None, *texts: str, types: tuple[type[Any], ...] = ALL, **where: Any
) -> None:
    """Tell an actor of each type some texts, one system for all of it."""
    async with ActorSystem(store=store, sealing=sealing, **where) as system:
        for actor_type in types:
            for text in texts:
                await system.ref(actor_type, "a").ask(Say(text))


async def told(store: Backend, sealing: Sealing, **where: Any) -> list[Any]:
    """Return what actors of all types know."""
    async with ActorSystem(store=store, sealing=sealing, **where) as system:
        return [await system.ref(actor_type, "a").ask(Say("?")) for actor_type in ALL]


async def move_to_archive(store: Backend, log: dict[int, bytes], start: int, stop: int) -> None:
    """Archive some events of a diary, as compaction does."""
    if start < stop:
        puts = [Put("archive", "Diary/a", number, log[number]) for number in range(start, stop)]
        await write(store, *puts, DeleteRange("events", "Diary/a", start, stop))


def cut_newest(folder: Path) -> None:
    """Take the last byte from the newest snapshot in a folder."""
    newest = max(folder.rglob("*.snapshot"))
    newest.write_bytes(newest.read_bytes()[:-1])


def hold_events(store: FaultyBackend, start: int) -> asyncio.Event:
    """Hold up who reads the log from a number on, until the event is set."""
    return store.hold("page", when=lambda collection, _, first, *__: (collection, first) == ("events", start))


class TestVerify:
    @pytest.mark.parametrize("options", [{}, {"chain": True}, {"hide_names": True}])
    async def test_a_whole_store_is_whole(self, store: Backend, options: dict[str, Any]) -> None:
        await tell(store, old(**options), *"12345678")

        result = await verify(store, old(**options))

        assert (result.problems, result.ok) == ([], True)
        assert (result.logs, result.events, result.sealed) == (4, 32, result.events + result.states)
        assert result.chained == (32 if "chain" in options else 0)

    async def test_a_plain_store_is_verified_too(self, store: Backend) -> None:
        await tell(store, None, *"12345", types=(Diary, Note))

        result = await verify(store)

        assert (result.ok, result.events, result.sealed) == (True, 5, 0)

    @pytest.mark.parametrize("damaged", [b"", b"?", b"\1\0\0\0\0\0\xc0", b"\1\0If-=\xc0", b"{}"])
    async def test_each_damaged_record_is_named_and_those_behind_it_are_read(
        self, store: Backend, damaged: bytes
    ) -> None:
        """Also one whose checksum is right, and which is no record."""
        await tell(store, None, *"123456", types=(Diary,))
        await write(store, *(Put("events", "Diary/a", number, damaged) for number in (2, 5)))

        result = await verify(store)

        assert [problem.sequence_number for problem in result.problems] == [2, 5]
        assert (result.events, result.states) == (6, 1)

    async def test_others_have_their_turn_every_few_hundred_records(self, store: Backend) -> None:
        """When progress is told, which it is in the end too."""
        await write(store, *(Put("events", "Diary/a", number, b"?") for number in range(1, 2000)))
        seen: list[int] = []
        turned: list[int] = []

        def look(at: Verification) -> None:
            seen.append(at.events)
            asyncio.get_running_loop().call_soon(turned.append, len(seen))

        await verify(store, progress=look)

        assert seen == [512, 1024, 1536, 1999]
        assert turned == [1, 2, 3]

    async def test_a_damaged_plain_record_is_found(self, store: Backend) -> None:
        await tell(store, None, *"123", types=(Diary,))
        record = (await entries(store, "events", "Diary/a"))[2]
        await write(store, Put("events", "Diary/a", 2, record[:-1] + b"?"))

        [problem] = (await verify(store)).problems

        assert (problem.persistence_id, problem.sequence_number) == ("Diary/a", 2)
        assert "checksum" in problem.reason

    @pytest.mark.parametrize("sealing", [None, old(chain=True)], ids=["without keys", "with keys"])
    @pytest.mark.parametrize("harm", ["remove", "swap", "replace", "cut the beginning", "put in another"])
    async def test_what_was_done_to_a_chained_log_is_found(
        self, store: Backend, sealing: Sealing | None, harm: str
    ) -> None:
        """Whoever has the database sees it, also without keys."""
        await tell(store, old(chain=True), *"123456", types=(Diary,))
        elsewhere = MemoryBackend()
        await tell(elsewhere, old(chain=True), *"abcdef", types=(Diary,))
        found, others = await entries(store, "events", "Diary/a"), await entries(elsewhere, "events", "Diary/a")
        log = ("events", "Diary/a")
        harms: dict[str, list[Any]] = {
            "remove": [Delete(*log, 3)],
            "swap": [Put(*log, 3, found[4]), Put(*log, 4, found[3])],
            "replace": [Put(*log, 3, others[3])],
            "cut the beginning": [DeleteRange(*log, 1, 3), Put(*log, 1, found[3]), Put(*log, 2, found[4])],
            "put in another": [Put(*log, 6, others[6])],
        }
        await write(store, *harms[harm])

        result = await verify(store, sealing)

        assert not result.ok

    @pytest.mark.parametrize("number", [1, 2, 512, 513])
    async def test_a_log_that_goes_on_as_another_one_is_found(self, store: Backend, number: int) -> None:
        """Wherever it does, though each record is where it was sealed and can be opened."""
        seal = Seal(old(chain=True), "events", "Diary/a")
        own, other = (seal.seal_chain(0, [plain_record(b"")] * 520, start)[0] for start in (ORIGIN, bytes([1] * 32)))
        records = own[: number - 1] + other[number - 1 :]
        await write(store, *(Put("events", "Diary/a", *entry) for entry in enumerate(records, 1)))

        [problem] = (await verify(store)).problems

        assert (type(problem), problem.sequence_number) == (ChainBroken, number)

    async def test_each_problem_is_told_at_once_and_counted(self, store: Backend) -> None:
        await tell(store, old(), *"123456", types=(Diary,))
        told: list[CorruptionError] = []
        await write(store, *(Put("events", "Diary/a", number, b"?") for number in range(1, 7)))

        result = await verify(store, old(), found=told.append)

        assert result.problem_count == len(told) == 6
        assert all(isinstance(problem, PlaintextRefused) for problem in told)

    async def test_what_is_archived_is_the_beginning_of_its_log(self, store: Backend) -> None:
        await tell(store, old(chain=True), *"1234567890", types=(Archived,))
        await write(store, Delete("archive", "Archived/a", 3))

        [problem] = (await verify(store, old(chain=True))).problems

        assert "sequence number 3: the event is missing" in str(problem)

    async def test_what_is_compacted_between_two_pages_is_no_gap(self, store: FaultyBackend) -> None:
        """A writer may go on meanwhile: the event before the next page is not there any more either."""
        await tell(store, old(chain=True), *map(str, range(PAGE + 50)), types=(Diary,))
        release = hold_events(store, PAGE + 1)

        verifying = soon(verify(store, old(chain=True)))
        await turns(50)
        await write(store.inner, DeleteRange("events", "Diary/a", 1, PAGE + 11))
        release.set()

        result = await verifying
        assert (result.problems, result.events) == ([], PAGE + 40)

    async def test_events_that_are_missing_in_a_plain_log_are_found(self, store: Backend) -> None:
        await tell(store, None, *"12345678", types=(Diary,))
        await write(store, Delete("events", "Diary/a", 3), DeleteRange("events", "Diary/a", 5, 7))

        result = await verify(store)

        assert [problem.sequence_number for problem in result.problems] == [3, 5]

    async def test_an_event_that_is_missing_between_two_pages_is_found(self, store: Backend) -> None:
        await tell(store, old(), *map(str, range(PAGE + 50)), types=(Diary,))
        await write(store, Delete("events", "Diary/a", PAGE + 1))

        [problem] = (await verify(store, old())).problems

        assert problem.sequence_number == PAGE + 1

    @pytest.mark.parametrize("archived", [0, 4])
    async def test_what_is_archived_meanwhile_is_looked_through_too(self, store: FaultyBackend, archived: int) -> None:
        """Whether something was archived before or not."""
        await tell(store, old(chain=True), *map(str, range(12)), types=(Diary,))
        log = await entries(store, "events", "Diary/a")
        await move_to_archive(store, log, 1, archived + 1)
        release = hold_events(store, archived + 1)

        verifying = soon(verify(store, old(chain=True)))
        await turns(50)
        await move_to_archive(store.inner, log, archived + 1, 10)
        release.set()

        result = await verifying
        assert (result.problems, result.events, result.chained) == ([], 12, 12)

    async def test_what_is_missing_at_the_end_of_the_archive_is_found(self, store: Backend) -> None:
        """Though the event before it is not in the log any more."""
        await tell(store, old(), *map(str, range(12)), types=(Diary,))
        await move_to_archive(store, await entries(store, "events", "Diary/a"), 1, 10)
        await write(store, DeleteRange("archive", "Diary/a", 5, 10))

        [problem] = (await verify(store, old())).problems

        assert (problem.sequence_number, problem.reason) == (5, "the event is missing; the next one is 10")

    async def test_a_damaged_archive_is_a_problem_and_the_log_is_verified(self, store: Backend) -> None:
        inner = MemoryBackend()
        archive = ChunkArchive(CollectionSnapshots(inner))
        await tell(store, old(), *"1234567890", types=(Archived,), archive=archive)
        number = max(await entries(inner, "snapshots", "Archived/a"))
        await write(inner, Put("snapshots", "Archived/a", number, b"?"))

        result = await verify(store, old(), archive=archive)

        [problem] = result.problems
        assert "the archived events up to here are damaged" in problem.reason
        assert result.events == 10 - number

    async def test_records_of_a_forgotten_subject_are_counted_and_no_problem(self, store: Backend) -> None:
        await tell(store, old(), "one", types=(Person, Diary))
        await forget(store, old(), "a")

        result = await verify(store, old())

        assert (result.ok, result.forgotten) == (True, 1)

    async def test_snapshots_and_archives_elsewhere_are_verified(self, store: Backend, tmp_path: Any) -> None:
        where, archive = CollectionSnapshots(inner := MemoryBackend()), await open_archive(f"file://{tmp_path}/a")
        await tell(store, old(), *"1234567890", types=(Archived,), snapshots=where, archive=archive)
        whole = await verify(store, old(), snapshots=where, archive=archive)
        await write(inner, Put("snapshots", "Archived/a", 8, b"?"))

        [problem] = (await verify(store, old(), snapshots=where, archive=archive)).problems

        assert (whole.ok, whole.events, whole.states) == (True, 10, 1)
        assert isinstance(problem, PlaintextRefused)
        await archive.close()

    async def test_without_the_archive_the_beginning_of_a_log_is_taken_as_it_is(self, store: Backend) -> None:
        await tell(store, old(chain=True), *"1234567890", types=(Pocketbook,))
        await write(store, DeleteRange("events", "Pocketbook/a", 1, 5))

        assert (await verify(store, old(chain=True))).ok


class TestAnchor:
    async def test_a_cut_tail_is_found_by_an_anchor(self, store: Backend) -> None:
        await tell(store, old(chain=True), *"1234", types=(Diary,))
        anchor = await take_anchor(store)
        await write(store, DeleteRange("events", "Diary/a", 4, 5))

        [problem] = (await verify(store, anchor=anchor)).problems

        assert isinstance(problem, TailCut)

    async def test_a_log_that_has_vanished_is_found_by_an_anchor(self, store: Backend) -> None:
        await tell(store, old(chain=True), *"1234", types=(Diary,))
        anchor = await take_anchor(store)
        await write(store, Purge("events", "Diary/a"))

        [problem] = (await verify(store, anchor=anchor)).problems

        assert isinstance(problem, TailCut)

    async def test_a_rewritten_past_is_found_by_an_anchor_although_its_chain_is_right(self, store: Backend) -> None:
        """Who has the keys may write another log; not one that ends in the same link."""
        await tell(store, old(chain=True), *"1234", types=(Diary,))
        anchor = await take_anchor(store)
        await write(store, Purge("events", "Diary/a"), Purge("snapshots", "Diary/a"))
        await tell(store, old(chain=True), *"12345", types=(Diary,))

        [problem] = (await verify(store, old(chain=True), anchor=anchor)).problems

        assert isinstance(problem, ChainBroken)
        assert "an anchor knows another record" in problem.reason

    async def test_an_anchor_is_a_document(self, store: Backend) -> None:
        await tell(store, old(chain=True), *"1234", types=(Diary, Note))
        anchor = await take_anchor(store)

        assert (list(anchor.heads), list(anchor.states)) == (["Diary/a"], ["Note/a"])
        assert Anchor.from_json(anchor.to_json()) == anchor

    @pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"form":"x","taken":"2020-01-01T00:00:00Z","heads":{}}'])
    def test_nothing_else_is_an_anchor(self, document: bytes) -> None:
        with pytest.raises(ValueError, match="nchor"):
            Anchor.from_json(document)

    async def test_what_is_sealed_anew_keeps_its_links(self, store: Backend) -> None:
        """And its place, to which it is bound again (ATS-102)."""
        await tell(store, old(chain=True), *"12345")
        anchor = await take_anchor(store)
        await reseal(store, both(chain=True))
        await tell(store, new(chain=True), *"67", types=(Diary,))

        result = await verify(store, new(chain=True), anchor=anchor)

        assert (result.problems, (await take_anchor(store)).heads["Person/a"]) == ([], anchor.heads["Person/a"])


class TestAnchoredStates:
    """Of a durable state only the newest revision is stored, so nothing else tells that an older one was put back."""

    @pytest.mark.parametrize("sealing", [None, old(chain=True)], ids=["without keys", "with keys"])
    async def test_one_that_was_rolled_back_is_found(self, store: Backend, sealing: Sealing | None) -> None:
        await tell(store, old(chain=True), "1", types=(Note,))
        before = await entries(store, "durable", "Note/a")
        await tell(store, old(chain=True), "2", types=(Note,))
        anchor = await take_anchor(store)
        await write(store, Purge("durable", "Note/a"), Put("durable", "Note/a", 1, before[1]))

        [problem] = (await verify(store, sealing, anchor=anchor)).problems

        assert isinstance(problem, RolledBack)
        assert str(problem).startswith("Note/a, revision 1: ")

    async def test_one_that_has_vanished_is_found(self, store: Backend) -> None:
        await tell(store, old(chain=True), "1", types=(Note,))
        anchor = await take_anchor(store)
        await write(store, Purge("durable", "Note/a"))

        [problem] = (await verify(store, anchor=anchor)).problems

        assert isinstance(problem, RolledBack)

    async def test_another_one_of_the_same_revision_is_found(self, store: Backend) -> None:
        await tell(store, old(chain=True), "1", types=(Note,))
        anchor = await take_anchor(store)
        await write(store, Purge("durable", "Note/a"))
        await tell(store, old(chain=True), "another", types=(Note,))

        [problem] = (await verify(store, old(chain=True), anchor=anchor)).problems

        assert type(problem) is ChainBroken

    @pytest.mark.parametrize("harm", ["roll back", "remove", "exchange"])
    async def test_recovery_refuses_it(self, store: Backend, harm: str) -> None:
        await tell(store, old(chain=True), "1", types=(Note,))
        before = await entries(store, "durable", "Note/a")
        await tell(store, old(chain=True), "2", types=(Note,))
        anchored = old(chain=True, anchor=await take_anchor(store))
        await write(store, Purge("durable", "Note/a"))
        if harm == "roll back":
            await write(store, Put("durable", "Note/a", 1, before[1]))
        elif harm == "exchange":
            await tell(store, old(chain=True), "x", "y", types=(Note,))

        with pytest.raises(ChainBroken, match="Note/a, revision"):
            await tell(store, anchored, "3", types=(Note,))

    async def test_later_revisions_are_read(self, store: Backend) -> None:
        await tell(store, old(chain=True), "1", types=(Note,))
        anchored = old(chain=True, anchor=await take_anchor(store))

        await tell(store, anchored, "2", types=(Note,))
        await tell(store, anchored, "3", types=(Note,))

        assert (await verify(store, anchored)).problems == []

    async def test_what_is_sealed_anew_is_what_it_was(self, store: Backend) -> None:
        await tell(store, old(chain=True), "1", types=(Note,))
        anchor = await take_anchor(store)
        await reseal(store, both(chain=True))

        assert (await verify(store, new(chain=True, anchor=anchor))).problems == []
        await tell(store, new(chain=True, anchor=anchor), "2", types=(Note,))


class TestDryRun:
    """Tells what would be done, and does nothing."""

    async def test_reseal_counts_what_is_sealed_with_another_key(self, store: Backend) -> None:
        await tell(store, old(), *"123456789")
        before = [await entries(store, "events", f"{kind.type_name}/a") for kind in ALL]

        dry = await reseal(store, both(), actor_types=[Person], dry_run=True)

        assert [await entries(store, "events", f"{kind.type_name}/a") for kind in ALL] == before
        assert (await verify(store, old())).ok
        wet = await reseal(store, both(), actor_types=[Person])
        assert dry.resealed == wet.resealed - 2  # the keys of names, and of one subject

    async def test_reseal_makes_nothing_sealed_that_was_not(self, store: Backend) -> None:
        await tell(store, None, "1", types=(Diary,))

        with pytest.raises(SealedStore, match="nothing in it is sealed yet"):
            await reseal(store, both(), dry_run=True)
        assert (await verify(store)).sealed == 0

    async def test_forget_tells_whether_there_is_a_key(self, store: Backend) -> None:
        await tell(store, old(), "1", types=(Person,))

        known = await forget(store, old(), "a", dry_run=True)

        assert (known, await forget(store, old(), "nobody", dry_run=True)) == (True, False)
        assert await told(store, old())
        assert await forget(store, old(), "a")
        assert not await forget(store, old(), "a", dry_run=True)


class TestReseal:
    @pytest.mark.parametrize("options", [{}, {"chain": True}, {"hide_names": True}])
    async def test_nothing_is_left_of_the_old_key(self, store: Backend, options: dict[str, Any]) -> None:
        """In no collection (ATS-99)."""
        await tell(store, old(**options), *"123456789")

        result = await reseal(store, both(**options))

        assert result.resealed > 30
        assert await told(store, new(**options)) == [10] * len(ALL)
        assert (await verify(store, new(**options))).problems == []

    async def test_a_second_sweep_seals_nothing(self, store: Backend) -> None:
        """All is sealed with the active key (ATS-99)."""
        await tell(store, old(), *"123456789")
        await reseal(store, both())

        assert (await reseal(store, both())).resealed == 0

    async def test_what_was_plain_is_sealed_in_the_window(self, store: Backend) -> None:
        """And refused without it (ATS-99)."""
        types = (Diary, Archived, Pocketbook, Note)
        await tell(store, None, *"123456789", types=types)

        await reseal(store, old(plaintext_until=datetime.now(UTC) + timedelta(hours=1)))

        await tell(store, old(), "10", types=types)
        assert (await verify(store, old())).problems == []

    async def test_another_suite_is_a_reason_too(self, store: Backend) -> None:
        """Without another key, and once (ATS-100)."""
        await tell(store, old(), *"12345")

        await reseal(store, old(suite="xchacha20-poly1305"))

        assert {record[2] for record in (await entries(store, "events", "Person/a")).values()} == {2}

    async def test_feeds_are_as_they_were(self, store: Backend) -> None:
        """A reader that was behind some events does not see them again, and misses none of the others."""
        await tell(store, old(), *"12345")
        async with ActorSystem(store=store, sealing=both()) as system:
            events = [event async for event in system.query(*ALL[:4]).all_events()]
            seen = events[7].offset
            await reseal(store, both())
            again = [(e.persistence_id, e.sequence_number) async for e in system.query(*ALL[:4]).all_events(after=seen)]

        assert again == [(event.persistence_id, event.sequence_number) for event in events[8:]]

    async def test_what_was_stored_before_it_had_a_subject_gets_its_key(self, store: Backend) -> None:
        await tell(store, old(), *"12345", types=(Diary,))

        class Grown(Person):
            type_name = "Diary"

        await reseal(store, old(), actor_types=[Grown])
        await forget(store, old(), "a")

        with pytest.raises(SubjectForgotten):
            await replay(store, Grown, "a", sealing=old())

    async def test_a_subject_stays_forgotten(self, store: Backend) -> None:
        await tell(store, old(), *"12345", types=(Person, Diary))
        await forget(store, old(), "a")

        result = await reseal(store, both(), actor_types=[Person])

        assert result.forgotten == 6
        with pytest.raises(SubjectForgotten):
            await replay(store, Person, "a", sealing=new())

    async def test_types_have_their_own_keys(self, store: Backend) -> None:
        class Private(Diary):
            sealing = Keyring({7: ONE, 8: TWO}, active=7)

        await tell(store, old(), *"12345", types=(Private,))
        Private.sealing.activate(8)

        await reseal(store, both(), actor_types=[Private])

        assert {record[4] for record in (await entries(store, "events", "Private/a")).values()} == {8}

    @pytest.mark.parametrize("url", ["memory://", "file"])
    async def test_snapshots_and_archives_elsewhere_are_swept(self, store: Backend, url: str, tmp_path: Any) -> None:
        where = (
            CollectionSnapshots(MemoryBackend()) if url == "memory://" else await open_snapshots(f"file://{tmp_path}/s")
        )
        archive = await open_archive(f"file://{tmp_path}/a")
        await tell(store, old(), *"1234567890", snapshots=where, archive=archive)

        await reseal(store, both(), snapshots=where, archive=archive)

        elsewhere: dict[str, Any] = {"snapshots": where, "archive": archive}
        assert await told(store, new(), **elsewhere) == [11] * len(ALL)
        assert (await replay(store, Archived, "a", to=2, sealing=new(), **elsewhere)).state == ("1", "2")
        await where.close()
        await archive.close()

    async def test_it_goes_on_where_it_was_stopped(self, store: FaultyBackend) -> None:
        """Behind the last that it has noted (ATS-99)."""
        for count in range(30):
            async with ActorSystem(store=store, sealing=old()) as system:
                for number in range(100):
                    await system.ref(Diary, f"{count:02}").ask(Say(str(number)))
        seen: list[str] = []

        def stop(at: Any) -> None:
            if at.name == "Diary/20":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await reseal(store, both(), progress=stop)
        result = await reseal(store, both(), progress=lambda at: seen.append(at.name) if at.stage == "events" else None)

        assert seen[0] > "Diary/05"
        assert seen[-1] == "Diary/29"
        assert result.records < 4000
        assert (await verify(store, new())).problems == []

    async def test_nobody_has_it_pass_over_anything(self, store: Backend) -> None:
        """Where it goes on is sealed, too; a word of somebody else's is not believed."""
        await tell(store, old(), *"12345", types=(Diary, Note))
        target = bytes((1, 0, 2)) + Keyring({2: TWO}).fingerprint(2)
        forged = msgspec.msgpack.encode((target, "states", "Z"))
        await write(store, PutState("sealing", "sweep", forged))

        assert (await reseal(store, both())).resealed >= 7

    async def test_it_keeps_to_its_pace(self, store: Backend, clock: VirtualClock) -> None:
        await tell(store, old(), *"1234567890", types=(Diary,))

        async with clock.jumping():
            began = clock.monotonic()
            result = await reseal(store, both(), records_per_second=2, clock=clock)

        assert clock.monotonic() - began >= result.records / 2 - 1

    async def test_it_resurrects_nothing_that_is_removed_meanwhile(self, store: FaultyBackend) -> None:
        await tell(store, old(), *"1234567890", types=(Diary,))

        release = store.hold("commit", when=2)  # the first is that of the keys
        sweep = asyncio.ensure_future(reseal(store, both()))
        await turns(50)
        await write(store.inner, DeleteRange("events", "Diary/a", 1, 8))
        release.set()
        await sweep

        assert list(await entries(store, "events", "Diary/a")) == [8, 9, 10]

    @pytest.mark.parametrize("elsewhere", [False, True])
    async def test_what_is_archived_behind_the_sweep_is_sealed_too(self, store: FaultyBackend, elsewhere: bool) -> None:
        """By a writer that has read it before."""
        inner = FaultyBackend(MemoryBackend())
        archive = ChunkArchive(CollectionSnapshots(inner)) if elsewhere else None
        async with ActorSystem(store=store, sealing=old(), archive=archive) as system:
            for key in ("a", "b"):
                for text in "123456789":
                    await system.ref(Archived, key).ask(Say(text))
        late = (await entries(store, "events", "Archived/a")).items()
        where, collection = (inner, "snapshots") if elsewhere else (store, "archive")
        release = where.hold("page", when=lambda found, name, *_: (found, name) == (collection, "Archived/b"))

        sweep = soon(reseal(store, both(), archive=archive))
        await turns(200)
        if archive is None:
            await write(store, *(Put("archive", "Archived/a", *entry) for entry in late))
        else:
            await archive.add("Archived/a", [Entry(*entry) for entry in late])
        release.set()
        await sweep

        assert (await verify(store, new(), archive=archive)).problems == []

    async def test_one_that_goes_on_in_the_archive_looks_through_all_of_it(self, store: Backend) -> None:
        """For what was passed before it was stopped may have been added to since."""
        await tell(store, old(), *"123456789", types=(Archived,))
        position = msgspec.msgpack.encode((both().active.start, "archive", "Archived/z"))
        sealed = Seal(both(), "sealing", "sweep").seal(0, plain_record(position))
        await write(store, PutState("sealing", "sweep", sealed))

        await reseal(store, both())

        assert {record[4] for record in (await entries(store, "archive", "Archived/a")).values()} == {2}
        assert {record[4] for record in (await entries(store, "events", "Archived/a")).values()} == {1}

    async def test_a_missing_key_is_named_and_nothing_is_lost(self, store: Backend) -> None:
        """It stops at the record (ATS-99)."""
        await tell(store, old(), *"12345", types=(Diary,))
        await reseal(store, both())
        await tell(store, both(), "6", types=(Diary,))

        with pytest.raises(KeyMissing):
            await reseal(store, Sealing(Keyring({3: bytes(range(2, 34))})))

        assert (await verify(store, new())).ok

    @pytest.mark.parametrize("damaged", [b"", b"?", b"\1\0\0\0\0\0garbage", b"{}"])
    async def test_a_damaged_plain_record_is_named_and_not_sealed(self, store: Backend, damaged: bytes) -> None:
        """Sealed, it would look as if it had always been so."""
        await tell(store, None, *"123", types=(Diary,))
        await write(store, Put("events", "Diary/a", 2, damaged))

        with pytest.raises(CorruptionError, match="Diary/a, sequence number 2"):
            await reseal(store, old(plaintext_until=datetime.now(UTC) + timedelta(hours=1)))

        assert (await entries(store, "events", "Diary/a"))[2] == damaged

    @pytest.mark.parametrize("options", [{}, {"hide_names": True}])
    async def test_what_is_damaged_is_passed_over_when_that_is_asked_for(
        self, store: Backend, options: dict[str, Any]
    ) -> None:
        await tell(store, old(**options), *"123456", types=(Diary,))
        [name] = await store.prefixes("events")
        log = await entries(store, "events", name)
        await write(store, *(Put("events", name, number, log[number][:-1] + b"?") for number in (1, 4)))
        told: list[CorruptionError] = []

        result = await reseal(store, both(**options), actor_types=[Diary], skip_damaged=True, found=told.append)

        assert ([problem.sequence_number for problem in told], result.skipped) == ([1, 4], 2)
        left = (await verify(store, new(**options))).problems
        assert [problem.sequence_number for problem in left] == [1, 4]

    async def test_damaged_snapshots_elsewhere_are_passed_over_too(self, store: Backend, tmp_path: Path) -> None:
        shelf = await open_snapshots(f"file://{tmp_path}")
        await tell(store, old(), *map(str, range(9)), types=(Diary,), snapshots=shelf)
        cut_newest(tmp_path)

        with pytest.raises(CorruptionError):
            await reseal(store, both(), snapshots=shelf)
        result = await reseal(store, both(), snapshots=shelf, skip_damaged=True)

        assert result.skipped == 1
        assert [problem.sequence_number for problem in (await verify(store, new(), snapshots=shelf)).problems] == [8]
        await shelf.close()
