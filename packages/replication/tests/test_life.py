"""Members that come, go, come back, and pretend; and what bounds them."""

from __future__ import annotations

from perdure.errors import OutcomeUnknown
from perdure_replication import (
    Claimed,
    Digest,
    Fenced,
    Generation,
    Goodbye,
    Hello,
    Joined,
    Left,
    Limits,
    Member,
    Mutate,
    Obsolete,
    Persist,
    Persisted,
    PersistFailed,
    Pull,
    Received,
    Settings,
    Snapshot,
    Tick,
    Unreachable,
)
from perdure_replication.testing import Simulation, TestDeltaState, TestState, Value

from .nodes import DELTA, SIMPLE, cluster, forged, hand, pair, to
from .test_order import deltas

SETTINGS = Settings(digest_interval=2)


class TestJoining:
    def test_a_node_gets_all_views_and_all_get_its_own(self) -> None:
        """Of every state (LIFE-01, LIFE-02, LIFE-03, INT-08, SHARD-05, PVM-03, FAULT-14)."""
        simulation = cluster("abc")
        for node in simulation.live():
            node.mutate(SIMPLE, to(ord(node.name)))

        simulation.add("d").mutate(SIMPLE, to(ord("d")))
        simulation.run(1)

        for node in simulation.live():
            assert {name: node.value(SIMPLE, name).counter for name in "abcd"} == {name: ord(name) for name in "abcd"}
            assert set(node.engine.values(DELTA)) == set("abcd")

    def test_twice_overwrites_nothing(self) -> None:
        """A report may come twice (3.16)."""
        simulation, a, b = pair()
        a.mutate(SIMPLE, to(1))
        simulation.run(1)
        b.sent.clear()

        b.tell(Joined(Member("a", a.engine.incarnation)))

        assert (b.value(SIMPLE, "a"), b.sent) == (Value(1), [])

    def test_costs_one_snapshot_of_each_state_and_direction(self) -> None:
        """Though both say hello at once."""
        _, a, b = pair()

        assert [len(node.messages(Snapshot)) for node in (a, b)] == [2, 2]

    def test_brings_again_what_who_greets_lacks(self) -> None:
        """What was sent to it a moment ago may be lost, and so may be what was sent to who was away."""
        _, a, b = pair(TestState)
        a.mutate(SIMPLE, to(1))
        greeting, answer = (Hello(b.engine._standings(), {SIMPLE: (1,)}, {}, answers) for answers in (True, False))
        brought = []

        for told in (
            Received("b", forged("b", b.engine.incarnation, greeting)),
            Received("b", forged("b", b.engine.incarnation, greeting)),
            Received("b", forged("b", b.engine.incarnation, answer)),
            Unreachable("b", b.engine.incarnation),
            Received("b", forged("b", b.engine.incarnation, answer)),
        ):
            a.sent.clear()
            a.tell(told)
            brought.append(len(a.messages(Snapshot)))

        assert brought == [1, 1, 0, 0, 1]

    def test_a_lost_hello_is_said_again(self) -> None:
        """With the next digest."""
        simulation = Simulation(TestState, settings=SETTINGS)
        simulation.network.loss = 1.0
        a, b = simulation.add("a"), simulation.add("b")
        simulation.run(1)
        simulation.network.heal()

        simulation.run(3)

        assert (a.value(SIMPLE, "b"), b.value(SIMPLE, "a")) == (Value(), Value())


class TestLeaving:
    def test_removes_the_views_everywhere(self) -> None:
        """Of all states; and those who follow are told (LIFE-04, LIFE-06, SHARD-06, INT-09, DIAG-25)."""
        simulation = cluster("abc")

        simulation.leave("c")
        simulation.run(1)

        for node in (simulation["a"], simulation["b"]):
            assert all("c" not in node.engine.values(state) for state in (SIMPLE, DELTA))
            assert [row.node for row in node.engine.status(SIMPLE)] == ["a", "b"] or node.name == "b"
            assert ("c", "removed") in [(change.node, change.kind) for change in node.changes]

    def test_messages_that_come_after_it_are_refused(self) -> None:
        """Of every kind, and without a trace (LIFE-05, FAULT-11, FAULT-21)."""
        simulation, a, b = pair()
        life = a.engine.incarnation
        simulation.crash("a")
        simulation.run(1)
        b.sent.clear()

        for message in (
            Snapshot(SIMPLE, Generation(life, 9), 1, 0, 0, b"\x80"),
            Pull(SIMPLE, None, (1,), 7),
            Digest({}),
        ):
            hand(b, a, message)

        assert ("a" in b.engine.values(SIMPLE), b.messages(Snapshot)) == (False, [])
        assert b.engine.metrics.refused == {"departed": 3}

    def test_of_an_unknown_node_is_nothing(self) -> None:
        """But remembered (3.16)."""
        _, _, b = pair()

        b.tell(Left("nobody", 7))
        b.tell(Received("nobody", forged("nobody", 7, Digest({}))))

        assert b.engine.metrics.refused == {"departed": 1}

    def test_and_joining_ten_times_leaves_no_ghost(self) -> None:
        """However fast (CHAOS-04)."""
        simulation = cluster("abc", settings=SETTINGS)

        for _ in range(10):
            simulation.crash("c")
            simulation.run(0.01)
            simulation.start("c")
            simulation.run(0.01)
        simulation.crash("c")
        simulation.run(10)

        assert [node.engine.members for node in simulation.live()] == [("b",), ("a",)]
        assert [set(node.engine.values(SIMPLE)) for node in simulation.live()] == [{"a", "b"}] * 2

    def test_is_forgotten_after_a_time(self) -> None:
        """The departed are bounded in time, too (weak point 19)."""
        simulation, a, b = pair(settings=Settings(digest_interval=2, limits=Limits(departed_seconds=60)))
        simulation.crash("a")
        simulation.run(100)

        b.tell(Received("a", forged("a", a.engine.incarnation, Digest({}))))

        assert b.engine.metrics.refused == {"stranger": 1}

    def test_by_goodbye_needs_no_membership(self) -> None:
        """The node itself says so (weak point 30)."""
        _, a, b = pair()

        hand(b, a, Goodbye())

        assert (b.engine.members, dict(b.engine.values(SIMPLE))) == ((), {"b": Value()})


class TestRestart:
    def test_without_a_store_begins_a_greater_life(self) -> None:
        """It is accepted at age 0, and at once (LIFE-07, INC-01, INC-04, FAULT-05, TEST-13, MOCK-03, E2E-F05)."""
        simulation, a, b = pair()
        for _ in range(5):
            a.mutate(SIMPLE, to(9))
        simulation.run(1)
        before = a.engine.incarnation

        simulation.restart("a")
        simulation.run(1)

        assert a.engine.incarnation > before
        assert (b.value(SIMPLE, "a"), b.generation(SIMPLE, "a")) == (Value(), Generation(a.engine.incarnation, 0))

    def test_with_a_store_goes_on_at_its_age(self) -> None:
        """In a greater life, so that what an older backup holds is no other value of one generation (LIFE-08)."""
        simulation, a, b = pair(stored=True)
        for counter in (1, 2, 3):
            a.mutate(SIMPLE, to(counter))
            simulation.run(0.1)

        simulation.restart("a")
        simulation.run(1)

        assert (b.value(SIMPLE, "a"), b.generation(SIMPLE, "a")) == (Value(3), Generation(a.engine.incarnation, 3))

    def test_from_an_older_backup_is_accepted(self) -> None:
        """Its age is lower, its life greater (weak point 7)."""
        simulation, a, b = pair(stored=True)
        a.mutate(SIMPLE, to(1))
        simulation.run(1)
        backup = dict(a.records)
        a.mutate(SIMPLE, to(2))
        simulation.run(1)

        a.records = backup
        simulation.restart("a")
        simulation.run(1)

        assert (b.value(SIMPLE, "a"), b.generation(SIMPLE, "a")) == (Value(1), Generation(a.engine.incarnation, 1))

    def test_before_it_was_missed_is_accepted(self) -> None:
        """Its first frame says that it is another life (LIFE-09)."""
        simulation, a, b = pair()
        a.mutate(SIMPLE, to(5))
        simulation.run(1)
        simulation.crash("a", noticed=False)
        a._boot()

        a.tell(Joined(Member("b", b.engine.incarnation)))
        simulation.run(1)

        assert b.generation(SIMPLE, "a") == Generation(a.engine.incarnation, 0)

    def test_after_a_crash_between_save_and_push_is_caught_up_with(self) -> None:
        """What was stored and never sent comes with the hello (PERSIST-20, PERSIST-17, PERSIST-18)."""
        simulation, a, b = pair(stored=True)
        simulation.network.block("a", "b")
        a.mutate(SIMPLE, to(1))
        simulation.run(1)
        simulation.network.heal()

        simulation.restart("a")
        simulation.run(1)

        assert (b.value(SIMPLE, "a"), a.value(SIMPLE, "b")) == (Value(1), Value())

    def test_after_a_crash_before_the_save_has_lost_that_mutation_alone(self) -> None:
        """Nobody has seen it (PERSIST-19)."""
        simulation, a, b = pair(stored=True)
        a.mutate(SIMPLE, to(1))
        simulation.run(1)
        a.mutate(SIMPLE, to(2))

        simulation.restart("a")
        simulation.run(1)

        assert (b.value(SIMPLE, "a"), a.value(SIMPLE, "a")) == (Value(1), Value(1))
        assert not any(change.view == Value(2) for change in b.changes)

    def test_of_everybody_at_once_converges(self) -> None:
        """Nobody needs to stay (CHAOS-03)."""
        simulation = cluster("abc", settings=SETTINGS, stored=True)
        for node in simulation.live():
            node.mutate(SIMPLE, to(ord(node.name)))
        simulation.run(1)

        for name in "abc":
            simulation.crash(name, noticed=False)
        for name in "abc":
            simulation.start(name)
        simulation.run(5)

        assert all(node.value(SIMPLE, name) == Value(ord(name)) for node in simulation.live() for name in "abc")


class TestIncarnations:
    def test_a_claim_is_made_once_at_a_time(self) -> None:
        """A peer that insists costs no more than one (weak point 6)."""
        _, a, b = pair()
        life = a.engine.incarnation

        for _ in range(100):
            hand(a, b, Obsolete(life, Generation(life, 99), SIMPLE))

        assert a.engine.metrics.refutations == 1

    def test_what_was_said_in_an_earlier_life_is_not_answered_for(self) -> None:
        """A late message is no reason to begin anew."""
        simulation, a, b = pair()
        a.mutate(SIMPLE, to(1))
        life = a.engine.incarnation

        hand(a, b, Obsolete(life - 1, Generation(life, 0)))
        hand(a, b, Obsolete(life, Generation(life, 1), SIMPLE))
        hand(a, b, Obsolete(life, Generation(life, 99), "no_such_state"))
        simulation.run(1)

        assert a.engine.incarnation == life

    def test_a_peer_that_lies_cannot_use_them_up(self) -> None:
        """The lead that one word can give is bounded (weak point 21)."""
        _, a, b = pair()
        life = a.engine.incarnation

        hand(a, b, Obsolete(life, Generation(2**53 - 1, 0)))
        hand(a, b, Obsolete(life, Generation(2**53 - 2, 0)))

        assert (a.engine.metrics.refutations, a.engine.metrics.limited) == (0, {"incarnation_lead": 2})

    def test_a_greater_one_keeps_values_and_ages(self) -> None:
        """Peers see the same under another generation."""
        simulation, a, b = pair()
        a.mutate(SIMPLE, to(1))
        simulation.run(1)
        greater = a.engine.incarnation + 5

        a.tell(Claimed(greater))
        simulation.run(1)
        a.mutate(SIMPLE, to(2))
        simulation.run(1)

        assert (b.value(SIMPLE, "a"), b.generation(SIMPLE, "a")) == (Value(2), Generation(greater, 2))

    def test_own_name_with_own_incarnation_is_nothing(self) -> None:
        """The membership may report a node to itself."""
        simulation, a, b = pair()

        a.tell(Joined(Member("a", a.engine.incarnation)))
        a.tell(Left("a", a.engine.incarnation))
        a.tell(Unreachable("a", a.engine.incarnation))
        a.mutate(SIMPLE, to(1))
        simulation.run(1)

        assert b.value(SIMPLE, "a") == Value(1)

    def test_a_fenced_node_answers_nobody(self) -> None:
        """Not even what is asked of it (P26)."""
        _, a, b = pair()
        a.tell(Joined(Member("a", a.engine.incarnation + 1)))
        a.sent.clear()

        hand(a, b, Pull(SIMPLE, None, (1,), 1))
        a.tell(Tick())

        assert a.sent == []

    def test_mutations_that_wait_when_it_is_fenced_fail(self) -> None:
        """Those behind the save that was refused, too."""
        simulation, a, _ = pair(stored=True)
        first = a.mutate(SIMPLE, to(1))
        second = a.mutate(SIMPLE, to(2))
        a.tell(Joined(Member("a", a.engine.incarnation + 1)))

        simulation.run(1)

        assert isinstance(a.results[first], Generation)
        assert isinstance(a.results[second], Fenced)

    def test_a_save_of_unknown_outcome_is_not_repeated_when_fenced(self) -> None:
        """The later life decides; the caller is told why (P26)."""
        simulation, a, _ = pair(stored=True)
        a.save_error = lambda: PersistFailed(0, OutcomeUnknown("commit", "?"), True)
        token = a.mutate(SIMPLE, to(1))
        simulation.run(0.1)
        a.tell(Joined(Member("a", a.engine.incarnation + 1)))
        second = a.mutate(SIMPLE, to(2))

        simulation.run(5)

        assert isinstance(a.results[token], Fenced)
        assert isinstance(a.results[second], Fenced)
        assert a.value(SIMPLE, "a") == Value(0)


class TestGate:
    def test_strangers_are_refused(self) -> None:
        """Whom the membership never named leaves no trace (weak points 19, 24)."""
        _, a, _ = pair()

        a.tell(Received("mallory", forged("mallory", 1, Hello({}, {}, {}, True))))

        assert (a.engine.members, a.engine.metrics.refused) == (("b",), {"stranger": 1})

    def test_another_cluster_is_refused(self) -> None:
        """Though the name is known (weak point 32)."""
        _, a, b = pair()

        a.tell(Received("b", forged("b", b.engine.incarnation, Digest({}), cluster="other")))

        assert ("b" in a.engine.values(SIMPLE), a.engine.metrics.refused) == (True, {"foreign": 1})

    def test_refusals_do_not_fill_the_log(self) -> None:
        """The first, second, fourth … is noted; all are counted."""
        _, a, _ = pair()

        for _ in range(1000):
            a.tell(Received("mallory", forged("mallory", 1, Digest({}))))

        assert (a.engine.metrics.refused["stranger"], len(a.notes)) == (1000, 10)

    def test_rubbish_is_counted(self) -> None:
        """And nothing else (FAULT-04)."""
        _, a, _ = pair()

        for data in (b"", b"\x00" * 100, forged("b", 1, Digest({}))[:-1]):
            a.tell(Received("b", data))

        assert a.engine.metrics.refused == {"damaged": 3}


class TestLimits:
    def test_of_members(self) -> None:
        """Who finds no room is not there (weak point 19)."""
        _, a, _ = pair(settings=Settings(digest_interval=1e9, limits=Limits(members=2)))

        for number in range(5):
            a.tell(Joined(Member(f"c{number}", 1)))

        assert (a.engine.members, a.engine.metrics.limited) == (("b", "c0"), {"members": 4})

    def test_of_departed(self) -> None:
        """The oldest are forgotten (weak point 19)."""
        _, a, _ = pair(settings=Settings(digest_interval=1e9, limits=Limits(departed=2)))

        for number in range(5):
            a.tell(Left(f"c{number}", 1))
        a.tell(Received("c0", forged("c0", 1, Digest({}))))
        a.tell(Received("c4", forged("c4", 1, Digest({}))))

        assert a.engine.metrics.limited == {"departed": 3}
        assert a.engine.metrics.refused == {"stranger": 1, "departed": 1}

    def test_of_mutations_that_wait(self) -> None:
        """The error says what to do; the others are made (ERR-03)."""
        simulation, a, _ = pair(stored=True, settings=Settings(digest_interval=1e9, limits=Limits(waiting=3)))

        tokens = [a.mutate(SIMPLE, to(number)) for number in range(6)]
        simulation.run(1)

        assert [isinstance(a.results[token], Generation) for token in tokens] == [True] * 4 + [False] * 2
        assert "3 mutations wait for the store" in str(a.results[tokens[-1]])

    def test_of_deltas_that_came_too_early(self) -> None:
        """Those over it are pulled with the rest (weak point 16)."""
        _, a, b = pair(settings=Settings(digest_interval=1e9, limits=Limits(ahead=2)))

        for base in range(1, 6):
            hand(b, a, deltas(a.engine.incarnation, base, 1))

        assert b.engine.metrics.limited == {"ahead": 3}

    def test_of_queries(self) -> None:
        """What is over is answered with what there is."""
        _, _, b = pair(settings=Settings(digest_interval=1e9, limits=Limits(queries=2)))

        tokens = [b.query(SIMPLE, 0) for _ in range(3)]

        assert [token in b.answers for token in tokens] == [False, False, True]
        assert b.answers[tokens[2]].stale == ("a",)

    def test_of_a_view_that_grew_too_large(self) -> None:
        """It is not sent, and it is said so; deltas go on (FAULT-22)."""
        settings = Settings(digest_interval=2, limits=Limits(view_bytes=60))
        simulation, a, _ = pair(TestDeltaState, settings=settings)

        a.mutate(DELTA, TestDeltaState.adjust(1, "x" * 55))
        simulation.add("c")
        simulation.run(10)

        assert simulation["c"].engine.freshness(DELTA, 100, simulation["c"].clock()).missing == ("a",)
        assert a.engine.metrics.limited["view_bytes"] >= 1
        assert any("more than 60 bytes" in note.text for note in a.notes)


def test_an_unreachable_member_keeps_its_view_and_is_not_asked() -> None:
    """Until it is there again (LIFE-11, LIFE-12, LIFE-13)."""
    simulation, a, b = pair(settings=SETTINGS)
    simulation.lose("a")
    simulation.network.partition("a", "b")
    simulation.run(10)
    token = b.query(SIMPLE, 1)
    a.mutate(SIMPLE, to(1))

    assert (b.answers[token].stale, b.answers[token].unreachable, b.messages(Pull)) == (("a",), ("a",), [])
    assert b.value(SIMPLE, "a") == Value(0)

    simulation.network.heal()
    simulation._announce(a)
    simulation.run(1)

    assert b.value(SIMPLE, "a") == Value(1)


def test_nothing_is_sent_before_it_is_stored() -> None:
    """Whatever happens between: ticks, digests, hellos, pulls (PERSIST-09, PERSIST-10)."""
    simulation, a, b = pair(stored=True, settings=SETTINGS)
    a.save_delay = 100.0

    a.mutate(SIMPLE, to(1))
    simulation.add("c")
    b.query(SIMPLE, 0)
    simulation.run(50)

    assert {node.value(SIMPLE, "a").counter for node in simulation.live()} == {0}
    assert all(message.generation.age == 0 for message in a.messages(Snapshot))
    assert all(digest.standings[SIMPLE].generation.age == 0 for digest in a.messages(Digest))


def test_the_engine_says_nothing_of_a_mutation_but_that_it_be_stored() -> None:
    """One action, and no other (PERSIST-01)."""
    _, a, _ = pair(stored=True)

    actions = a.engine.receive(Mutate(99, SIMPLE, to(1), 5), a.clock())

    assert [type(action) for action in actions] == [Persist]


def test_persisted_of_an_unknown_token_is_nothing() -> None:
    """A late word of the store."""
    _, a, _ = pair(stored=True)

    assert a.engine.receive(Persisted(12345), a.clock()) == []
    assert a.engine.receive(PersistFailed(12345, OSError()), a.clock()) == []
