"""Nodes: an engine on ports, in an event loop."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from perdure.errors import OutcomeUnknown
from perdure.memory import MemoryBackend
from perdure_replication import (
    BackendPersistence,
    Change,
    DistributedState,
    Generation,
    Limits,
    MemoryHub,
    Node,
    Replica,
    Settings,
    SyncStrategy,
    SyncUrgency,
)
from perdure_replication.errors import (
    Fenced,
    InvalidNode,
    MutationRefused,
    MutationUnstored,
    NodeClosed,
    NodeTaken,
    StalePeers,
    TooManyMutations,
    UnknownState,
)
from perdure_replication.testing import (
    FailingPersistence,
    InMemoryPersistence,
    Shown,
    TestDeltaState,
    TestRuntime,
    TestState,
    Value,
)


def counting(value: Value) -> Value:
    return Value(value.counter + 1)


def dawdling(value: Value) -> Value:
    end = monotonic() + 0.006
    while monotonic() < end:
        pass
    return value


async def turn_after_turn(turns: list[int]) -> None:
    """Note each turn of the event loop."""
    while True:
        turns.append(len(turns))
        await asyncio.sleep(0)


def received(node: Node) -> int:
    """Return how many messages with values a node took over."""
    return node.metrics().snapshots_received + node.metrics().deltas_received


def boom(_: Value) -> Value:
    raise RuntimeError("boom")


def deafen(runtime: TestRuntime) -> None:
    """Lose every frame from now on."""
    for name in runtime.nodes:
        runtime.hub._receivers[name] = lambda *_: None


class Lazy(TestState):
    name = "lazy"
    strategy = SyncStrategy.feed_lazy_pull()


class Pulled(TestState):
    name = "pulled"
    strategy = SyncStrategy.pull_only()


class TestMutate:
    async def test_reaches_all_nodes(self) -> None:
        """One call, and every view has it (INT-01, E2E-01, E2E-03)."""
        async with TestRuntime(TestState) as runtime:
            a, b, c = [await runtime.start(name) for name in "abc"]

            generation = await a.replica(TestState).mutate(counting)
            await runtime.settle()

            assert generation == Generation(a.incarnation, 1)
            assert [node.replica(TestState).views["a"] for node in (a, b, c)] == [Value(1)] * 3

    async def test_of_a_delta_state_sends_what_is_public(self) -> None:
        """The private sum stays where it is (E2E-04, EXAMPLE-02, INT-02)."""
        async with TestRuntime(TestDeltaState) as runtime:
            a, b = [await runtime.start(name) for name in "ab"]

            await a.replica(TestDeltaState).mutate(TestDeltaState.adjust(2, "x", private=9))
            await runtime.settle()

            assert b.replica(TestDeltaState).views["a"] == Shown(2, "x")
            assert a.replica(TestDeltaState).state.private_sum == 9
            assert b.metrics().deltas_received == 1

    async def test_raises_what_the_function_raised(self) -> None:
        """Its own error comes out, and nothing has changed (MUT-03)."""
        async with TestRuntime(TestState) as runtime:
            replica = (await runtime.start("a")).replica(TestState)

            with pytest.raises(RuntimeError, match="boom"):
                await replica.mutate(boom)

            assert (replica.state, replica.generation.age, replica.views["a"]) == (Value(), 0, Value())

    @pytest.mark.parametrize("wrong", [None, object(), Value("no number")])  # type: ignore[arg-type]
    async def test_refuses_what_cannot_be_replicated(self, wrong: Any) -> None:
        """It names the state, and nothing has changed."""
        async with TestRuntime(TestState) as runtime:
            replica = (await runtime.start("a")).replica(TestState)

            with pytest.raises(MutationRefused, match="test_state: what the mutation returned cannot be replicated"):
                await replica.mutate(lambda _: wrong)

            assert (replica.state, replica.generation.age) == (Value(), 0)

    async def test_refuses_what_is_too_large(self) -> None:
        """The error says what to do."""
        settings = Settings(limits=Limits(view_bytes=100))
        async with TestRuntime(TestState, settings=settings) as runtime:
            replica = (await runtime.start("a")).replica(TestState)

            with pytest.raises(MutationRefused, match=r"over 100: keep the bulk elsewhere, or raise Limits.view_bytes"):
                await replica.mutate(lambda _: Value(0, "x" * 100))

    async def test_a_hundred_at_once_make_a_hundred_ages(self) -> None:
        """Without gap or repeat, stored together where they wait (SHARD-04, STRESS-01)."""
        persistence = InMemoryPersistence()
        async with TestRuntime(TestState) as runtime:
            replica = (await runtime.start("a", persistence=persistence)).replica(TestState)

            made = await asyncio.gather(*(replica.mutate(counting) for _ in range(100)))

            assert [generation.age for generation in made] == list(range(1, 101))
            assert (replica.state, len(persistence.saved)) == (Value(100), 2)

    async def test_again_and_again_starves_nobody(self) -> None:
        """Nothing is awaited without a store, and yet other tasks run, and peers see what is made (weak point 18)."""
        async with TestRuntime(TestState) as runtime:
            a, b = [await runtime.start(name) for name in "ab"]
            turns: list[int] = []
            others = asyncio.create_task(turn_after_turn(turns))

            for _ in range(1000):
                await a.replica(TestState).mutate(counting)
            turned, seen = len(turns), b.replica(TestState).views["a"].counter
            others.cancel()

            assert (turned >= 1000 // 64, seen >= 1000 - 3 * 64) == (True, True)

    async def test_that_takes_long_lets_others_run_sooner(self) -> None:
        """Turns of the loop are bounded in time too."""
        async with TestRuntime(TestState) as runtime:
            a, turns = await runtime.start("a"), list[int]()
            others = asyncio.create_task(turn_after_turn(turns))

            for _ in range(4):
                await a.replica(TestState).mutate(dawdling)
            others.cancel()

            assert len(turns) >= 2

    async def test_that_is_refused_again_and_again_starves_nobody(self) -> None:
        """The store, for which mutations wait, goes on while they are tried again."""
        settings = Settings(limits=Limits(waiting=1))
        async with TestRuntime(TestState, settings=settings) as runtime:
            replica = (await runtime.start("a", persistence=InMemoryPersistence())).replica(TestState)
            made = [asyncio.create_task(replica.mutate(counting)) for _ in range(2)]
            await asyncio.sleep(0)

            for _ in range(1000):
                with suppress(TooManyMutations):
                    await replica.mutate(counting)

            assert [each.done() for each in made] == [True, True]

    @pytest.mark.parametrize("state", [TestState, TestDeltaState])
    async def test_many_at_once_are_one_message_to_each_peer(
        self, state: type[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last value, or one delta over the range."""
        monkeypatch.setattr("perdure_replication._turns.SECONDS", 60.0)
        mutation: Any = TestDeltaState.adjust(1) if state is TestDeltaState else counting
        async with TestRuntime(state) as runtime:
            a, b, c = [await runtime.start(name) for name in "abc"]
            before = [received(node) for node in (b, c)]

            for _ in range(50):
                await a.replica(state).mutate(mutation)
            await runtime.settle()

            assert [node.replica(state).views["a"].counter for node in (b, c)] == [50, 50]
            assert [received(node) - earlier for node, earlier in zip((b, c), before, strict=True)] == [1, 1]

    async def test_whose_caller_is_cancelled_is_made_nevertheless(self) -> None:
        """It may be stored already."""
        async with TestRuntime(TestState) as runtime:
            replica = (await runtime.start("a", persistence=InMemoryPersistence())).replica(TestState)

            task = asyncio.ensure_future(replica.mutate(counting))
            await asyncio.sleep(0)
            task.cancel()
            await runtime.settle()

            assert (task.cancelled(), replica.state) == (True, Value(1))

    async def test_of_a_closed_node_is_refused(self) -> None:
        """So is everything else that would need it."""
        async with TestRuntime(TestState) as runtime:
            replica = (await runtime.start("a")).replica(TestState)
            await runtime.stop("a")

            with pytest.raises(NodeClosed, match="node 'a' is not open"):
                await replica.mutate(counting)


class TestPersistence:
    async def test_comes_before_anything_is_seen(self) -> None:
        """Neither the own view nor a peer's has what is not stored (PERSIST-10)."""
        gate, backend = asyncio.Event(), MemoryBackend()

        class Slow(BackendPersistence):
            async def save(self, record: Any, changes: Any) -> None:
                await gate.wait()
                await super().save(record, changes)

        async with TestRuntime(TestState) as runtime:
            a = await runtime.start("a", persistence=Slow(backend, "a"))
            b = await runtime.start("b")
            mutation = asyncio.ensure_future(a.replica(TestState).mutate(counting))
            await runtime.advance(20)
            before = [node.replica(TestState).views["a"] for node in (a, b)]

            gate.set()
            await mutation
            await runtime.settle()

            assert before == [Value(0), Value(0)]
            assert [node.replica(TestState).views["a"] for node in (a, b)] == [Value(1), Value(1)]

    async def test_that_fails_changes_nothing(self) -> None:
        """Not state, age, view, nor what a peer sees (PERSIST-05, PERSIST-07, PERSIST-08, PERSIST-09, ERR-03)."""
        persistence = FailingPersistence()
        persistence.heal()
        async with TestRuntime(TestState) as runtime:
            a, b = await runtime.start("a", persistence=persistence), await runtime.start("b")
            persistence.fail(OSError("disk full"))
            sent = a.metrics().snapshots_sent

            with pytest.raises(MutationUnstored, match="test_state: disk full") as raised:
                await a.replica(TestState).mutate(counting)
            await runtime.settle()

            assert isinstance(raised.value.__cause__, OSError)
            assert (a.replica(TestState).state, a.replica(TestState).generation.age) == (Value(), 0)
            assert [node.replica(TestState).views["a"] for node in (a, b)] == [Value(), Value()]
            assert a.metrics().snapshots_sent == sent

            persistence.heal()
            assert (await a.replica(TestState).mutate(counting)).age == 1

    async def test_of_unknown_outcome_is_done_again(self) -> None:
        """The caller waits, and learns the truth."""
        persistence = FailingPersistence()
        persistence.heal()
        async with TestRuntime(TestState) as runtime:
            replica = (await runtime.start("a", persistence=persistence)).replica(TestState)
            persistence.fail(OutcomeUnknown("commit", "the link broke"))
            mutation = asyncio.ensure_future(replica.mutate(counting))
            await runtime.advance(2)
            waited = not mutation.done() and replica.state == Value()

            persistence.heal()
            await runtime.advance(1)

            assert (waited, (await mutation).age, replica.state) == (True, 1, Value(1))

    async def test_brings_a_state_back_with_its_age_in_a_greater_life(self) -> None:
        """Peers follow at once (PERSIST-03, PERSIST-13, PERSIST-17, LIFE-08, INC-05 but for the incarnation)."""
        backend = MemoryBackend()
        async with TestRuntime(TestState) as runtime:
            b = await runtime.start("b")
            first = await runtime.start("a", persistence=BackendPersistence(backend, "a"))
            await first.replica(TestState).mutate(counting)
            before = first.replica(TestState).held()["a"]
            await runtime.crash("a")
            await runtime.advance(60)

            second = await runtime.start("a", persistence=BackendPersistence(backend, "a"))

            after = second.replica(TestState).held()["a"]
            assert (after.view, after.generation.age, after.created, after.modified) == (
                before.view,
                before.generation.age,
                before.created,
                before.modified,
            )
            assert after.generation > before.generation
            assert b.replica(TestState).held()["a"].generation == after.generation

    async def test_fences_the_earlier_of_two_processes(self) -> None:
        """The store itself refuses its save; it publishes nothing more (P26)."""
        backend = MemoryBackend()
        async with TestRuntime(TestState) as runtime, TestRuntime(TestState) as elsewhere:
            a = await runtime.start("a", persistence=BackendPersistence(backend, "a"))
            b = await runtime.start("b")
            again = await elsewhere.start("a", persistence=BackendPersistence(backend, "a"))
            await again.replica(TestState).mutate(lambda _: Value(222))

            with pytest.raises(Fenced, match="a later life of it has begun on the same store"):
                await a.replica(TestState).mutate(lambda _: Value(111))
            await runtime.advance(10)

            assert b.replica(TestState).views["a"] == Value(0)
            assert (await BackendPersistence(backend, "a").load("test_state")) is not None
            assert again.replica(TestState).state == Value(222)

    async def test_that_cannot_be_loaded_begins_empty_and_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        """A node without its state is better than no node (PERSIST-11, PERSIST-12, FAULT-07)."""
        async with TestRuntime(TestState) as runtime:
            with caplog.at_level(logging.WARNING, "perdure.replication"):
                a = await runtime.start("a", persistence=FailingPersistence(OSError("unreadable")))

            assert a.replica(TestState).generation.age == 0
            assert "the state test_state begins: fell_back OSError: unreadable" in caplog.text

    async def test_is_given_the_changes(self) -> None:
        """Those of the mutations, not their deltas; a simple state has none (DMUT-05, DMUT-06, PERSIST-01)."""
        persistence = InMemoryPersistence()
        async with TestRuntime(TestState, TestDeltaState) as runtime:
            a = await runtime.start("a", persistence=persistence)

            await a.replica(TestDeltaState).mutate(TestDeltaState.adjust(1, private=5))
            await a.replica(TestState).mutate(counting)

        (delta, changes), (simple, nothing) = persistence.saved
        assert (delta.state, delta.generation.age) == ("test_delta_state", 1)
        assert [change.private for change in changes] == [5]
        assert (simple.state, simple.storage_version, nothing) == ("test_state", 1, ())


class TestQuery:
    async def test_pulls_what_is_stale_and_waits_for_it(self) -> None:
        """The answer has what the owner had when it was asked (SYNC-06, SYNC-12, INT-15, QUERY-02, QUERY-04)."""
        async with TestRuntime(Pulled) as runtime:
            a, b = [await runtime.start(name) for name in "ab"]
            await a.replica(Pulled).mutate(counting)
            await runtime.advance(3)
            before = b.replica(Pulled).views["a"]

            query = asyncio.ensure_future(b.replica(Pulled).query(1.0))
            await runtime.settle()

            answer = await query
            assert (before, answer.views, answer.is_fresh) == (Value(0), {"a": Value(1), "b": Value(0)}, True)

    async def test_of_fresh_views_asks_nobody(self) -> None:
        """It is answered in the same turn of the loop (SYNC-07, SYNC-11, QUERY-03, INT-14, E2E-10)."""
        async with TestRuntime(TestState) as runtime:
            [await runtime.start(name) for name in "ab"]
            b = runtime.nodes["b"]

            answer = await b.replica(TestState).query(5.0)

            assert (answer.is_fresh, b.metrics().pulls_sent) == (True, 0)

    async def test_names_who_cannot_be_reached(self) -> None:
        """Strict ones raise (SYNC-13, QUERY-05, LIFE-11, LIFE-13)."""
        async with TestRuntime(TestState) as runtime:
            [await runtime.start(name) for name in "ab"]
            replica = runtime.nodes["b"].replica(TestState)
            runtime.hub.lose("a")
            deafen(runtime)
            await runtime.advance(10)

            answer = await replica.query(5.0)
            with pytest.raises(StalePeers, match="test_state: not all views are fresh: stale: a") as raised:
                await replica.query(5.0, strict=True)

            assert (answer.freshness.stale, answer.freshness.unreachable) == (("a",), ("a",))
            assert (answer.views["a"], raised.value.stale) == (Value(), ("a",))
            assert (await replica.query(60.0)).is_fresh

    async def test_ends_with_its_timeout(self) -> None:
        """A peer that does not answer costs no more than that (ERR-04)."""
        async with TestRuntime(TestState) as runtime:
            [await runtime.start(name) for name in "ab"]
            replica = runtime.nodes["b"].replica(TestState)
            deafen(runtime)
            await runtime.advance(10)

            query = asyncio.ensure_future(replica.query(1.0, timeout=2.0))
            await runtime.advance(1.9)
            waited = not query.done()
            await runtime.advance(0.2)

            assert (waited, (await query).freshness.stale) == (True, ("a",))

    async def test_that_is_cancelled_leaves_nothing_behind(self) -> None:
        """The engine waits for it no longer."""
        async with TestRuntime(TestState) as runtime:
            [await runtime.start(name) for name in "ab"]
            b = runtime.nodes["b"]
            deafen(runtime)
            await runtime.advance(10)
            query = asyncio.ensure_future(b.replica(TestState).query(1.0))
            await runtime.settle()

            query.cancel()
            await runtime.settle()

            assert (b._queries, b.engine._queries) == ({}, {})

    async def test_of_a_closing_node_is_refused(self) -> None:
        """Whoever waits is woken."""
        async with TestRuntime(TestState) as runtime:
            [await runtime.start(name) for name in "ab"]
            deafen(runtime)
            await runtime.advance(10)
            replica = runtime.nodes["b"].replica(TestState)
            query = asyncio.ensure_future(replica.query(1.0))
            await runtime.settle()

            await runtime.stop("b")

            assert (await query).freshness.stale == ("a",)
            with pytest.raises(NodeClosed):
                await replica.query(1.0)


async def taken(changes: Any, count: int) -> list[Change[Any]]:
    return [await asyncio.wait_for(anext(changes), 5) for _ in range(count)]


class TestChanges:
    async def test_of_all_nodes_come_as_they_happen(self) -> None:
        """Own and others' (weak point 29)."""
        async with TestRuntime(TestState) as runtime:
            a, b = [await runtime.start(name) for name in "ab"]
            changes = b.replica(TestState).changes()

            await a.replica(TestState).mutate(counting)
            await b.replica(TestState).mutate(counting)
            await runtime.settle()

            assert {(each.node, each.view) for each in await taken(changes, 2)} == {("a", Value(1)), ("b", Value(1))}

    async def test_begin_after_what_is_known(self) -> None:
        """What was missed meanwhile comes first, also what is gone."""
        async with TestRuntime(TestState) as runtime:
            a, b, _ = [await runtime.start(name) for name in "abc"]
            changes = b.replica(TestState).changes(since={})
            assert {each.node for each in await taken(changes, 3)} == {"a", "b", "c"}
            known = dict(changes.since)
            await changes.aclose()

            await a.replica(TestState).mutate(counting)
            await runtime.stop("c")
            later = await taken(b.replica(TestState).changes(known), 2)

            assert [(each.node, each.kind, each.view) for each in later] == [
                ("a", "updated", Value(1)),
                ("c", "removed", None),
            ]

    async def test_of_a_slow_follower_are_the_latest(self) -> None:
        """What waits is bounded by the number of nodes."""
        async with TestRuntime(TestState) as runtime:
            replica = (await runtime.start("a")).replica(TestState)
            changes = replica.changes()

            for _ in range(1000):
                await replica.mutate(counting)

            assert [each.view for each in await taken(changes, 1)] == [Value(1000)]
            assert not changes._waiting

    async def test_fold_what_was_missed_into_what_comes(self) -> None:
        """Also of a node that is gone: then its removal carries it."""
        async with TestRuntime(TestState) as runtime:
            a, b = [await runtime.start(name) for name in "ab"]
            changes = b.replica(TestState).changes(fold=lambda one, other: Value(one.counter + 10 * other.counter))
            for _ in range(3):
                await a.replica(TestState).mutate(counting)
                await runtime.settle()

            await runtime.stop("a")

            [change] = await taken(changes, 1)
            assert (change.kind, change.view) == ("removed", Value(51))

    async def test_end_when_the_node_closes(self) -> None:
        """After what waits was taken; and at once when followed no longer."""
        async with TestRuntime(TestState) as runtime:
            replica = (await runtime.start("a")).replica(TestState)
            changes, left = replica.changes(since={}), replica.changes(since={})
            await left.aclose()

            await runtime.stop("a")

            assert [each.node async for each in changes] == ["a"]
            assert [each.node async for each in left] == []


class TestLife:
    async def test_of_a_node_that_leaves_ends_everywhere(self) -> None:
        """Its view is gone as soon as it has said goodbye (LIFE-04, E2E-06, INT-09)."""
        async with TestRuntime(TestState) as runtime:
            _, b = [await runtime.start(name) for name in "ab"]

            await runtime.stop("a")

            assert (dict(b.replica(TestState).views), b.members) == ({"b": Value()}, ())

    async def test_of_a_late_comer_begins_with_all_views(self) -> None:
        """And all others get its own (LIFE-01, LIFE-02, LIFE-03, INT-08, E2E-05, E2E-12, PERSIST-18)."""
        async with TestRuntime(TestState, TestDeltaState) as runtime:
            a, b = [await runtime.start(name) for name in "ab"]
            await a.replica(TestState).mutate(counting)
            await b.replica(TestDeltaState).mutate(TestDeltaState.adjust(4))

            c = await runtime.start("c")

            assert c.replica(TestState).views["a"] == Value(1)
            assert c.replica(TestDeltaState).views["b"] == Shown(4)
            assert all("c" in node.replica(state).views for node in (a, b) for state in (TestState, TestDeltaState))

    async def test_of_many_peers_leaves_no_links_behind(self) -> None:
        """Each name that came and went is forgotten (weak point 19)."""
        async with TestRuntime(TestState) as runtime:
            a = await runtime.start("a")
            for number in range(5):
                await runtime.start(f"b{number}")
                await runtime.stop(f"b{number}")
            await a.replica(TestState).mutate(counting)
            await runtime.settle()

            assert len(a._links) == 0

    async def test_cannot_begin_twice_under_one_name(self) -> None:
        """What was opened before the error is closed again."""
        async with TestRuntime(TestState) as runtime:
            await runtime.start("a")

            with pytest.raises(NodeTaken):
                await runtime.start("a")

    async def test_is_one_for_each_object(self) -> None:
        """A new life takes a new node."""
        async with TestRuntime(TestState) as runtime:
            node = await runtime.start("a")
            await runtime.stop("a")

            with pytest.raises(InvalidNode, match="opened before"):
                await node.__aenter__()


class TestSettings:
    def node(self, *states: Any, name: str = "a", **options: Any) -> Node:
        hub = MemoryHub()
        return Node(name, states, transport=hub.transport(), membership=hub.membership(), **options)

    def test_of_one_name_twice_are_refused(self) -> None:
        """Two states, or one state twice (REG-04a)."""
        with pytest.raises(InvalidNode, match="two of its states have one name"):
            self.node(TestState, TestState)

    @pytest.mark.parametrize("name", ["", "x" * 257])
    def test_of_a_bad_name_are_refused(self, name: str) -> None:
        """It would be refused by every peer."""
        with pytest.raises(InvalidNode, match="1 to 256 characters"):
            self.node(TestState, name=name)

    def test_of_views_that_no_frame_holds_are_refused(self) -> None:
        """The error says which of the two to change."""
        with pytest.raises(InvalidNode, match=r"lower Limits.view_bytes"):
            self.node(TestState, settings=Settings(limits=Limits(view_bytes=16 * 1024 * 1024)))

    async def test_before_it_is_open_a_node_has_no_replicas(self) -> None:
        """The error says how to open it."""
        with pytest.raises(NodeClosed, match="use it inside `async with`"):
            self.node(TestState).replica(TestState)

    async def test_of_a_state_that_was_not_passed_are_refused(self) -> None:
        """The error names those that were (REG-02, REG-03, ERR-01, ERR-02)."""

        class Impostor(DistributedState[int]):
            name = "test_state"

            def initial(self) -> int:
                return 0

        async with TestRuntime(TestState) as runtime:
            node = await runtime.start("a")

            with pytest.raises(UnknownState, match="has no state 'lazy'; it has: test_state"):
                node.replica(Lazy)
            with pytest.raises(UnknownState):
                node.replica(Impostor)


async def test_what_is_taken_over_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """For those who want to see it: state, peer and generation (DIAG-20)."""
    async with TestRuntime(TestState) as runtime:
        a, _ = [await runtime.start(name) for name in "ab"]
        with caplog.at_level(logging.DEBUG, "perdure.replication"):
            await a.replica(TestState).mutate(counting)
            await runtime.settle()

    assert f"b: test_state of a is at v{a.incarnation}:1" in caplog.messages


async def test_a_replica_is_typed() -> None:
    """State, view and what a mutation returns are known to the checker."""
    async with TestRuntime(TestState, TestDeltaState) as runtime:
        node = await runtime.start("a")
        simple: Replica[Value, Value, Value] = node.replica(TestState)
        delta = node.replica(TestDeltaState)

        counter: int = simple.state.counter + delta.views["a"].counter + delta.state.private_sum

        assert counter == 0


async def test_urgency_is_the_callers_to_choose() -> None:
    """What is suppressed goes out with what is not (INT-11, INT-12)."""
    async with TestRuntime(Lazy) as runtime:
        a, b = [await runtime.start(name) for name in "ab"]
        await a.replica(Lazy).mutate(counting, urgency=SyncUrgency.suppress())
        await runtime.settle()
        held = b.replica(Lazy).views["a"]

        await a.replica(Lazy).mutate(counting, urgency=SyncUrgency.immediate())
        await runtime.settle()

        assert (held, b.replica(Lazy).views["a"]) == (Value(0), Value(2))
