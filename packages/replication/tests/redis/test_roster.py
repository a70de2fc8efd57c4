"""Who is there, from beats."""

from __future__ import annotations

import pytest

from perdure_replication import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication.redis._roster import Beat, Roster


class Watch:
    """A roster with its clock."""

    def __init__(self) -> None:
        self.roster = Roster("a", unreachable_after=5, forget_after=60, longest_step=2, most=3)
        self.now = 100.0
        self.roster.pass_time(self.now)

    def wait(self, seconds: int) -> list[MembershipEvent]:
        events = []
        for _ in range(seconds):
            self.now += 1
            events += self.roster.pass_time(self.now)
        return events


@pytest.fixture
def watch() -> Watch:
    return Watch()


def beat(number: int, name: str = "b", *, incarnation: int = 1, address: str = "", left: bool = False) -> Beat:
    return Beat(name, incarnation, bytes(16), number, 0, address, left)


class TestHearing:
    def test_of_a_first_beat_is_a_join(self, watch: Watch) -> None:
        """With the incarnation and the address."""
        assert watch.roster.hear(beat(1, address="here")) == [Joined(Member("b", 1, "here"))]

    def test_of_further_beats_is_nothing(self, watch: Watch) -> None:
        """As long as they go on."""
        events = []
        for number in range(1, 20):
            events += watch.roster.hear(beat(number))
            events += watch.wait(4)

        assert events == [Joined(Member("b", 1))]

    def test_of_a_greater_incarnation_is_a_join(self, watch: Watch) -> None:
        """Its numbers begin anew; and the earlier one is not heard any more."""
        watch.roster.hear(beat(9))

        assert watch.roster.hear(beat(1, incarnation=2)) == [Joined(Member("b", 2))]
        assert watch.roster.hear(beat(10)) == []

    def test_of_another_address_is_a_join(self, watch: Watch) -> None:
        """The member has moved."""
        watch.roster.hear(beat(1))

        assert watch.roster.hear(beat(2, address="there")) == [Joined(Member("b", 1, "there"))]

    def test_of_the_last_beat_is_a_leave(self, watch: Watch) -> None:
        """Once; and what comes late from before says nothing."""
        watch.roster.hear(beat(1))

        assert watch.roster.hear(beat(3, left=True)) == [Left("b", 1)]
        assert watch.roster.hear(beat(2)) == []

    def test_of_a_node_that_has_left_already_is_nothing(self, watch: Watch) -> None:
        """It was never there for us; a later life of it is."""
        assert watch.roster.hear(beat(9, left=True)) == []
        assert watch.roster.hear(beat(1, incarnation=2)) == [Joined(Member("b", 2))]

    def test_of_the_own_name_is_nothing(self, watch: Watch) -> None:
        """Whoever beats in it."""
        assert watch.roster.hear(beat(1, "a")) == []

    def test_of_too_many_is_counted(self, watch: Watch) -> None:
        """Those who are known are heard."""
        for name in "bcde":
            watch.roster.hear(beat(1, name))

        assert watch.roster.turned_away == 1
        assert watch.roster.hear(beat(2, "b", left=True)) == [Left("b", 1)]


class TestSilence:
    def test_makes_a_member_unreachable(self, watch: Watch) -> None:
        """After so many seconds, and not before; once."""
        watch.roster.hear(beat(1))

        assert watch.wait(4) == []
        assert watch.wait(20) == [Unreachable("b", 1)]

    def test_is_not_ended_by_an_old_beat(self, watch: Watch) -> None:
        """Whoever repeats it keeps nobody alive."""
        watch.roster.hear(beat(1))

        events = []
        for _ in range(10):
            events += watch.roster.hear(beat(1))
            events += watch.wait(1)

        assert events == [Unreachable("b", 1)]

    def test_is_ended_by_a_new_beat(self, watch: Watch) -> None:
        """The member has joined again."""
        watch.roster.hear(beat(1))
        watch.wait(10)

        assert watch.roster.hear(beat(2)) == [Joined(Member("b", 1))]

    def test_of_long_is_a_leave(self, watch: Watch) -> None:
        """And then nothing is known of it: it may join again."""
        watch.roster.hear(beat(1))

        assert watch.wait(70) == [Unreachable("b", 1), Left("b", 1)]
        assert watch.roster.hear(beat(2)) == [Joined(Member("b", 1))]

    def test_counts_only_while_somebody_listened(self, watch: Watch) -> None:
        """A process that was stopped for an hour has heard nobody, and accuses nobody."""
        watch.roster.hear(beat(1))
        watch.now += 3600

        assert watch.wait(1) == []

    def test_of_a_broker_that_was_away_counts_for_nobody(self, watch: Watch) -> None:
        """It begins anew."""
        for name in "bc":
            watch.roster.hear(beat(1, name))
        watch.wait(4)

        watch.roster.listen_again()

        assert watch.wait(4) == []
        assert watch.roster.hear(beat(2, "b")) == []
        assert watch.wait(3) == [Unreachable("c", 1)]

    def test_of_ours_lets_members_join_again(self, watch: Watch) -> None:
        """Each once, when it is heard: it may have said what was missed."""
        watch.roster.hear(beat(1))

        watch.roster.greet_again()

        assert watch.roster.hear(beat(2)) == [Unreachable("b", 1), Joined(Member("b", 1))]
        assert watch.roster.hear(beat(3)) == []
