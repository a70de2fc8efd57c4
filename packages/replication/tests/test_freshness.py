"""How fresh views are, and what queries do about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure_replication import Digest, Pull, Settings, Standing, SyncStrategy
from perdure_replication._scale import Scale
from perdure_replication.testing import Simulation, TestState, Value

from .nodes import SIMPLE, cluster, hand, pair, to


class Unpulled(TestState):
    name = "unpulled"
    strategy = SyncStrategy("active", pull_on_query=False)


class TestQuery:
    def test_of_fresh_views_sends_nothing(self) -> None:
        """And is answered at once (SYNC-07, SYNC-11, QUERY-03, INT-14)."""
        _, _, b = pair()
        b.sent.clear()

        token = b.query(SIMPLE, 5)

        assert (b.answers[token].is_fresh, b.sent) == (True, [])

    def test_of_stale_views_pulls_all_of_them_at_once(self) -> None:
        """Each once, before any has answered (QUERY-07, SHARD-09)."""
        simulation = cluster("abcd")
        simulation.run(10)
        b = simulation["b"]

        token = b.query(SIMPLE, 1)
        pulled = [peers for peers, message in b.sent if isinstance(message, Pull)]
        simulation.run(1)

        assert (pulled, b.answers[token].is_fresh) == ([("a",), ("c",), ("d",)], True)

    def test_is_answered_with_newer_data(self) -> None:
        """What the owner had when it was asked (ERR-05, QUERY-02, QUERY-04)."""
        simulation, a, b = pair()
        simulation.network.block("a", "b")
        a.mutate(SIMPLE, to(5))
        simulation.run(10)
        simulation.network.heal()

        token = b.query(SIMPLE, 1)
        simulation.run(1)

        assert (b.answers[token].is_fresh, b.value(SIMPLE, "a")) == (True, Value(5))

    def test_of_an_owner_that_cannot_be_reached_names_it(self) -> None:
        """After the timeout, with what there is (SYNC-13, QUERY-05, FAULT-19)."""
        simulation, _, b = pair()
        simulation.network.partition("a", "b")
        simulation.run(10)

        token = b.query(SIMPLE, 1, timeout=3)
        simulation.run(2.9)
        waited = token not in b.answers
        simulation.run(0.2)

        assert (waited, b.answers[token].stale) == (True, ("a",))
        assert len(b.messages(Pull)) <= 3

    def test_ends_early_when_pulls_are_given_up(self) -> None:
        """There is nothing more to wait for."""
        simulation, _, b = pair(settings=Settings(digest_interval=1e9, pull_timeout=0.1, pull_attempts=2))
        simulation.network.partition("a", "b")
        simulation.run(10)

        token = b.query(SIMPLE, 1, timeout=100)
        simulation.run(1)

        assert b.answers[token].stale == ("a",)

    def test_of_a_peer_that_leaves_meanwhile_ends(self) -> None:
        """It is not expected any more."""
        simulation, _, b = pair()
        simulation.network.partition("a", "b")
        simulation.run(10)
        token = b.query(SIMPLE, 1, timeout=100)

        simulation.crash("a")
        simulation.run(1)

        assert b.answers[token].is_fresh

    def test_without_peers_is_fresh(self) -> None:
        """A node alone has all there is (FAULT-13)."""
        simulation = cluster("a")

        token = simulation["a"].query(SIMPLE, 0)

        assert simulation["a"].answers[token].is_fresh
        assert dict(simulation["a"].engine.values(SIMPLE)) == {"a": Value()}

    def test_does_not_pull_where_the_strategy_says_so(self) -> None:
        """It names what is stale (1.10)."""
        simulation, _, b = pair(Unpulled)
        simulation.run(10)

        token = b.query(Unpulled.name, 1)

        assert (b.answers[token].stale, b.messages(Pull)) == (("a",), [])

    def test_after_a_pull_under_way_that_is_too_old_pulls_again(self) -> None:
        """An answer to an earlier question is no answer to a later one (weak point 2)."""
        simulation, a, b = pair()
        simulation.network.delay = (0.4, 0.4)
        first = b.query(SIMPLE, 0)
        simulation.run(0.45)
        a.mutate(SIMPLE, to(1))

        second = b.query(SIMPLE, 0)
        simulation.run(5)

        assert (b.answers[first].is_fresh, b.answers[second].is_fresh) == (True, True)
        assert len(b.messages(Pull)) == 2

    def test_sees_the_own_part_too(self) -> None:
        """It is never stale (QUERY-01, QUERY-08, TEST-06, PVM-01, PVM-02, SHARD-10)."""
        simulation, _, b = pair()
        b.mutate(SIMPLE, to(3))
        simulation.run(100)

        assert dict(b.engine.values(SIMPLE)) == {"a": Value(0), "b": Value(3)}
        assert b.engine.views(SIMPLE, b.clock())["b"].generation.age == 1
        assert b.engine.freshness(SIMPLE, 5, b.clock()).stale == ("a",)


class TestBound:
    def test_counts_from_when_a_pull_was_sent(self) -> None:
        """Not from when its answer came (weak point 2, ENV-03)."""
        simulation, _, b = pair(settings=Settings(digest_interval=1e9, pull_timeout=60))
        simulation.run(10)
        asked = b.clock()
        simulation.network.delay = (2.0, 2.0)
        b.query(SIMPLE, 1, timeout=10)

        simulation.run(5)

        assert b.engine.views(SIMPLE, b.clock())["a"].synced_at == asked

    def test_of_a_push_that_was_held_up_is_old(self) -> None:
        """It says when it was sent, on a scale that earlier frames have set (weak point 2)."""
        simulation, a, b = pair()
        simulation.network.delay = (30.0, 30.0)

        a.mutate(SIMPLE, to(1))
        simulation.run(31)

        assert b.value(SIMPLE, "a") == Value(1)
        assert b.engine.freshness(SIMPLE, 20, b.clock()).stale == ("a",)

    @pytest.mark.parametrize("offset", [-3600.0, 5.0, 3600.0])
    def test_does_not_depend_on_wall_clocks(self, offset: float) -> None:
        """They are off, and differ (CHAOS-06)."""
        simulation = Simulation(TestState, settings=Settings(digest_interval=2))
        simulation.add("a", offset=offset, drift=1e-4)
        b = simulation.add("b", drift=-1e-4)

        simulation.run(1000)

        assert b.engine.freshness(SIMPLE, 3, b.clock()).is_fresh
        simulation.network.partition("a", "b")
        simulation.run(4)
        assert b.engine.freshness(SIMPLE, 3, b.clock()).stale == ("a",)


@given(delays=st.lists(st.floats(0.001, 50), min_size=1, max_size=50), offset=st.floats(0, 1e6), gap=st.floats(0, 60))
def test_a_scale_is_off_by_the_shortest_travel_at_most(delays: list[float], offset: float, gap: float) -> None:
    """And by the drift that is allowed for; it never says later than now."""
    scale, now, shortest, since = Scale(), 1000.0, float("inf"), 0.0

    for delay in delays:
        now += gap
        sent = now - delay
        shortest = min(shortest, delay)
        moment = scale.moment(int((sent + offset) * 1000), now)

        assert moment <= now + 1e-6
        assert sent - 0.002 <= moment <= sent + shortest + since * 0.001 + 0.002
        since += gap


def test_a_digest_that_was_overtaken_renews_nothing_wrongly() -> None:
    """It is as old as it is, though it names what is held."""
    simulation, a, b = pair()
    simulation.run(60)
    held = b.engine.views(SIMPLE, b.clock())["a"]

    hand(b, a, Digest({SIMPLE: Standing(held.generation, 0)}))

    assert b.engine.views(SIMPLE, b.clock())["a"].synced_at < b.clock() - 50
