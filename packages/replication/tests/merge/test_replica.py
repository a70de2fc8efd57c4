"""Merged values on nodes that come, go, part, and write at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from perdure_replication import Limits, Node, Settings, StateObject, SyncUrgency
from perdure_replication.errors import MergedClosed, MutationRefused, MutationUnstored, UnknownState
from perdure_replication.merge import AddWinsSet, MergedReplica, MergedState, MergeMetrics, merged
from perdure_replication.testing import FailingPersistence, InMemoryPersistence, TestClock, TestRuntime

from .acts import Likes, Members, Stock, Tallies, Title, Titles, Total, defined
from .cluster import Cluster

DIGEST = Settings().digest_interval
RELAY = MergedState.relay_after
YEAR = 366 * 86_400.0


class TestTogether:
    async def test_what_one_writes_all_see(self) -> None:
        async with Cluster(Likes) as cluster:
            await cluster.open("abc")

            await cluster.do("a", lambda likes: likes.add(1))
            await cluster.do("b", lambda likes: likes.add(2))

            assert cluster.values() == [{1, 2}] * 3

    async def test_both_sides_of_a_partition_count(self) -> None:
        """They write, none the wiser; when they meet again, all have all, and it stays."""
        async with Cluster(Members) as cluster:
            await cluster.open("abcd")
            await cluster.do("a", lambda members: members.at("x").update([1, 2]))
            cluster.part("ab", "cd")

            await cluster.do("a", lambda members: members.at("x").remove(1))
            await cluster.do("c", lambda members: members.at("x").add(3))
            await cluster.do("d", lambda members: members.at("x").add(1))
            await cluster.do("b", lambda members: members.at("x").remove(2))
            await cluster.advance(60)
            apart = cluster.values()
            cluster.part()
            await cluster.advance(2 * DIGEST)

            assert apart == [{}, {}, {"x": {1, 2, 3}}, {"x": {1, 2, 3}}]
            assert cluster.values() == [{"x": {1, 3}}] * 4

    async def test_a_change_is_sent_by_who_made_it(self) -> None:
        """Those who join it tell nobody, until they have something to say or the time to relay has come."""
        async with Cluster(Likes) as cluster:
            await cluster.open("abcde")
            await cluster.advance(2 * RELAY)
            cluster.carried.clear()

            await cluster.do("a", lambda likes: likes.add(1))

            assert cluster.values() == [{1}] * 5
            assert sorted(cluster.carried) == [("a", peer) for peer in "bcde"]

    async def test_after_a_change_there_is_rest(self) -> None:
        """Each passes it on once, unless it is in all parts by then, and what is known is not passed on again."""
        async with Cluster(Likes) as cluster:
            await cluster.open("abc")
            await cluster.do("a", lambda likes: likes.add(1))
            await cluster.advance(2 * RELAY)
            sent = [node.metrics().deltas_sent for node in cluster.nodes.values()]

            await cluster.advance(5 * RELAY)

            assert [node.metrics().deltas_sent for node in cluster.nodes.values()] == sent
            assert sorted(sent) == [0, 1, 1]
            assert cluster["a"].metrics() == MergeMetrics(joined=0, relayed=0, refused=0, failed=0, writers=1, ranges=1)

    async def test_nobody_is_called_stale_for_what_it_has_joined(self) -> None:
        """All know it, so all are well."""
        async with Cluster(Likes) as cluster:
            await cluster.open("abc")
            await cluster.do("a", lambda likes: likes.add(1))

            await cluster.advance(2 * DIGEST)

            assert [node.health()["likes"].status for node in cluster.nodes.values()] == ["healthy"] * 3

    async def test_an_own_change_takes_along_what_was_joined(self) -> None:
        """So that every view is its owner's part; and only once."""
        async with Cluster(Likes) as cluster:
            await cluster.open("ab")
            await cluster.do("a", lambda likes: likes.update(range(1000, 2000)))
            sent = []
            for element in (1, 2):
                cluster.bytes = 0
                await cluster.do("b", lambda likes, element=element: likes.add(element))  # type: ignore[misc]
                sent.append(cluster.bytes)

            part, view = (cluster.nodes[name].replica(Likes).views["b"] for name in "ba")
            assert part == view
            assert sent[0] > 3000 > 200 > sent[1]

    async def test_a_node_that_only_reads_is_no_writer(self) -> None:
        """Nor is one whose update changes nothing."""
        async with Cluster(Likes) as cluster:
            await cluster.open("ab")
            generation = cluster.nodes["b"].replica(Likes).generation

            await cluster.do("b", lambda likes: likes.discard(1))

            assert cluster.nodes["b"].replica(Likes).generation == generation
            assert cluster["b"].metrics().writers == 0


class TestWhoIsGone:
    async def test_what_it_knew_stays(self) -> None:
        """Who comes later learns it from those who are there."""
        async with Cluster(Total) as cluster:
            await cluster.open("ab")
            await cluster.do("a", lambda total: total.add(7))
            await cluster.close("a")

            await cluster.open("c")
            await cluster.advance(1)

            assert cluster.values() == [7, 7]

    async def test_its_last_words_are_heard_though_it_leaves_at_once(self) -> None:
        """Before anybody could look at what it said; and are passed on soon to who has not heard them."""
        async with Cluster(Likes) as cluster:
            await cluster.open("abc")
            cluster.part("a", "c")
            cluster.then = lambda: cluster.hub._leave("a")

            await cluster.do("a", lambda likes: likes.add(1))
            heard = cluster.values()
            await cluster.advance(1)

            assert heard == [{1}, {1}, set()]
            assert cluster.values() == [{1}] * 3

    async def test_what_it_knew_is_passed_on_by_one_for_all(self) -> None:
        """Soon after its end, whatever the time to relay."""
        async with Cluster(Likes) as cluster:
            await cluster.open("abcde")
            await cluster.do("a", lambda likes: likes.add(1))

            await cluster.close("a")
            await cluster.advance(1)

            assert sum(replica.metrics().relayed for replica in cluster.merged.values()) == 1

    async def test_what_one_has_missed_others_pass_on(self) -> None:
        """The author is gone, and nobody was told that one node has not heard it."""
        async with Cluster(Likes) as cluster:
            await cluster.open("abc")
            cluster.part("a", "c")
            await cluster.do("a", lambda likes: likes.add(1))
            await cluster.close("a")
            cluster.part()
            missed = cluster["c"].value

            await cluster.advance(RELAY)

            assert (missed, cluster["c"].value) == (set(), {1})


class TestLives:
    async def test_without_a_store_count_each_time_and_once(self) -> None:
        """A node that forgets itself learns from others what it gave, and gives more."""
        async with Cluster(Total) as cluster:
            await cluster.open("ab")
            for _ in range(5):
                await cluster.do("a", lambda total: total.add(1))
                await cluster.die("a")
                await cluster.open("a")
            await cluster.advance(1)

            assert cluster.values() == [5, 5]
            assert cluster["b"].metrics().writers == 5

    async def test_without_a_store_may_write_before_they_hear(self) -> None:
        """What they wrote before is not taken for what they write now."""
        async with Cluster(Likes) as cluster:
            await cluster.open("ab")
            await cluster.do("a", lambda likes: likes.update([1, 2, 3]))
            await cluster.die("a")
            cluster.part("a", "b")
            await cluster.open("a")
            await cluster.do("a", lambda likes: likes.add(4))

            cluster.part()
            await cluster.advance(2 * DIGEST)

            assert cluster.values() == [{1, 2, 3, 4}] * 2

    async def test_with_a_store_go_on(self) -> None:
        """All were down at once."""
        stores = {name: InMemoryPersistence(name) for name in "ab"}
        async with Cluster(Stock) as cluster:
            for _ in range(3):
                await cluster.open("ab", stores)
                await cluster.do("a", lambda stock: stock.at("apple").add(2))
                await cluster.do("b", lambda stock: stock.at("apple").add(-1))
                for name in "ab":
                    await cluster.die(name)

            await cluster.open("ab", stores)

            assert cluster.values() == [{"apple": 3}] * 2

    async def test_with_a_store_that_was_set_back_lose_nothing(self) -> None:
        """What it gave after the copy was made is known to others, and it never gives out a dot again."""
        stores = {name: InMemoryPersistence(name) for name in "ab"}
        async with Cluster(Likes) as cluster:
            await cluster.open("ab", stores)
            await cluster.do("a", lambda likes: likes.add(1))
            copy = dict(stores["a"].records)
            await cluster.do("a", lambda likes: likes.add(2))
            await cluster.die("a")
            stores["a"].records.clear()
            stores["a"].records.update(copy)
            cluster.part("a", "b")
            await cluster.open("a", stores)
            await cluster.do("a", lambda likes: likes.add(3))

            cluster.part()
            await cluster.advance(2 * DIGEST)

            assert cluster.values() == [{1, 2, 3}] * 2

    async def test_with_a_store_stamp_what_they_write_after_all_that_is_stored(self) -> None:
        """Also when the wall clock went back in between, and also what is written for the first time."""
        stores = {"a": InMemoryPersistence("a")}
        async with Cluster(Titles) as cluster:
            await cluster.open("a", stores)
            await cluster.do("a", lambda titles: titles.at("x").at("first").set("before"))
            await cluster.die("a")
            cluster.clock._began -= 3600
            await cluster.open("a", stores)

            await cluster.do("a", lambda titles: titles.at("x").at("second").set("after"))

            titles = cluster["a"].value["x"]
            assert titles["second"].stamp > titles["first"].stamp


class TestDrift:
    async def test_a_node_whose_clock_is_ahead_is_heard_when_time_has_come(self, caplog: Any) -> None:
        """Until then it harms nobody else, and is counted."""
        async with Cluster(Title) as cluster:
            await cluster.open("ab")
            ahead = await lone(cluster, "c", seconds=90)
            await ahead.update(lambda title: title.set("from the future"))
            await cluster.do("a", lambda title: title.set("now"))
            refused = cluster.values()
            metrics = cluster["b"].metrics()

            await cluster.advance(31)
            await ahead.__aexit__(None, None, None)

            assert [title.value for title in refused] == ["now", "now"]
            assert (metrics.refused, metrics.joined) == (1, 1)
            assert [title.value for title in cluster.values()] == ["from the future"] * 2
            waits = [record for record in caplog.records if "what c knows of title waits" in record.message]
            assert len(waits) == 2

    async def test_a_node_whose_clock_was_years_behind_hears_the_others_soon_after_it_is_right(self) -> None:
        """As one that began before its clock was set: it does not wait until the years have passed."""
        async with Cluster(Title) as cluster:
            await cluster.open("ab")
            behind = await lone(cluster, "c", seconds=-50 * YEAR)
            await cluster.do("a", lambda title: title.set("now"))
            before = behind.value.value

            behind._node.clock._ahead = 0.0  # type: ignore[attr-defined]
            await cluster.advance(31)

            assert (before, behind.value.value) == (None, "now")
            await behind.__aexit__(None, None, None)

    async def test_a_node_whose_clock_jumps_ahead_by_years_harms_nobody_else(self, caplog: Any) -> None:
        """What it wrote then is not taken over; what others write it has, and they have of each other."""
        async with Cluster(Titles) as cluster:
            await cluster.open("ab")
            ahead = await lone(cluster, "c", seconds=0)
            ahead._node.clock._ahead = 10 * YEAR  # type: ignore[attr-defined]
            await ahead.update(lambda titles: titles.at("x").at("y").set("from the future"))
            ahead._node.clock._ahead = 0.0  # type: ignore[attr-defined]
            for name in "ab":
                await cluster.do(name, lambda titles, name=name: titles.at(name).at("y").set("now"))  # type: ignore[misc]

            await cluster.advance(600)

            assert [set(titles) for titles in cluster.values()] == [{"a", "b"}] * 2
            assert set(ahead.value) == {"a", "b", "x"}
            waits = [record for record in caplog.records if "what c knows of titles waits" in record.message]
            assert len(waits) <= 2 * 6  # of 21 refusals the first, second, fourth, eighth …
            await ahead.__aexit__(None, None, None)

    async def test_writes_of_one_moment_have_one_winner(self) -> None:
        """The same everywhere, though they know nothing of each other and their stamps are equal."""
        async with Cluster(Title) as cluster:
            await cluster.open("abc")
            cluster.part("a", "b", "c")
            for name in "abc":
                await cluster.do(name, lambda title, name=name: title.set(name))  # type: ignore[misc]
            stamps = {title.stamp for title in cluster.values()}

            cluster.part()
            await cluster.advance(2 * DIGEST)

            assert len(stamps) == 1
            assert len({title.value for title in cluster.values()}) == 1


class TestUpdate:
    async def test_that_would_make_it_too_large_to_be_sent_whole_is_refused(self) -> None:
        """Else nobody who comes later would ever have any of it. To remove from it is not refused, and makes room."""
        async with Cluster(Words, settings=Settings(limits=Limits(view_bytes=20_000))) as cluster:
            await cluster.open("a")
            with pytest.raises(MutationRefused, match=r"over 20,000: remove something, or raise Limits\.view_bytes"):
                for word in range(100):
                    await cluster.do("a", lambda words, word=word: words.add(f"{word:0500}"))  # type: ignore[misc]
            full = set(cluster["a"].value)

            await cluster.open("b")
            await cluster.do("a", lambda words: words.remove(f"{0:0500}"))
            await cluster.do("a", lambda words: words.add("room"))

            assert len(full) == 39
            assert cluster.values() == [full - {f"{0:0500}"} | {"room"}] * 2

    async def test_that_is_cancelled_is_made_as_a_whole_or_not_at_all(self) -> None:
        """The next one knows of it, and all have what it has."""
        slow = SlowPersistence()
        async with Cluster(Tallies) as cluster:
            await cluster.open("b")
            node = await cluster.start("a", persistence=slow)
            cluster.merged["a"] = tally = await merged(node, Tallies).__aenter__()
            slow.held.clear()
            updates = [asyncio.create_task(tally.update(lambda value, n=n: both(value, n))) for n in range(3)]  # type: ignore[misc]
            await cluster.settle()

            for update in updates[:2]:
                update.cancel()
            await cluster.settle()
            slow.held.set()
            await cluster.settle()

            await updates[2]
            values = [(int(value.total), len(value.tags)) for value in cluster.values()]
            assert values[0] == values[1]
            assert values[0][0] == values[0][1] >= 1

    async def test_that_fails_changes_nothing(self) -> None:
        """Its own error comes out."""
        async with Cluster(Likes) as cluster:
            await cluster.open("ab")

            with pytest.raises(KeyError):
                await cluster.do("a", lambda likes: [likes.add(1), likes.remove(2)])

            assert cluster.values() == [set(), set()]

    async def test_that_is_not_stored_has_not_been(self) -> None:
        """The next one does not see it, and leaves no gap."""
        failing = FailingPersistence()
        failing.heal()
        async with Cluster(Likes) as cluster:
            node = await cluster.start("a", persistence=failing)
            cluster.merged["a"] = likes = await merged(node, Likes).__aenter__()
            await likes.update(lambda value: value.add(1))
            failing.fail(OSError("full"))
            with pytest.raises(MutationUnstored):
                await likes.update(lambda value: value.add(2))
            failing.heal()
            given: list[set[int]] = []

            await likes.update(lambda value: [given.append(set(value)), value.add(3)])

            assert (given, likes.value) == ([{1}], {1, 3})
            assert node.replica(Likes).state.size() == 2

    async def test_a_hundred_at_once_are_a_hundred(self) -> None:
        """On two nodes, with stores."""
        stores = {name: InMemoryPersistence(name) for name in "ab"}
        async with Cluster(Total) as cluster:
            await cluster.open("ab", stores)

            await asyncio.gather(*(cluster[name].update(lambda total: total.add()) for name in "ab" * 50))
            await cluster.settle()

            assert cluster.values() == [100, 100]

    async def test_may_wait_for_others(self) -> None:
        """Then they go out together, and only what they amount to."""
        async with Cluster(Total) as cluster:
            await cluster.open("ab")
            for _ in range(10):
                await cluster["a"].update(lambda total: total.add(), urgency=SyncUrgency.delayed(1))

            await cluster.advance(1)

            assert cluster.values() == [10, 10]
            assert cluster.nodes["a"].metrics().deltas_sent == 1

    async def test_a_value_stays_as_it_was_read(self) -> None:
        async with Cluster(Likes) as cluster:
            await cluster.open("a")
            before = cluster["a"].value

            await cluster.do("a", lambda likes: likes.add(1))

            assert (before, cluster["a"].value) == (set(), {1})

    async def test_what_cannot_be_stored_is_passed_on_later(self) -> None:
        """It is seen, counted, and tried again."""
        failing = FailingPersistence()
        failing.heal()
        async with Cluster(Likes) as cluster:
            await cluster.open("a")
            node = await cluster.start("b", persistence=failing)
            cluster.merged["b"] = await merged(node, Likes).__aenter__()
            failing.fail(OSError("full"))
            await cluster.do("a", lambda likes: likes.add(1))
            await cluster.close("a")
            await cluster.open("c")
            await cluster.advance(1)
            while_full = cluster.values()
            failed = cluster["b"].metrics().failed

            failing.heal()
            await cluster.advance(2)

            assert (while_full, failed) == ([{1}, set()], 1)
            assert cluster.values() == [{1}, {1}]


class TestChanges:
    async def test_give_the_value_and_each_later_one(self) -> None:
        """Wherever it was changed."""
        async with Cluster(Total) as cluster:
            await cluster.open("ab")
            changes = cluster["a"].changes()

            seen = [int(await anext(changes))]
            for name in "ab":
                await cluster.do(name, lambda total: total.add(5))
                seen.append(int(await anext(changes)))

            assert seen == [0, 5, 10]

    async def test_end_with_the_node(self) -> None:
        async with Cluster(Total) as cluster:
            await cluster.open("a")
            changes = cluster["a"].changes()
            await anext(changes)

            await cluster.close("a")

            assert [value async for value in changes] == []


async def test_a_node_without_the_state_is_told() -> None:
    async with TestRuntime(Total) as runtime:
        node = await runtime.start("a")

        with pytest.raises(UnknownState, match="likes"):
            merged(node, Likes)


async def test_opening_that_is_cancelled_leaves_nothing_behind() -> None:
    """No task, and it can be opened again."""
    async with TestRuntime(Total) as runtime:
        node = await runtime.start("a")
        total, before = merged(node, Total), len(asyncio.all_tasks())
        opening = asyncio.create_task(total.__aenter__())
        await asyncio.sleep(0)

        opening.cancel()
        await asyncio.wait([opening])

        assert opening.cancelled()
        assert len(asyncio.all_tasks()) == before
        async with total:
            assert total.value == 0


async def test_a_value_that_is_opened_knows_what_its_node_holds() -> None:
    """Before anything is waited for."""
    async with Cluster(Total) as cluster:
        await cluster.open("ab")
        await cluster.do("a", lambda total: total.add(7))

        async with merged(cluster.nodes["b"], Total) as again:
            assert again.value == 7


async def test_what_is_known_when_the_last_one_closes_is_in_its_part() -> None:
    """And in its store, if it has one."""
    async with Cluster(Total) as cluster:
        await cluster.open("ab")
        await cluster.do("a", lambda total: total.add(7))
        await cluster.close("a")

        await cluster.merged.pop("b").__aexit__(None, None, None)

        part = cluster.nodes["b"].replica(Total).state
        assert defined(Total).read(part) == 7


async def test_a_closed_value_takes_no_update() -> None:
    async with Cluster(Total) as cluster:
        await cluster.open("a")
        total = cluster["a"]
        await cluster.close("a")

        with pytest.raises(MergedClosed, match="the merged value of total is not open: use it inside `async with"):
            await total.update(lambda value: value.add())


class Words(MergedState[AddWinsSet[str]]):
    """A set of texts."""


def both(tally: Any, tag: int) -> None:
    tally.total.add(1)
    tally.tags.add(tag)


class SlowPersistence(InMemoryPersistence):
    """Saves when it is let."""

    def __init__(self) -> None:
        super().__init__("a")
        self.held = asyncio.Event()
        self.held.set()

    async def save(self, record: StateObject, changes: Sequence[Any]) -> None:
        await self.held.wait()
        await super().save(record, changes)


class Ahead(TestClock):
    """A clock whose wall is ahead of another's."""

    def __init__(self, clock: TestClock, seconds: float) -> None:
        super().__init__()
        self._clock, self._ahead = clock, seconds
        self.monotonic, self.call_at = clock.monotonic, clock.call_at  # type: ignore[method-assign]

    def time(self) -> float:
        return self._clock.time() + self._ahead


async def lone(cluster: Cluster, name: str, seconds: float) -> MergedReplica[Any]:
    """Return the value on a node of the cluster whose clock is ahead."""
    logging.getLogger("perdure.replication").setLevel(logging.WARNING)
    hub, clock = cluster.hub, Ahead(cluster.clock, seconds)
    node = Node(name, [cluster.state], transport=hub.transport(), membership=hub.membership(), clock=clock, seed=1)
    cluster.nodes[name] = await node.__aenter__()
    return await merged(node, cluster.state).__aenter__()
