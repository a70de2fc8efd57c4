"""Copying whole stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import count, islice
from typing import Any

import pytest

from perdure import ActorSystem, Keyring, Sealing
from perdure.abc import Backend, DeleteRange, FeedPage, Page, Purge, Put, PutState, Write, WriteGroup
from perdure.errors import CorruptionError, StoreError, Superseded, TargetDiffers
from perdure.memory import MemoryBackend
from perdure.transfer import Copied, copy
from perdure.transfer._feed import Feed
from perdure.transfer._fork import name_of
from perdure.transfer._heads import Heads
from perdure.upkeep import verify
from perdure_testkit import FaultyBackend

from .contents import TYPES, Compacted, contents, feed, tell, told
from .diaries import ONE, TWO, Diary, Pocketbook, Read, Say, entries, write
from .turning import soon, turns, until

ELEVEN = [f"{number}" for number in range(11)]


@pytest.fixture
async def target() -> AsyncIterator[FaultyBackend]:
    backend = FaultyBackend(MemoryBackend())
    yield backend
    await backend.close()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have feeds read in pages of four."""
    monkeypatch.setattr(Feed, "_FIRST", 4)
    monkeypatch.setattr(Feed, "_MOST", 4)


class Busy(FaultyBackend):
    """A store to which something happens before each read."""

    def __init__(self, inner: Backend, happen: Callable[..., Awaitable[None]]) -> None:
        super().__init__(inner)
        self.happen = happen

    async def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> FeedPage:
        await self.happen("feed")
        return await super().feed(collection, after, limit)

    async def page(self, *arguments: Any, **options: Any) -> Page:
        await self.happen("page", start=arguments[2], reverse=options.get("reverse", False))
        return await super().page(*arguments, **options)

    async def read_state(self, state: str, prefix: str) -> tuple[int, bytes | None]:
        await self.happen("read_state")
        return await super().read_state(state, prefix)


def _group(write: Write) -> WriteGroup:
    return WriteGroup((write,))


class TestWhatIsCopied:
    async def test_a_copy_holds_the_bytes_of_its_source(self, store: FaultyBackend, target: FaultyBackend) -> None:
        """Events and durable states in the order of commits, snapshots, archive, states, and owners' epochs."""
        await tell(store, ELEVEN, owner="one")

        result = await copy(store, target)

        assert await contents(target) == await contents(store)
        assert (result.events, result.damaged_count) == (len(await feed(store, "events")), 0)
        assert result.stage == "compare"

    @pytest.mark.usefixtures("small_pages")
    async def test_more_actors_are_copied_than_are_remembered(
        self, store: FaultyBackend, target: FaultyBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is not remembered of the target is guessed, and looked up where that was wrong."""
        monkeypatch.setattr(Heads, "_MOST", 2)
        await tell(store, ELEVEN)
        await write(store, DeleteRange("events", "Pocketbook/a", 5, 8))

        result = await copy(store, target, skip_damaged=True)

        assert sorted(await feed(target, "events")) == sorted(await feed(store, "events"))
        assert result.events == len(await feed(store, "events"))
        assert (await copy(store, target, skip_damaged=True)).events == 0

    async def test_actors_go_on_from_the_copy(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN, owner="one")
        await copy(store, target)

        await tell(target, "?", owner="two")

        await tell(store, "?", owner="two")
        assert await told(target) == await told(store)
        assert (await verify(target)).problems == []

    async def test_a_sealed_store_is_copied_without_its_keys(self, store: FaultyBackend, target: FaultyBackend) -> None:
        sealing = Sealing(Keyring({1: ONE}), hide_names=True, chain=True)
        await tell(store, ELEVEN, sealing=sealing)

        await copy(store, target)

        assert await contents(target) == await contents(store)
        assert await told(target, sealing) == await told(store, sealing)
        assert (await verify(target, sealing)).problems == []

    async def test_keys_of_subjects_are_copied(self, store: FaultyBackend, target: FaultyBackend) -> None:
        class Person(Diary):
            @classmethod
            def subject(cls, persistence_id: str) -> str | None:
                return persistence_id

        sealing = Sealing(Keyring({1: ONE}))
        await tell(store, "ab", sealing=sealing, types=(Person,))

        await copy(store, target)

        async with ActorSystem(store=target, sealing=sealing) as system:
            assert await system.ref(Person, "a").ask(Read()) == ("a", "b")

    async def test_an_owner_of_the_source_owns_no_more_than_there(
        self, store: FaultyBackend, target: FaultyBackend
    ) -> None:
        """Epochs go on from those of the source, so who claims the copy is later than whoever claimed the source."""
        for owner in ("one", "two", "three"):
            await tell(store, "x", names="a", types=(Diary,), owner=owner)
        await copy(store, target)

        await tell(target, "y", names="a", types=(Diary,), owner="four")

        assert await target.state("owners", "Diary/a").version() == 4
        assert (await verify(target)).problems == []

    async def test_an_owner_stays_the_owner_in_the_copy(self, store: FaultyBackend) -> None:
        """A store may be replaced by its copy under a running system: it still is the one that claimed last."""
        place = FaultyBackend(store.inner)
        async with ActorSystem(store=place, owner="one") as system, ActorSystem(store=place, owner="two") as other:
            await system.ref(Diary, "a").ask(Say("x"))
            await other.ref(Diary, "a").ask(Say("y"))
            copied = MemoryBackend()
            await copy(store, copied)
            place.inner = copied

            assert await other.ref(Diary, "a").ask(Say("z")) == 3
            with pytest.raises(Superseded):
                await system.ref(Diary, "a").ask(Say("w"))

    async def test_what_no_system_keeps_is_left(self, store: FaultyBackend, target: FaultyBackend) -> None:
        """Where a sweep was, and which log a store is to its replicas, are no matter of the copy."""
        await write(store, PutState("sealing", "sweep", b"x"), PutState("replicas", "log", b"x"))

        await copy(store, target)

        assert await target.state("sealing", "sweep").version() == 0
        assert await target.state("replicas", "log").version() == 0

    async def test_large_records_are_read_few_at_a_time(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ["x" * 1_000_000] * 12, types=(Diary,), names="a")
        limits: list[int] = []
        store.delay("feed", 0, when=lambda *arguments: bool(limits.append(arguments[2])))

        await copy(store, target)

        assert limits[0] == 64
        assert set(limits[1:]) <= {4, 64}


class TestProgress:
    async def test_it_counts_what_is_written_and_compared(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN)
        seen: list[tuple[str, int]] = []

        def progress(copied: Copied) -> None:
            seen.append((copied.stage, copied.events))

        result = await copy(store, target, progress=progress)

        stages = list(dict.fromkeys(stage for stage, _ in seen))
        assert stages == ["events", "actors", "durable", "archive", "compare"]
        assert result.bytes > sum(len(record.value) for record in await feed(store, "events"))
        assert result.compared == result.events + result.states

    async def test_a_dry_run_writes_nothing_and_counts(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN)

        planned = await copy(store, target, dry_run=True)

        assert target.calls["commit"] == 0
        done = await copy(store, target)
        assert (planned.events, planned.states, planned.bytes) == (done.events, done.states, done.bytes)


class TestGoingOn:
    async def test_a_second_copy_writes_nothing(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN, owner="one")
        first = await copy(store, target)

        second = await copy(store, target)

        assert (second.events, second.states, second.present) == (0, 0, first.events + first.states)
        assert await contents(target) == await contents(store)

    async def test_a_second_copy_brings_what_came_since(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN, owner="one")
        await copy(store, target)
        await tell(store, ELEVEN, owner="one")

        await copy(store, target)

        assert await told(target) == await told(store)
        assert await contents(target) == await contents(store)

    @pytest.mark.usefixtures("small_pages")
    @pytest.mark.parametrize("kind", ["reject", "lose", "disconnect"])
    async def test_a_copy_that_failed_goes_on(self, store: FaultyBackend, target: FaultyBackend, kind: str) -> None:
        """At whichever commit the target vanishes."""
        await tell(store, ELEVEN, owner="one")
        for commit in range(2, 14):
            getattr(target, kind)("commit", when=commit)
            with suppress(StoreError):
                await copy(store, target)
            target.heal()

        await copy(store, target)

        assert len(target.injected) >= 7
        assert await contents(target) == await contents(store)

    @pytest.mark.usefixtures("small_pages")
    async def test_a_copy_that_was_cancelled_goes_on(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN)
        for number in range(2, 8):
            held = target.hold("commit", when=number)
            copying = soon(copy(store, target))
            await until(lambda: bool(target.injected))
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
            held.set()
            target.heal()

        await copy(store, target)

        assert await contents(target) == await contents(store)

    async def test_the_order_of_commits_outlives_an_interruption(
        self, store: FaultyBackend, target: FaultyBackend, small_pages: None
    ) -> None:
        await tell(store, ELEVEN, types=(Diary,), names="abc")
        target.reject("commit", when=5)
        with pytest.raises(StoreError):
            await copy(store, target)

        await copy(store, target)

        assert await feed(target, "events") == await feed(store, "events")


class TestSourcesThatChange:
    @pytest.mark.parametrize(("every", "burst"), [(1, 1), (2, 5), (3, 9), (5, 20)])
    async def test_what_is_added_meanwhile_is_whole(
        self, store: FaultyBackend, target: FaultyBackend, every: int, burst: int
    ) -> None:
        """Actors write, and compact, at any step of a copy; those of the copy are as they were at some moment."""
        await tell(store, ELEVEN[:3])
        async with ActorSystem(store=store.inner) as live:
            reads = count()
            texts = iter(range(100, 1_000))

            async def tell_some(_: str, **__: object) -> None:
                for text in islice(texts, 0 if next(reads) % every else burst):
                    await live.ref(TYPES[text // burst % 5], "ab"[text // burst // 5 % 2]).ask(Say(f"{text}"))
                await turns()

            await copy(Busy(store.inner, tell_some), target)

        assert (await verify(target)).problems == []
        then, now = await told(target), await told(store)
        assert then == {name: texts[: len(then[name])] for name, texts in now.items()}
        await copy(store, target)
        assert await told(target) == now

    async def test_what_is_compacted_between_two_reads_of_an_actor_is_read_again(
        self, store: FaultyBackend, target: FaultyBackend
    ) -> None:
        """Of an actor that is written at the very end, the snapshot is read anew that covers what is gone."""
        await tell(store, ELEVEN[:6], names="a", types=(Compacted,))
        async with ActorSystem(store=store.inner) as live:
            to_come: list[tuple[dict[str, object], int]] = [
                ({"start": 1}, 1),
                ({"reverse": True}, 4),
                ({"start": 8}, 5),
            ]

            async def tell_some(_: str, **how: object) -> None:
                if to_come and to_come[0][0].items() <= how.items():
                    for _ in range(to_come.pop(0)[1]):
                        await live.ref(Compacted, "a").ask(Say("x"))
                    await turns(200)

            await copy(Busy(store.inner, tell_some), target)

        assert to_come == []
        assert (await verify(target)).problems == []
        assert await told(target) == await told(store)

    async def test_the_end_is_reached_though_the_source_never_stands_still(
        self, store: FaultyBackend, target: FaultyBackend
    ) -> None:
        async with ActorSystem(store=store.inner) as live:

            async def add(operation: str, **_: object) -> None:
                if operation == "feed":
                    await live.ref(Pocketbook, "a").ask(Say("x"))

            result = await copy(Busy(store.inner, add), target)

        assert result.events > 64
        assert (await verify(target)).problems == []

    async def test_events_that_are_compacted_before_they_are_copied_are_not_missed(
        self, store: FaultyBackend, target: FaultyBackend, small_pages: None
    ) -> None:
        """The copy of the log begins where that of the source does."""
        await tell(store, ELEVEN, names="a", types=(Diary,))
        held = store.hold("feed", when=3)
        copying = soon(copy(store, target))
        await until(lambda: bool(store.injected))
        await write(store.inner, DeleteRange("events", "Diary/a", 1, 8))
        held.set()

        await copying

        assert list(await entries(target, "events", "Diary/a")) == [8, 9, 10, 11]
        async with ActorSystem(store=target) as system:
            assert await system.ref(Diary, "a").ask(Read()) == tuple(ELEVEN)

    async def test_a_source_that_was_compacted_since_goes_on_into_its_copy(self, tmp_path: Any) -> None:
        """The target remembers whose copy it is."""
        source, target = "memory://compacted-source", "memory://compacted-target"
        store = MemoryBackend("compacted-source")
        await tell(store, ELEVEN[:5], names="a", types=(Diary,))
        await copy(source, target)
        await tell(store, ELEVEN[5:], names="a", types=(Diary,))
        await write(store, DeleteRange("events", "Diary/a", 1, 8))

        await copy(source, target)

        assert await contents(MemoryBackend("compacted-target")) == await contents(store)


class TestForks:
    async def test_a_longer_log_is_refused(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, "ab", types=(Diary,), names="ab")
        await copy(store, target)
        await tell(target, "c", types=(Diary,), names="b")

        with pytest.raises(TargetDiffers) as refused:
            await copy(store, target)

        assert (refused.value.collection, refused.value.name, refused.value.number) == ("events", "Diary/b", 3)

    @pytest.mark.parametrize("collection", ["events", "durable"])
    async def test_another_history_is_refused_before_anything_is_written(
        self, store: FaultyBackend, target: FaultyBackend, collection: str
    ) -> None:
        await tell(store, "abc")
        await tell(target, "xy", types=(Diary,) if collection == "events" else TYPES[-1:], names="b")
        before = await contents(target)
        commits = target.calls["commit"]

        with pytest.raises(TargetDiffers, match="use an empty target") as refused:
            await copy(store, target)

        assert refused.value.collection == collection
        assert (await contents(target), target.calls["commit"]) == (before, commits)

    async def test_a_log_of_which_nobody_can_tell_is_refused(self, store: FaultyBackend, target: FaultyBackend) -> None:
        """The source has compacted the events that the target ends with, and it is not known to be a copy."""
        await tell(store, ELEVEN, names="a", types=(Diary,))
        await write(store, DeleteRange("events", "Diary/a", 1, 8))
        await tell(target, ELEVEN[:3], names="a", types=(Diary,))

        with pytest.raises(TargetDiffers, match="has compacted"):
            await copy(store, target)

    async def test_a_later_owner_is_refused(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, "ab", types=(Diary,), owner="one")
        await copy(store, target)
        async with ActorSystem(store=target, owner="two") as system:
            await system.ref(Diary, "a").ask(Read())

        with pytest.raises(TargetDiffers, match="claimed"):
            await copy(store, target)

    async def test_a_target_that_is_sealed_by_itself_is_refused(
        self, store: FaultyBackend, target: FaultyBackend
    ) -> None:
        await tell(store, "ab", types=(Diary,), sealing=Sealing(Keyring({1: ONE})))
        await tell(target, "ab", types=(Diary,), names="c", sealing=Sealing(Keyring({1: TWO})))

        with pytest.raises(TargetDiffers, match="sealed by itself"):
            await copy(store, target)

    async def test_others_that_a_target_has_are_left_alone(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, "ab", types=(Diary,), names="a")
        await tell(target, "xyz", types=(Diary,), names="b")

        await copy(store, target)

        async with ActorSystem(store=target) as system:
            assert await system.ref(Diary, "a").ask(Read()) == ("a", "b")
            assert await system.ref(Diary, "b").ask(Read()) == ("x", "y", "z")

    async def test_who_writes_the_target_meanwhile_is_refused(
        self, store: FaultyBackend, target: FaultyBackend, small_pages: None
    ) -> None:
        await tell(store, ELEVEN, types=(Diary,), names="a")
        held = target.hold("commit", when=4)
        copying = soon(copy(store, target))
        await until(lambda: bool(target.injected))
        await tell(target.inner, "x", types=(Diary,), names="a")
        held.set()

        with pytest.raises(TargetDiffers, match="somebody writes"):
            await copying

    @pytest.mark.parametrize("where", ["events", "snapshots", "states", "archive", "durable"])
    async def test_what_the_target_lost_is_found(self, store: FaultyBackend, target: FaultyBackend, where: str) -> None:
        """The last look is at the bytes of the target, not at what was sent to it."""
        await tell(store, ELEVEN)

        class Losing(FaultyBackend):
            async def commit(self, groups: Any) -> Any:
                outcomes = await super().commit(groups)
                for group in groups:
                    for put in group.writes:
                        if isinstance(put, Put) and put.collection == where:
                            value = put.value[:-1] + b"?"
                            await self.inner.commit([_group(Put(put.collection, put.prefix, put.key, value))])
                        elif isinstance(put, PutState) and put.state == where:
                            await self.inner.commit([_group(PutState(put.state, put.prefix, b"?"))])
                return outcomes

        with pytest.raises(TargetDiffers):
            await copy(store, Losing(target.inner))

    async def test_a_log_that_the_target_lost_is_found(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN, types=(Diary,))

        class Losing(FaultyBackend):
            async def commit(self, groups: Any) -> Any:
                outcomes = await super().commit(groups)
                await self.inner.commit([_group(Purge("events", "Diary/b"))])
                return outcomes

        with pytest.raises(TargetDiffers, match="missing"):
            await copy(store, Losing(target.inner))

    async def test_a_target_does_not_remember_passwords(self) -> None:
        assert name_of("redis://me:one@host/?namespace=a") == name_of("redis://you:two@host/?namespace=a")
        assert "secret" not in name_of("redis://host/?sentinel_password=secret")

    async def test_a_store_is_not_copied_into_itself(self, store: FaultyBackend) -> None:
        with pytest.raises(ValueError, match="one store"):
            await copy(store, store)
        with pytest.raises(ValueError, match="one store"):
            await copy("memory://x", "memory://x")


class TestDamage:
    @pytest.fixture
    async def damaged(self, store: FaultyBackend) -> FaultyBackend:
        """Return a store of which one event in the midst of a log is damaged."""
        await tell(store, ELEVEN)
        record = (await entries(store, "events", "Pocketbook/a"))[5]
        await write(store, Put("events", "Pocketbook/a", 5, record[:-1] + b"?"))
        return store

    async def test_a_damaged_record_ends_the_work_and_is_named(
        self, damaged: FaultyBackend, target: FaultyBackend
    ) -> None:
        with pytest.raises(CorruptionError, match="checksum") as found:
            await copy(damaged, target)

        assert (found.value.persistence_id, found.value.sequence_number) == ("Pocketbook/a", 5)

    async def test_damaged_records_are_left_out_when_asked(self, damaged: FaultyBackend, target: FaultyBackend) -> None:
        result = await copy(damaged, target, skip_damaged=True)

        assert [(error.persistence_id, error.sequence_number) for error in result.damaged] == [("Pocketbook/a", 5)]
        assert list(await entries(target, "events", "Pocketbook/a")) == [1, 2, 3, 4, *range(6, 12)]
        assert await told(target) == await told(damaged)

    async def test_a_second_copy_leaves_them_out_again(self, damaged: FaultyBackend, target: FaultyBackend) -> None:
        await copy(damaged, target, skip_damaged=True)

        result = await copy(damaged, target, skip_damaged=True)

        assert (result.events, result.damaged_count) == (0, 1)

    @pytest.mark.parametrize("number", [2, 5])
    async def test_what_a_backup_has_stays_in_the_place_of_what_is_damaged(
        self, store: FaultyBackend, target: FaultyBackend, number: int
    ) -> None:
        """A backup is brought up to a store that was damaged since: also where its last record is."""
        await tell(store, ELEVEN[:5])
        await copy(store, target)
        await tell(store, ELEVEN[5:])
        sound = await entries(store, "events", "Pocketbook/a")
        await write(store, Put("events", "Pocketbook/a", number, sound[number][:-1] + b"?"))

        result = await copy(store, target, skip_damaged=True)

        assert (result.damaged_count, await entries(target, "events", "Pocketbook/a")) == (1, sound)

    async def test_a_target_that_differs_below_the_damage_is_refused(
        self, damaged: FaultyBackend, target: FaultyBackend
    ) -> None:
        await tell(target, [f"{text}!" for text in ELEVEN[:5]])

        with pytest.raises(TargetDiffers):
            await copy(damaged, target, skip_damaged=True)

    @pytest.mark.parametrize("collection", ["snapshots", "durable", "archive"])
    async def test_it_is_said_where_the_damage_is(
        self, store: FaultyBackend, target: FaultyBackend, collection: str
    ) -> None:
        await tell(store, ELEVEN)
        name, key, record = (await feed(store, collection))[0]
        await write(store, Put(collection, name, key, record[:-1] + b"?"))

        with pytest.raises(CorruptionError, match=collection):
            await copy(store, target)
        result = await copy(store, target, skip_damaged=True)

        assert [(error.persistence_id, error.sequence_number) for error in result.damaged] == [(name, key)]

    async def test_a_damaged_state_is_named(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN)
        await write(store, PutState("states", "Pocketbook/a", b"?"))

        with pytest.raises(CorruptionError, match="states"):
            await copy(store, target)
        result = await copy(store, target, skip_damaged=True)

        assert result.damaged_count == 1
        assert await told(target) == await told(store)

    async def test_a_cut_header_of_a_sealed_record_is_damage(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN, sealing=Sealing(Keyring({1: ONE})), types=(Pocketbook,))
        record = (await entries(store, "events", "Pocketbook/a"))[5]
        await write(store, Put("events", "Pocketbook/a", 5, record[:9]))

        with pytest.raises(CorruptionError, match="header"):
            await copy(store, target)

    async def test_a_missing_event_is_named(self, store: FaultyBackend, target: FaultyBackend) -> None:
        await tell(store, ELEVEN)
        await write(store, DeleteRange("events", "Pocketbook/a", 5, 6))

        with pytest.raises(CorruptionError, match="the event is missing; the next one is 6"):
            await copy(store, target)
        result = await copy(store, target, skip_damaged=True)

        assert [error.sequence_number for error in result.damaged] == [5]
