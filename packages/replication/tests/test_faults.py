"""Networks that fail in one way each, and what the cluster does about it."""

from __future__ import annotations

from typing import Any

import pytest

from perdure_replication import (
    Delta,
    Digest,
    Event,
    Feed,
    Generation,
    Pull,
    Received,
    Settings,
    Snapshot,
    SyncStrategy,
    SyncUrgency,
    Tick,
)
from perdure_replication.testing import (
    Network,
    Shown,
    SimulatedNode,
    Simulation,
    TestClock,
    TestDeltaState,
    TestState,
    Value,
)

from .nodes import DELTA, SIMPLE, cluster, forged, hand, pair, to

SETTINGS = Settings(digest_interval=2)


class Periodic(TestState):
    name = "periodic"
    strategy = SyncStrategy.periodic_only(2)


class Fed(TestState):
    name = "fed"
    strategy = SyncStrategy.feed_lazy_pull()


class Counting(TestDeltaState):
    name = "counting"
    projected = 0

    def project(self, state: Any) -> Shown:
        type(self).projected += 1
        return super().project(state)


def lossy(names: str, *states: Any, **faults: Any) -> Simulation:
    """Return nodes that have met on a good network, which has turned bad."""
    simulation = cluster(names, *(states or (TestState, TestDeltaState)), settings=SETTINGS)
    for fault, share in faults.items():
        setattr(simulation.network, fault, share)
    return simulation


def test_an_isolated_node_misses_what_happens_and_catches_up() -> None:
    """Nobody needs to mutate again (FAULT-01, MOCK-02, E2E-F01, LIFE-12)."""
    simulation = lossy("abc")
    simulation.network.partition("ab", "c")
    simulation["a"].mutate(SIMPLE, to(1))
    simulation["c"].mutate(SIMPLE, to(3))
    simulation.run(10)
    apart = [simulation[name].value(SIMPLE, "a") for name in "abc"]

    simulation.network.heal()
    simulation.run(4)

    assert apart == [Value(1), Value(1), Value(0)]
    assert [simulation[name].value(SIMPLE, "a") for name in "abc"] == [Value(1)] * 3
    assert [simulation[name].value(SIMPLE, "c") for name in "abc"] == [Value(3)] * 3


def test_two_halves_work_apart_and_converge() -> None:
    """Without new mutations (CHAOS-05)."""
    simulation = lossy("abcde")
    simulation.network.partition("ab", "cde")
    for node in simulation.live():
        node.mutate(DELTA, TestDeltaState.adjust(ord(node.name)))
    simulation.run(20)

    simulation.network.heal()
    simulation.run(4)

    assert all(
        node.value(DELTA, other) == Shown(ord(other)) for node in simulation.live() for other in simulation.nodes
    )


def test_total_loss_stops_nobody() -> None:
    """Local work goes on, and is seen when the network is back (FAULT-02, E2E-F02)."""
    simulation = lossy("ab", loss=1.0)
    a, b = simulation["a"], simulation["b"]

    for counter in range(100):
        a.mutate(SIMPLE, to(counter))
    simulation.run(10)
    assert (a.value(SIMPLE, "a"), b.value(SIMPLE, "a")) == (Value(99), Value(0))
    simulation.network.heal()
    simulation.run(4)

    assert b.value(SIMPLE, "a") == Value(99)


@pytest.mark.parametrize(
    ("faults", "seconds"),
    [
        ({"loss": 0.3}, 60),
        ({"loss": 0.1}, 60),
        ({"duplicates": 1.0}, 5),
        ({"corruption": 0.3}, 60),
        ({"delay": (0.5, 0.5)}, 5),
        ({"delay": (0.0, 1.0), "reorders": True}, 20),
    ],
)
def test_one_mutation_each_converges_while_the_fault_lasts(faults: dict[str, Any], seconds: float) -> None:
    """Nothing is repeated, and it is exact (FAULT-03, CHAOS-01, CHAOS-02, E2E-F03, E2E-F06, E2E-F07)."""
    simulation = lossy("abcde", **faults)

    for node in simulation.live():
        for _ in range(50):
            node.mutate(DELTA, TestDeltaState.adjust(1))
        node.mutate(SIMPLE, to(ord(node.name)))
    simulation.run(seconds)

    for node in simulation.live():
        assert [node.value(DELTA, other) for other in "abcde"] == [Shown(50)] * 5
        assert [node.value(SIMPLE, other) for other in "abcde"] == [Value(ord(other)) for other in "abcde"]


def test_damaged_frames_are_dropped_and_counted() -> None:
    """None is taken for another value (FAULT-04)."""
    simulation = lossy("ab", corruption=1.0)
    a, b = simulation["a"], simulation["b"]

    for counter in range(200):
        a.mutate(SIMPLE, to(counter))
    simulation.run(1)

    assert b.value(SIMPLE, "a") == Value(0)
    assert b.engine.metrics.refused["damaged"] >= 200


def test_a_hundred_rapid_mutations_end_at_the_last_value() -> None:
    """Pushed, fed and periodic ones; a feed is one note (FAULT-10, E2E-11)."""
    simulation = lossy("ab", TestState, Fed, Periodic)
    a, b = simulation["a"], simulation["b"]

    for counter in range(1, 101):
        for state in (TestState, Fed, Periodic):
            a.mutate(state.name, to(counter))
    simulation.run(3)
    b.query(Fed.name, 0)
    simulation.run(1)

    assert [b.value(state.name, "a") for state in (TestState, Fed, Periodic)] == [Value(100)] * 3
    assert len(a.messages(Feed)) == 1


def test_a_one_way_partition_is_seen_from_one_side() -> None:
    """The other goes on, and both are well when it heals (FAULT-15)."""
    simulation = lossy("ab")
    a, b = simulation["a"], simulation["b"]
    simulation.network.block("a", "b")

    a.mutate(SIMPLE, to(1))
    b.mutate(SIMPLE, to(2))
    simulation.run(10)
    one_way = (b.value(SIMPLE, "a"), a.value(SIMPLE, "b"))
    health = [node.engine.health(SIMPLE, 5, node.clock()).status for node in (a, b)]
    simulation.network.heal()
    simulation.run(4)

    assert (one_way, health) == ((Value(0), Value(2)), ["healthy", "unhealthy"])
    assert (b.value(SIMPLE, "a"), a.value(SIMPLE, "b")) == (Value(1), Value(2))


def test_a_view_of_a_million_characters_is_a_view() -> None:
    """It is sent and read like any other (STRESS-03, FAULT-22)."""
    simulation, a, b = pair()
    large = Value(1, "x" * 1_000_000)

    a.mutate(SIMPLE, lambda _: large)
    simulation.run(1)

    assert b.value(SIMPLE, "a") == large


def test_a_thousand_mutations_arrive_without_loss() -> None:
    """Each in its turn (STRESS-01)."""
    simulation, a, b = pair()

    for _ in range(1000):
        a.mutate(DELTA, TestDeltaState.adjust(1))
        simulation.run(0.001)
    simulation.run(1)

    assert (b.value(DELTA, "a"), b.messages(Pull)) == (Shown(1000), [])


def test_pulls_under_a_partition_are_bounded() -> None:
    """By attempts, digests and one a peer and state, whatever is asked (FAULT-19, weak point 14)."""
    simulation, _, b = pair(settings=SETTINGS)
    simulation.network.partition("a", "b")
    simulation.run(5)

    for _ in range(1000):
        b.query(SIMPLE, 0, timeout=1)
        simulation.run(0.01)

    assert len(b.messages(Pull)) <= 20


def test_each_pull_is_answered_with_a_snapshot_or_what_leads_there() -> None:
    """Of the present value, to who asked (WIRE-08, INT-07)."""
    _, a, b = pair()
    life = a.engine.incarnation
    a.sent.clear()

    hand(a, b, Pull(SIMPLE, None, (1,), 77))

    assert [(peers, type(message), message.token) for peers, message in a.sent] == [(("b",), Snapshot, 77)]
    assert a.messages(Snapshot)[0].generation == Generation(life, 0)


class TestOwnShard:
    def test_ages_by_one_with_each_mutation(self) -> None:
        """And its own view is the projection of the new state (SHARD-01, TEST-07, MUT-02, DMUT-03)."""
        _, a, _ = pair()

        for age in (1, 2, 3):
            a.mutate(SIMPLE, to(age * 10))
            a.mutate(DELTA, TestDeltaState.adjust(1, private=5))

            assert a.generation(SIMPLE, "a") == a.generation(DELTA, "a") == Generation(a.engine.incarnation, age)
            assert (a.value(SIMPLE, "a"), a.value(DELTA, "a")) == (Value(age * 10), Shown(age))

    def test_is_projected_once_for_each_mutation(self) -> None:
        """The delta comes from the change, by no comparison of views (DMUT-02, DMUT-04)."""
        _, a, _ = pair(Counting)
        Counting.projected = 0

        for _ in range(10):
            a.mutate("counting", TestDeltaState.adjust(0, "same"))

        assert Counting.projected == 10
        assert [len(delta.deltas) for delta in a.messages(Delta)] == [1] * 10

    def test_counts_what_it_holds_back(self) -> None:
        """By its urgency or its strategy (DIAG-22, DIAG-09)."""
        _, a, _ = pair(Periodic)

        for counter in range(5):
            a.mutate("periodic", to(counter))

        assert a.engine.metrics.deltas_suppressed == 5


def test_a_feed_that_names_its_receiver_is_nothing() -> None:
    """A node's own notes, come back by some way, and another's about it (CFA-05)."""
    _, a, b = pair()
    own = Feed({SIMPLE: Generation(a.engine.incarnation, 99)})

    a.tell(Received("a", forged("a", a.engine.incarnation, own)))
    a.tell(Received("b", forged("a", a.engine.incarnation, own)))

    assert a.engine.views(SIMPLE, a.clock())["a"].pending is None
    assert a.engine.metrics.refused == {"forged": 2}
    assert b.engine.views(SIMPLE, b.clock())["a"].pending is None


def test_a_note_of_a_greater_life_wins_over_one_of_a_greater_age() -> None:
    """By generation, like everything (CFA-07, ENV-08)."""
    _, a, b = pair()
    life = a.engine.incarnation
    hand(b, a, Feed({SIMPLE: Generation(life, 99)}))

    b.tell(Received("a", forged("a", life + 1, Feed({SIMPLE: Generation(life + 1, 0)}))))
    hand(b, a, Feed({SIMPLE: Generation(life, 100)}))

    assert b.engine.views(SIMPLE, b.clock())["a"].pending == Generation(life + 1, 0)


class TestNetwork:
    def test_delivers_at_its_ticks_in_the_order_of_each_link(self) -> None:
        """Many arrive at a moment then."""
        network = Network(tick=0.25, delay=(0.1, 1.0))

        arrived = [network.carry("a", "bc", b"", number / 10) for number in range(50)]

        for place, target in enumerate("bc"):
            moments = [arrivals[place][0] for arrivals in arrived]
            assert [arrivals[place][1] for arrivals in arrived] == [target] * 50
            assert moments == sorted(moments)
            assert all(moment % 0.25 == 0 for moment in moments)
            assert all(0.1 <= moment - number / 10 <= 1.25 for number, moment in enumerate(moments))

    def test_parts_who_is_in_different_groups(self) -> None:
        """Nodes in no group are not touched; and healed it parts nobody."""
        network = Network()

        network.partition("ab", "c")
        parted = {(a, b) for a in "abcd" for b in "abcd" if a != b and not network.carry(a, b, b"", 0.0)}
        network.heal()
        healed = {(a, b) for a in "abcd" for b in "abcd" if a != b and not network.carry(a, b, b"", 0.0)}

        assert (parted, healed) == ({("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")}, set())


class TestSimulation:
    def test_is_the_same_for_the_same_seed(self) -> None:
        """And another for another (CHAOS-01)."""

        def story(seed: int) -> list[Any]:
            network = Network(seed, loss=0.3, duplicates=0.3, corruption=0.1, reorders=True, delay=(0.0, 0.5))
            simulation = Simulation(TestState, TestDeltaState, seed=seed, network=network, settings=SETTINGS)
            for name in "abc":
                simulation.add(name).mutate(SIMPLE, to(ord(name)))
            simulation.run(20)
            return [simulation.steps, simulation.network.bytes, *(node.changes for node in simulation.live())]

        assert story(1) == story(1)
        assert story(1) != story(2)

    def test_has_a_node_for_each_name(self) -> None:
        """Which exchange all they have as soon as they are there (TEST-11, FLOW-01, FLOW-02)."""
        simulation = cluster("abcd")

        assert [node.name for node in simulation.live()] == list("abcd")
        assert len({id(node.engine) for node in simulation.live()}) == 4
        assert all(set(node.engine.values(SIMPLE)) == set("abcd") for node in simulation.live())

    def test_of_a_great_cluster_need_not_remember(self) -> None:
        """It happens as it would, and no lists are kept of it."""

        def story(*, remembers: bool) -> tuple[int, int, list[SimulatedNode]]:
            simulation = Simulation(TestState, settings=SETTINGS, remembers=remembers)
            for name in "abc":
                simulation.add(name).mutate(SIMPLE, to(ord(name)))
            simulation.run(5)
            return simulation.steps, sum(node.told for node in simulation.live()), simulation.live()

        steps, told, nodes = story(remembers=False)
        remembered = story(remembers=True)

        assert (steps, told) == remembered[:2]
        assert told == sum(len(node.sent) for node in remembered[2])
        assert all(not (node.sent or node.changes or node.turnout) for node in nodes)

    def test_wakes_a_node_at_the_last_moment_that_it_wished_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Earlier wishes are void: with nothing to do but digests it wakes once for each."""
        simulation, a, _ = pair(settings=Settings(digest_interval=100.0))
        for _ in range(20):
            a.mutate(SIMPLE, to(1), SyncUrgency.delayed(0.5))
            simulation.run(1)
        receive, told = a.engine.receive, list[Event]()
        monkeypatch.setattr(a.engine, "receive", lambda event, now: (told.append(event), receive(event, now))[1])

        simulation.run(1000)

        assert 8 <= sum(isinstance(event, Tick) for event in told) <= 12

    def test_comes_to_rest(self) -> None:
        """After a mutation nothing is left to be done but digests (TEST-12)."""
        simulation, a, _ = pair()
        a.mutate(SIMPLE, to(1))
        simulation.run(5)
        steps = simulation.steps

        simulation.run(1000)

        assert simulation.steps == steps


class TestTestClock:
    async def test_stands_still_until_it_is_advanced(self) -> None:
        """Both times together (TEST-01, TEST-02)."""
        clock = TestClock(100.0)
        assert (clock.monotonic(), clock.time()) == (clock.monotonic(), clock.time()) == (0.0, 100.0)

        await clock.advance(5)

        assert (clock.monotonic(), clock.time()) == (5.0, 105.0)

    async def test_fires_timers_in_the_order_of_their_times(self) -> None:
        """Those that were cancelled not at all; those that a timer sets in the same advance."""
        clock, fired = TestClock(), list[str]()

        def again() -> None:
            fired.append(f"first at {clock.monotonic():g}")
            clock.call_at(2.5, lambda: fired.append(f"between at {clock.monotonic():g}"))

        clock.call_at(3, lambda: fired.append(f"last at {clock.monotonic():g}"))
        clock.call_at(1, again)
        clock.call_at(2, lambda: fired.append("never")).cancel()
        await clock.advance(10)

        assert fired == ["first at 1", "between at 2.5", "last at 3"]


def test_the_states_of_a_node_are_known_by_name() -> None:
    """In the order in which they were given (REG-01, REG-07)."""
    _, a, _ = pair()

    assert a.engine.states == (SIMPLE, DELTA)
    assert a.engine.shard(SIMPLE).definition.name == SIMPLE


def test_digests_are_heard_from_members_alone() -> None:
    """Nobody else is asked for anything (weak point 24)."""
    _, a, _ = pair()
    a.sent.clear()

    a.tell(Received("stranger", forged("stranger", 1, Digest({}))))

    assert a.sent == []
