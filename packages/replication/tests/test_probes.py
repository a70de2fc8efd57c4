"""The probes under which the reference fails, each with what must come out."""

from __future__ import annotations

from typing import Any

import pytest

from perdure_replication import (
    Delta,
    Digest,
    Feed,
    Fenced,
    Generation,
    Joined,
    Left,
    Member,
    PersistFailed,
    Pull,
    Received,
    Settings,
    Snapshot,
    SyncUrgency,
)
from perdure_replication.testing import Shown, Simulation, TestDeltaState, TestState, Value

from .nodes import DELTA, QUIET, SIMPLE, Listed, forged, pair, to


def test_p1_a_quiet_peer_is_fresh_again_when_it_says_that_nothing_changed() -> None:
    """An answer "unchanged" is as good as a value (SYNC-12, weak point 1)."""
    simulation, _, b = pair()
    simulation.run(10)
    assert b.engine.freshness(SIMPLE, 5, b.clock()).stale == ("a",)

    token = b.query(SIMPLE, 5)
    simulation.run(1)

    assert b.answers[token].is_fresh
    assert b.engine.freshness(SIMPLE, 5, b.clock()).is_fresh
    assert b.engine.health(SIMPLE, 5, b.clock()).status == "healthy"
    assert (b.engine.metrics.unchanged_received, b.engine.metrics.stale_snapshots_discarded) == (1, 0)


def test_p2_suppressed_deltas_are_carried_by_the_next_one() -> None:
    """One message brings the peer to age 3, and it asks for nothing (SYNC-17, EXAMPLE-06)."""
    simulation, a, b = pair()

    for urgency in (SyncUrgency.suppress(), SyncUrgency.suppress(), SyncUrgency.default()):
        a.mutate(DELTA, TestDeltaState.adjust(1), urgency)
    simulation.run(1)

    assert (b.value(DELTA, "a"), b.messages(Pull)) == (Shown(3), [])
    [delta] = a.messages(Delta)
    assert (delta.base, delta.generation.age, len(delta.deltas)) == (0, 3, 3)


def test_p3_a_delayed_push_has_one_slot_which_an_immediate_one_takes() -> None:
    """No message overtakes another (SYNC-15, SYNC-14)."""
    simulation, a, b = pair()

    for urgency in (SyncUrgency.delayed(1), SyncUrgency.delayed(2), SyncUrgency.immediate()):
        a.mutate(DELTA, TestDeltaState.adjust(1), urgency)
    simulation.run(5)

    assert (b.value(DELTA, "a"), len(a.messages(Delta)), b.messages(Pull)) == (Shown(3), 1, [])


def test_p4_a_late_word_that_an_earlier_life_left_harms_no_later_one() -> None:
    """Leaves name the incarnation that is meant (LIFE-10, LIFE-09)."""
    simulation, a, b = pair()
    earlier = a.engine.incarnation
    simulation.restart("a", noticed=False)
    simulation.run(1)

    b.tell(Left("a", earlier))
    for counter in (1, 2, 3):
        a.mutate(SIMPLE, to(counter))
    token = b.query(SIMPLE, 0)
    simulation.run(1)

    assert (b.value(SIMPLE, "a"), b.answers[token].is_fresh) == (Value(3), True)


def test_p4_a_live_node_that_was_said_to_have_left_comes_back_by_itself() -> None:
    """It is told, and takes a greater incarnation (LIFE-10)."""
    simulation, a, b = pair()
    before = a.engine.incarnation

    b.tell(Left("a", before))
    a.mutate(SIMPLE, to(7))
    simulation.run(1)

    assert (b.value(SIMPLE, "a"), a.engine.incarnation > before) == (Value(7), True)


class NewReader(TestDeltaState):
    """Writes version 2 and reads 1, too."""

    version = 2
    readable = (1, 2)


@pytest.mark.parametrize("policy", ["keep_stale", "drop_and_wait"])
def test_p5_a_delta_of_an_older_version_that_is_read_is_applied(policy: Any) -> None:
    """One gate for snapshots and deltas (VER-07)."""

    class Reader(NewReader):
        on_unreadable = policy

    simulation = Simulation(settings=QUIET)
    a, b = simulation.add("a", TestDeltaState), simulation.add("b", Reader)
    simulation.run(1)

    a.mutate(DELTA, TestDeltaState.adjust(5))
    simulation.run(1)

    assert (b.value(DELTA, "a"), b.engine.metrics.sync_failures, len(a.messages(Delta))) == (Shown(5), 0, 1)


class NewOnly(TestState):
    version = 2


class Dropping(TestState):
    on_unreadable = "drop_and_wait"


def test_p6_a_peer_that_cannot_be_read_is_named() -> None:
    """A query does not say fresh without it, nor is that healthy (VER-09, FAULT-09)."""
    simulation = Simulation(settings=QUIET)
    a, b = simulation.add("a", NewOnly), simulation.add("b", Dropping)
    simulation.run(1)

    b.tell(Received("a", forged("a", a.engine.incarnation, Feed({SIMPLE: Generation(a.engine.incarnation, 9)}))))
    token = b.query(SIMPLE, 100)
    simulation.run(10)

    assert (b.answers[token].incompatible, b.value(SIMPLE, "a")) == (("a",), None)
    assert b.engine.health(SIMPLE, 100, b.clock()).status == "unhealthy"


@pytest.mark.parametrize("noticed", [True, False])
def test_p7_a_restart_with_a_clock_that_went_back_is_accepted(noticed: bool) -> None:
    """Peers say what they hold of the earlier life, and the new one surpasses it."""
    simulation, a, b = pair()
    for counter in (1, 2, 3):
        a.mutate(SIMPLE, to(counter))
    simulation.run(1)
    a.offset -= 500

    simulation.restart("a", noticed=noticed)
    simulation.run(1)
    a.mutate(SIMPLE, to(100))
    simulation.run(1)

    assert b.value(SIMPLE, "a") == Value(100)
    assert b.engine.freshness(SIMPLE, 1.5, b.clock()).is_fresh


@pytest.mark.parametrize("mutations", [0, 1, 3, 4])
@pytest.mark.parametrize("noticed", [True, False])
def test_p14_a_restart_in_the_same_millisecond_is_accepted(mutations: int, noticed: bool) -> None:
    """Whether the new life is behind the old one, level with it or past it when they meet."""
    simulation, a, b = pair()
    for counter in (1, 2, 3):
        a.mutate(SIMPLE, to(counter))
    simulation.run(1)
    a.offset -= 2

    simulation.restart("a", noticed=noticed)
    assert a.engine.incarnation == 1_700_000_000_000
    for counter in range(mutations):
        a.mutate(SIMPLE, to(100 + counter))
    simulation.run(1)

    assert b.value(SIMPLE, "a") == a.value(SIMPLE, "a")
    assert b.generation(SIMPLE, "a") == a.generation(SIMPLE, "a")


def test_p9_what_is_known_to_be_pending_never_goes_back() -> None:
    """Notes may come in any order (ENV-08, CFA-08)."""
    _simulation, a, b = pair()
    life = a.engine.incarnation

    for age in (10, 8):
        b.tell(Received("a", forged("a", life, Feed({SIMPLE: Generation(life, age)}))))

    assert b.engine.views(SIMPLE, b.clock())["a"].pending == Generation(life, 10)


def test_p10_who_was_not_heard_is_absent() -> None:
    """A member's default value never looks like data."""
    _simulation, _, b = pair()

    b.tell(Joined(Member("c", 1)))

    assert "c" not in b.engine.values(SIMPLE)
    assert "c" not in b.engine.views(SIMPLE, b.clock())
    assert b.engine.freshness(SIMPLE, 1e9, b.clock()).missing == ("c",)


def test_p11_a_note_about_an_absent_view_is_kept() -> None:
    """The peer is missing, and known to have something (weak point 11)."""
    _simulation, _a, b = pair()
    b.tell(Joined(Member("c", 1)))

    b.tell(Received("c", forged("c", 1, Feed({SIMPLE: Generation(1, 4)}))))

    assert [row.remote_age for row in b.engine.status(SIMPLE) if row.node == "c"] == [4]


def test_p16_one_pull_for_each_peer_and_state_is_under_way() -> None:
    """However many queries want it (SHARD-09, FAULT-19)."""
    simulation, _, b = pair()

    tokens = [b.query(SIMPLE, 0) for _ in range(5)]
    assert len(b.messages(Pull)) == 1
    simulation.run(1)

    assert all(b.answers[token].is_fresh for token in tokens)
    assert len(b.messages(Pull)) == 1


def test_p20_a_frame_that_names_the_receiver_is_refused() -> None:
    """Nobody speaks of this node but itself."""
    _simulation, _, b = pair()
    life = b.engine.incarnation
    message = Snapshot(SIMPLE, Generation(life, 99), 1, 0, 0, b"\x81\xa7counter\x63")

    b.tell(Received("b", forged("b", life, message)))
    b.tell(Received("a", forged("b", life, message)))

    assert (b.value(SIMPLE, "b"), b.engine.metrics.refused) == (Value(0), {"forged": 2})


def test_p21_a_forged_source_is_refused() -> None:
    """The transport says who a peer is, and the frame must say the same."""
    simulation, a, b = pair()
    b.tell(Joined(Member("mallory", 1)))
    most = Generation(2**53 - 1, 2**53 - 1)

    b.tell(Received("mallory", forged("a", most.incarnation, Snapshot(SIMPLE, most, 1, 0, 0, b"\x80"))))
    a.mutate(SIMPLE, to(1))
    simulation.run(1)

    assert (b.value(SIMPLE, "a"), b.engine.metrics.refused) == (Value(1), {"forged": 1})


def test_p22_a_lost_last_push_is_repaired_by_a_digest() -> None:
    """Nobody needs to mutate again (weak point 13)."""
    simulation, a, b = pair(settings=Settings(digest_interval=5))
    simulation.network.block("a", "b")
    a.mutate(SIMPLE, to(1))
    simulation.run(0.1)
    simulation.network.heal()

    simulation.run(6)

    assert b.value(SIMPLE, "a") == Value(1)
    assert b.engine.freshness(SIMPLE, 5.6, b.clock()).is_fresh


def test_p23_a_mutation_that_fails_half_way_changes_nothing() -> None:
    """Neither state nor age nor view, also where it changes the state in place (MUT-03)."""
    simulation, a, b = pair(Listed)

    def half(numbers: list[int]) -> list[int]:
        numbers.append(1)
        raise RuntimeError("half-way")

    token = a.mutate("listed", half)
    simulation.run(1)

    assert str(a.results[token]) == "half-way"
    assert (a.engine.shard("listed").state, a.value("listed", "a"), b.value("listed", "a")) == ([], [], [])
    assert a.engine.shard("listed").generation.age == 0


def test_p24_one_lost_delta_with_ten_behind_it_costs_one_pull() -> None:
    """The ten are kept, and applied when the gap is filled (VER-04, FAULT-12, FAULT-16)."""
    simulation, a, b = pair()
    simulation.network.block("a", "b")
    a.mutate(DELTA, TestDeltaState.adjust(1))
    simulation.network.heal()

    for _ in range(10):
        a.mutate(DELTA, TestDeltaState.adjust(1))
    simulation.run(1)

    assert (b.value(DELTA, "a"), len(b.messages(Pull)), b.engine.metrics.snapshots_received) == (Shown(11), 1, 2)


def test_p25_a_lost_first_snapshot_is_pulled() -> None:
    """A digest says that there is something (weak point 13)."""
    simulation = Simulation(TestState, settings=Settings(digest_interval=5))
    a = simulation.add("a")
    a.mutate(SIMPLE, to(1))
    b = simulation.add("b")
    simulation.run(0.0001)
    simulation.network.loss = 1.0
    simulation.run(0.5)
    simulation.network.heal()

    simulation.run(12)

    assert b.value(SIMPLE, "a") == Value(1)


def test_p26_of_two_writers_on_one_store_the_earlier_is_fenced() -> None:
    """Its save is refused, so it publishes nothing that the later one does not know."""
    simulation, a, b = pair(stored=True)
    a.save_error = lambda: PersistFailed(0, Fenced("a", "a later life has begun"))

    token = a.mutate(SIMPLE, to(111))
    simulation.run(1)

    assert isinstance(a.results[token], Fenced)
    assert (a.value(SIMPLE, "a"), b.value(SIMPLE, "a")) == (Value(0), Value(0))


def test_p26_a_node_whose_name_another_takes_says_nothing_more() -> None:
    """The membership tells it; observers hold one value under one generation."""
    simulation, a, b = pair()

    a.tell(Joined(Member("a", a.engine.incarnation + 1)))
    token = a.mutate(SIMPLE, to(111))
    simulation.run(10)

    assert isinstance(a.results[token], Fenced)
    assert (a.messages(Digest), b.value(SIMPLE, "a")) == ([], Value(0))
