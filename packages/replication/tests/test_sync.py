"""When a mutation reaches whom: strategies, urgencies, the feed."""

from __future__ import annotations

from typing import Any

import pytest

from perdure_replication import Delta, Digest, Feed, Generation, Pull, Settings, Snapshot, SyncStrategy, SyncUrgency
from perdure_replication.testing import Shown, Simulation, TestDeltaState, TestState, Tuned, Value

from .nodes import DELTA, QUIET, SIMPLE, cluster, hand, pair, to


class Fed(TestState):
    name = "fed"
    strategy = SyncStrategy.feed_lazy_pull()


class AlsoFed(TestDeltaState):
    name = "also_fed"
    strategy = SyncStrategy.feed_lazy_pull()


class Periodic(TestState):
    name = "periodic"
    strategy = SyncStrategy.periodic_only(10)


class PushedAndPeriodic(TestState):
    name = "pushed_and_periodic"
    strategy = SyncStrategy.active_push() | SyncStrategy.periodic_only(10)


class FedAndPeriodic(TestState):
    name = "fed_and_periodic"
    strategy = SyncStrategy.feed_with_periodic_sync(10)


class PulledOnly(TestState):
    name = "pulled_only"
    strategy = SyncStrategy.pull_only()


class Composing(TestDeltaState):
    name = "composing"

    def compose(self, first: Tuned, second: Tuned) -> Tuned:
        return Tuned(first.by + second.by, first.label if second.label is None else second.label)


def counters(node: Any, state: str, source: str) -> list[int]:
    """Return the counters that a node saw of another's state, one after the other."""
    return [change.view.counter for change in node.changes if (change.state, change.node) == (state, source)]


class TestActivePush:
    def test_reaches_peers_at_once(self) -> None:
        """With the mutation, before any timer (SYNC-01, MUT-05)."""
        simulation, a, b = pair()

        a.mutate(SIMPLE, to(1))
        simulation.run(0.01)

        assert b.value(SIMPLE, "a") == Value(1)

    def test_begins_with_a_snapshot(self) -> None:
        """A first contact has nothing that a delta could follow (SYNC-02)."""
        simulation, a, _b = pair(TestDeltaState)
        a.mutate(DELTA, TestDeltaState.adjust(3))
        a.sent.clear()

        simulation.add("c")
        simulation.run(1)

        assert [type(message) for peers, message in a.sent if "c" in peers and not isinstance(message, Digest)][
            -1
        ] is Snapshot
        assert simulation["c"].value(DELTA, "a") == Shown(3)

    def test_of_ten_mutations_sends_ten_deltas_in_order(self) -> None:
        """Each is one message, and none is a snapshot (SYNC-03, SHARD-03)."""
        simulation, a, b = pair()

        for _ in range(10):
            a.mutate(DELTA, TestDeltaState.adjust(1))
        simulation.run(1)

        assert [delta.generation.age for delta in a.messages(Delta)] == list(range(1, 11))
        assert counters(b, DELTA, "a")[1:] == list(range(1, 11))

    def test_of_a_simple_state_sends_snapshots(self) -> None:
        """Never a delta (MUT-04)."""
        _simulation, a, _ = pair()

        a.mutate(SIMPLE, to(1))

        assert a.messages(Delta) == []
        assert a.messages(Snapshot)[-1].generation.age == 1

    def test_carries_the_generation_and_the_version(self) -> None:
        """Of the owner, in every kind of message (INC-07, INC-08, SE-01, SE-02, ENV-05, ENV-07)."""
        simulation, a, b = pair()
        life = a.engine.incarnation

        a.mutate(SIMPLE, to(1))
        a.mutate(DELTA, TestDeltaState.adjust(1))
        simulation.run(1)

        for kind in (Snapshot, Delta):
            assert (a.messages(kind)[-1].generation, a.messages(kind)[-1].version) == (Generation(life, 1), 1)
        for state in (SIMPLE, DELTA):
            held = b.engine.views(state, b.clock())["a"]
            assert (held.generation, held.version) == (Generation(life, 1), 1)


class TestFeed:
    def test_of_five_mutations_is_one_note(self) -> None:
        """With the newest generation (SYNC-04, SYNC-05, CFA-01, CFA-02, INT-03, INT-04, INC-09)."""
        simulation, a, b = pair(Fed)

        for counter in range(1, 6):
            a.mutate(Fed.name, to(counter))
        simulation.run(2)

        assert a.messages(Feed) == [Feed({Fed.name: Generation(a.engine.incarnation, 5)})]
        assert (b.value(Fed.name, "a"), b.engine.views(Fed.name, b.clock())["a"].pending) == (
            Value(0),
            Generation(a.engine.incarnation, 5),
        )

    def test_has_all_states_of_a_node_in_one_batch(self) -> None:
        """It is the node's, not the state's (CFA-06, CFA-04)."""
        simulation, a, b = pair(Fed, AlsoFed)

        a.mutate(Fed.name, to(1))
        a.mutate(AlsoFed.name, TestDeltaState.adjust(1))
        simulation.run(2)

        assert [set(feed.changes) for feed in a.messages(Feed)] == [{Fed.name, AlsoFed.name}]
        assert all(b.engine.views(state, b.clock())["a"].pending for state in (Fed.name, AlsoFed.name))

    def test_without_mutations_is_not_sent(self) -> None:
        """An empty note says nothing (CFA-03)."""
        simulation, a, _ = pair(Fed)

        simulation.run(60)

        assert a.messages(Feed) == []

    def test_leads_to_a_pull_with_the_next_query(self) -> None:
        """And a marked view is stale however young it is (QUERY-06, E2E-08, INT-06)."""
        simulation, a, b = pair(Fed)
        a.mutate(Fed.name, to(7))
        simulation.run(2)
        assert (b.messages(Pull), b.engine.freshness(Fed.name, 1e9, b.clock()).stale) == ([], ("a",))

        token = b.query(Fed.name, 1e9)
        simulation.run(1)

        assert (b.value(Fed.name, "a"), b.answers[token].is_fresh) == (Value(7), True)

    def test_of_an_unknown_state_is_passed_over(self) -> None:
        """Of the others it is heard (CFA-04, WIRE-09, FAULT-18)."""
        _simulation, a, b = pair(Fed)
        life = a.engine.incarnation

        hand(b, a, Feed({"nobody_has_it": Generation(life, 1), Fed.name: Generation(life, 4)}))

        assert b.engine.views(Fed.name, b.clock())["a"].pending == Generation(life, 4)

    def test_of_an_older_generation_changes_nothing(self) -> None:
        """Nor does one of an earlier life (CFA-09, SHARD-07, SHARD-08, WIRE-07)."""
        simulation, a, b = pair(Fed)
        a.mutate(Fed.name, to(1), SyncUrgency.immediate())
        simulation.run(1)
        life = a.engine.incarnation

        hand(b, a, Feed({Fed.name: Generation(life, 1)}))
        hand(b, a, Feed({Fed.name: Generation(life - 1, 99)}))

        assert b.engine.views(Fed.name, b.clock())["a"].pending is None

    def test_that_is_caught_up_in_part_stays_pending(self) -> None:
        """Until what it told of has come (3.16)."""
        simulation, a, b = pair(Fed)
        a.mutate(Fed.name, to(1), SyncUrgency.immediate())
        life = a.engine.incarnation
        hand(b, a, Feed({Fed.name: Generation(life, 2)}))
        simulation.run(0.5)
        partly = b.engine.views(Fed.name, b.clock())["a"]

        a.mutate(Fed.name, to(2), SyncUrgency.immediate())
        simulation.run(0.5)

        assert (partly.generation.age, partly.pending) == (1, Generation(life, 2))
        assert b.engine.views(Fed.name, b.clock())["a"].pending is None


class TestPeriodic:
    def test_pushes_at_its_interval(self) -> None:
        """Several mutations in it make one snapshot with the last (SYNC-08, SYNC-09, SE-04, INT-05, E2E-07)."""
        simulation, a, b = pair(Periodic)
        a.sent.clear()

        a.mutate(Periodic.name, to(1))
        a.mutate(Periodic.name, to(2))
        simulation.run(5)
        before = b.value(Periodic.name, "a")
        simulation.run(6)

        assert (before, b.value(Periodic.name, "a"), len(a.messages(Snapshot))) == (Value(0), Value(2), 1)

    def test_without_mutations_sends_nothing(self) -> None:
        """The digest is what says that nothing changed (SYNC-10, SE-05)."""
        simulation, a, _ = pair(Periodic)
        a.sent.clear()

        simulation.run(100)

        assert a.sent == []

    @pytest.mark.parametrize("state", [PushedAndPeriodic, FedAndPeriodic])
    def test_goes_together_with_another_layer(self, state: Any) -> None:
        """Both fire (SYNC-19, SYNC-20)."""
        simulation, a, b = pair(state)
        a.sent.clear()

        a.mutate(state.name, to(1))
        simulation.run(2)
        first = {type(message) for _, message in a.sent}
        a.sent.clear()
        simulation.run(10)

        assert first == ({Snapshot} if state is PushedAndPeriodic else {Feed})
        assert (len(a.messages(Snapshot)), b.value(state.name, "a")) == (1, Value(1))


class TestPullOnly:
    def test_pushes_nothing_and_is_pulled(self) -> None:
        """Only when somebody asks (SYNC-21)."""
        simulation, a, b = pair(PulledOnly)
        a.sent.clear()
        a.mutate(PulledOnly.name, to(1))
        simulation.run(20)
        silent = a.sent.copy()

        b.query(PulledOnly.name, 1)
        simulation.run(1)

        assert (silent, b.value(PulledOnly.name, "a")) == ([], Value(1))

    def test_that_does_not_pull_either_is_warned_of(self) -> None:
        """When the node starts (SYNC-22)."""

        class Mute(TestState):
            name = "mute"
            strategy = SyncStrategy("none", pull_on_query=False)

        _simulation, a, _ = pair(Mute)

        [note] = a.notes
        assert (note.level, note.state) == ("warning", "mute")


class TestUrgency:
    def test_immediate_waits_for_no_feed(self) -> None:
        """Whatever the strategy (SYNC-14, INT-11)."""
        simulation, a, b = pair(Fed, Periodic, PulledOnly)

        for state in (Fed, Periodic, PulledOnly):
            a.mutate(state.name, to(1), SyncUrgency.immediate())
        simulation.run(0.01)

        assert [b.value(state.name, "a") for state in (Fed, Periodic, PulledOnly)] == [Value(1)] * 3
        assert a.engine.metrics.deltas_immediate == 3

    def test_delayed_arrives_after_its_delay(self) -> None:
        """Not before, and not with another interval (SYNC-15, INT-13)."""
        simulation, a, b = pair()

        a.mutate(SIMPLE, to(1), SyncUrgency.delayed(3))
        simulation.run(2.9)
        before = b.value(SIMPLE, "a")
        simulation.run(0.2)

        assert (before, b.value(SIMPLE, "a")) == (Value(0), Value(1))

    def test_suppressed_sends_nothing(self) -> None:
        """The change is kept here (SYNC-16, INT-12, EXAMPLE-05)."""
        simulation, a, b = pair()
        a.sent.clear()

        a.mutate(SIMPLE, to(1), SyncUrgency.suppress())
        simulation.run(1)

        assert (a.sent, a.value(SIMPLE, "a"), b.value(SIMPLE, "a")) == ([], Value(1), Value(0))
        assert a.engine.metrics.deltas_suppressed == 1

    def test_default_follows_the_strategy(self) -> None:
        """Push, note, or nothing (SYNC-18)."""
        simulation, a, _ = pair(TestState, Fed, PulledOnly)
        a.sent.clear()

        for state in (TestState, Fed, PulledOnly):
            a.mutate(state.name, to(1), SyncUrgency.default())
        simulation.run(2)

        assert [type(message) for _, message in a.sent] == [Snapshot, Feed]

    def test_is_asked_of_the_definition_with_every_mutation(self) -> None:
        """With the views before and after, and the change (SE-03, EXAMPLE-04, EXAMPLE-05, EXAMPLE-06)."""
        asked = []

        class Deciding(TestDeltaState):
            name = "deciding"

            def urgency(self, before: Shown, after: Shown, change: Any) -> SyncUrgency:
                asked.append((before, after, change.by))
                return SyncUrgency.immediate() if change.by >= 25 else SyncUrgency.suppress()

        simulation, a, b = pair(Deciding)

        a.mutate("deciding", TestDeltaState.adjust(1))
        simulation.run(1)
        held = b.value("deciding", "a")
        a.mutate("deciding", TestDeltaState.adjust(25))
        simulation.run(1)

        assert asked == [(Shown(0), Shown(1), 1), (Shown(1), Shown(26), 25)]
        assert (held, b.value("deciding", "a")) == (Shown(0), Shown(26))


class TestRanges:
    def test_are_composed_where_the_author_can(self) -> None:
        """One delta for all ages (SYNC-17)."""
        simulation, a, b = pair(Composing)

        for _ in range(5):
            a.mutate("composing", TestDeltaState.adjust(1), SyncUrgency.suppress())
        a.mutate("composing", TestDeltaState.adjust(1, "x"))
        simulation.run(1)

        [delta] = a.messages(Delta)
        assert (delta.base, delta.generation.age, len(delta.deltas)) == (0, 6, 1)
        assert (b.value("composing", "a"), b.messages(Pull)) == (Shown(6, "x"), [])

    def test_longer_than_the_log_are_sent_as_a_snapshot(self) -> None:
        """The log is bounded (weak point 28)."""
        simulation, a, b = pair()
        a.sent.clear()

        for _ in range(200):
            a.mutate(DELTA, TestDeltaState.adjust(1), SyncUrgency.suppress())
        a.mutate(DELTA, TestDeltaState.adjust(1))
        simulation.run(1)

        assert [type(message) for _, message in a.sent] == [Snapshot]
        assert b.value(DELTA, "a") == Shown(201)

    def test_answer_a_pull(self) -> None:
        """A gap of three costs three deltas, not the whole view (weak point 16)."""
        simulation, a, b = pair()
        simulation.network.block("a", "b")
        for _ in range(3):
            a.mutate(DELTA, TestDeltaState.adjust(1))
        simulation.network.heal()
        a.sent.clear()

        b.query(DELTA, 0)
        simulation.run(1)

        [answer] = a.messages(Delta)
        assert (answer.base, answer.generation.age, b.value(DELTA, "a")) == (0, 3, Shown(3))


class TestDigest:
    @pytest.mark.parametrize("state", [TestState, Fed, Periodic, PulledOnly])
    def test_keeps_what_does_not_change_fresh(self, state: Any) -> None:
        """For all strategies, without a pull (weak point 1)."""
        simulation, _, b = pair(state, settings=Settings(digest_interval=5))

        simulation.run(60)

        assert b.engine.freshness(state.name, 6, b.clock()).is_fresh
        assert b.messages(Pull) == []

    def test_says_what_was_held_back_without_having_it_pulled(self) -> None:
        """Who wants it fresh pulls it (SYNC-16)."""
        simulation, a, b = pair(settings=Settings(digest_interval=5))
        a.mutate(SIMPLE, to(1), SyncUrgency.suppress())

        simulation.run(20)

        assert (b.value(SIMPLE, "a"), b.messages(Pull)) == (Value(0), [])
        assert b.engine.freshness(SIMPLE, 1e9, b.clock()).stale == ("a",)

    def test_that_lacks_a_state_withdraws_it(self) -> None:
        """A live node may have given it up (weak point 30)."""
        _simulation, a, b = pair()

        hand(b, a, Digest({}))

        assert "a" not in b.engine.values(SIMPLE)
        assert b.engine.freshness(SIMPLE, 0, b.clock()).is_fresh
        assert [(each.node, each.kind) for each in b.changes if each.state == SIMPLE][-1] == ("a", "removed")

    def test_costs_one_message_for_each_member_and_round(self) -> None:
        """Whatever the number of states: the design's price of anti-entropy."""
        simulation = cluster("abcde", TestState, TestDeltaState, Fed, Periodic, settings=Settings(digest_interval=1))
        simulation.network.sent.clear()

        simulation.run(100)

        each = [count / 4 for count in simulation.network.sent.values()]
        assert all(90 <= rounds <= 112 for rounds in each)


def test_what_was_sent_by_one_link_is_received_by_all() -> None:
    """Ten nodes, a full mesh, each with its own mutations (STRESS-02, E2E-09, E2E-02)."""
    simulation = cluster("abcdefghij", settings=Settings())

    for number, node in enumerate(simulation.live()):
        for _ in range(10):
            node.mutate(SIMPLE, to(number))
            node.mutate(DELTA, TestDeltaState.adjust(1))
    simulation.run(1)

    for node in simulation.live():
        assert [node.value(SIMPLE, other).counter for other in "abcdefghij"] == list(range(10))
        assert [node.value(DELTA, other).counter for other in "abcdefghij"] == [10] * 10


def test_a_state_that_a_peer_does_not_have_is_not_sent_to_it() -> None:
    """Each state goes to whoever has it (INT-10, REG-05, REG-06, WIRE-09)."""
    simulation = Simulation(settings=QUIET)
    a, b = simulation.add("a", TestState, TestDeltaState), simulation.add("b", TestState)
    simulation.run(1)
    a.sent.clear()

    a.mutate(DELTA, TestDeltaState.adjust(1))
    a.mutate(SIMPLE, to(1))
    simulation.run(1)

    assert (a.messages(Delta), b.value(SIMPLE, "a"), b.engine.metrics.refused) == ([], Value(1), {})
    assert a.engine.freshness(DELTA, 0, a.clock()).is_fresh
    assert a.engine.health(DELTA, 1, a.clock()).members == 0
