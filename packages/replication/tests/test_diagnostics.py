"""What a node counts, and how it says that it is."""

from __future__ import annotations

import pytest

from perdure_replication import Delta, Generation, Settings, Snapshot, SyncUrgency
from perdure_replication.testing import TestDeltaState, TestState, Value

from .nodes import DELTA, SIMPLE, cluster, hand, pair, to
from .test_order import deltas, snapshot


class TestStatus:
    def test_has_one_row_for_each_node(self) -> None:
        """The own first (DIAG-01)."""
        simulation = cluster("abc")

        rows = simulation["b"].engine.status(SIMPLE)

        assert [row.node for row in rows] == ["b", "a", "c"]
        assert [(row.local_age, row.remote_age, row.reachable) for row in rows] == [(0, 0, True)] * 3

    def test_counts_failures_in_turn(self) -> None:
        """With the last error, until something is taken over (DIAG-02, DIAG-03, DIAG-05, DIAG-26)."""
        _, a, b = pair()
        life = a.engine.incarnation
        for _ in range(3):
            hand(b, a, Snapshot(SIMPLE, Generation(life, 9), 1, 0, 0, b"\xc1"))
        [_, failing] = b.engine.status(SIMPLE)

        hand(b, a, snapshot(life, 10, 1))

        [_, well] = b.engine.status(SIMPLE)
        assert (failing.consecutive_failures, "MessagePack" in failing.last_error) == (3, True)
        assert (well.consecutive_failures, well.last_error) == (0, "")

    def test_knows_how_long_a_pull_took(self) -> None:
        """From the request to its answer (DIAG-04)."""
        simulation, _, b = pair()
        simulation.network.delay = (0.25, 0.25)

        b.query(SIMPLE, 0)
        simulation.run(1)

        [_, row] = b.engine.status(SIMPLE)
        assert row.last_sync_latency == pytest.approx(0.5)
        assert row.last_attempt_time is not None
        assert row.last_sync_time == pytest.approx(row.last_attempt_time + 0.5)

    def test_counts_gaps(self) -> None:
        """Of one peer, and of all (DIAG-06, DIAG-11)."""
        _, a, b = pair()

        hand(b, a, deltas(a.engine.incarnation, 5, 1))

        assert (b.engine.status(DELTA)[1].gap_count, b.engine.metrics.age_gaps_detected) == (1, 1)
        assert (b.engine.status(DELTA)[1].local_age, b.engine.status(DELTA)[1].remote_age) == (0, 6)


class TestMetrics:
    def test_of_the_owner(self) -> None:
        """What it made, sent and held back (DIAG-07, DIAG-08, DIAG-09, DIAG-10)."""
        simulation, a, _ = pair()

        a.mutate(DELTA, TestDeltaState.adjust(1))
        a.mutate(DELTA, TestDeltaState.adjust(1), SyncUrgency.immediate())
        a.mutate(DELTA, TestDeltaState.adjust(1), SyncUrgency.suppress())
        simulation.run(1)

        counted = a.engine.metrics
        assert (counted.total_mutations, counted.deltas_sent) == (3, 2)
        assert (counted.deltas_immediate, counted.deltas_suppressed) == (1, 1)
        assert len(a.messages(Delta)) == counted.deltas_sent

    def test_of_the_reader(self) -> None:
        """What it took over and what it let go (DIAG-12, DIAG-13)."""
        _, a, b = pair()
        life = a.engine.incarnation
        before = b.engine.metrics.copy()

        hand(b, a, deltas(life, 0, 1))
        hand(b, a, deltas(life, 0, 1))
        hand(b, a, snapshot(life, 3, 3))
        hand(b, a, snapshot(life, 2, 2))
        hand(b, a, Snapshot(SIMPLE, Generation(life, 9), 9, 0, 0, b""))

        counted = b.engine.metrics
        assert (counted.deltas_received, counted.stale_deltas_discarded) == (1, 1)
        assert (counted.snapshots_received - before.snapshots_received, counted.stale_snapshots_discarded) == (1, 1)
        assert counted.sync_failures == 1

    def test_are_copied_for_whoever_reads_them(self) -> None:
        """A copy does not move."""
        _, a, _ = pair()
        copy = a.engine.metrics.copy()

        a.mutate(SIMPLE, to(1))
        a.engine.metrics.refused["damaged"] = 1

        assert (copy.total_mutations, copy.refused) == (0, {})


class TestHealth:
    def test_of_a_node_alone_is_well(self) -> None:
        """There is nobody to miss (DIAG-23)."""
        [node] = cluster("a").live()

        assert node.engine.health(SIMPLE, 1, node.clock()).status == "healthy"

    def test_is_well_when_all_are_fresh(self) -> None:
        """Nobody is stale, missing, incompatible or failing (DIAG-15, DIAG-16)."""
        simulation = cluster("abcd")

        health = simulation["a"].engine.health(SIMPLE, 5, simulation["a"].clock())

        assert (health.status, health.members, health.stale) == ("healthy", 3, ())

    @pytest.mark.parametrize(("lost", "status"), [("d", "degraded"), ("cd", "unhealthy"), ("bcd", "unhealthy")])
    def test_falls_with_the_share_of_stale_peers(self, lost: str, status: str) -> None:
        """More than half well is degraded, the rest is not (DIAG-14, DIAG-17, DIAG-18)."""
        simulation = cluster("abcd", settings=Settings(digest_interval=1))
        for name in lost:
            simulation.network.block(name, "a")

        simulation.run(10)

        health = simulation["a"].engine.health(SIMPLE, 5, simulation["a"].clock())
        assert (health.status, health.stale) == (status, tuple(lost))

    def test_counts_a_peer_once(self) -> None:
        """Stale and failing is one trouble; two peers are two (DIAG-24, DIAG-27)."""
        simulation = cluster("abcdef", settings=Settings(digest_interval=1))
        a, b = simulation["a"], simulation["b"]
        simulation.network.block("b", "a")
        simulation.run(10)
        hand(a, b, Snapshot(SIMPLE, Generation(b.engine.incarnation, 9), 1, 0, 0, b"\xc1"))
        one = a.engine.health(SIMPLE, 5, a.clock())

        hand(a, simulation["c"], Snapshot(SIMPLE, Generation(simulation["c"].engine.incarnation, 9), 1, 0, 0, b"\xc1"))
        two = a.engine.health(SIMPLE, 5, a.clock())

        assert (one.status, one.stale, one.failing) == ("degraded", ("b",), ("b",))
        assert (two.status, two.failing) == ("degraded", ("b", "c"))

    def test_is_said_of_each_state(self) -> None:
        """One may be well and the other not (DIAG-19)."""
        _simulation, a, b = pair()
        life = a.engine.incarnation
        hand(b, a, Snapshot(SIMPLE, Generation(life, 9), 1, 0, 0, b"\xc1"))

        assert [b.engine.health(state, 5, b.clock()).status for state in (SIMPLE, DELTA)] == ["unhealthy", "healthy"]


def test_failures_are_noted_with_their_number_and_cause() -> None:
    """As warnings, with state and peer (DIAG-21, VER-08)."""
    _, a, b = pair()

    for _ in range(2):
        hand(b, a, Snapshot(SIMPLE, Generation(a.engine.incarnation, 9), 9, 0, 0, b""))

    notes = [(note.level, note.state, note.peer, note.text) for note in b.notes]
    assert notes == [
        ("warning", SIMPLE, "a", f"its message cannot be used, {times} times in turn: {cause}")
        for times in (1, 2)
        for cause in ["test_state: a view of version 9; read here: 1"]
    ]


def test_times_come_from_the_clock_that_is_given() -> None:
    """Nothing else is asked (TEST-03, TEST-04, TEST-14, SHARD-02)."""
    simulation, a, b = pair(TestState)
    simulation.run(4)

    a.mutate(SIMPLE, to(1))
    simulation.run(1)

    own = a.engine.views(SIMPLE, a.clock())["a"]
    assert (own.created, own.modified, own.view) == (1_700_000_000_000, 1_700_000_005_000, Value(1))
    assert b.engine.freshness(SIMPLE, 2, b.clock()).is_fresh
    simulation.run(3)
    assert not b.engine.freshness(SIMPLE, 2, b.clock()).is_fresh
