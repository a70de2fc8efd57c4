"""Who is a member follows from what was heard, of whom, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdure_replication import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication.tcp._roster import Roster
from perdure_replication.tcp._words import MOST_MEMBERS, Introduction, Known

A = Member("a", 5, "a:1")
A_LATER = Member("a", 6, "a:2")


def roster() -> Roster:
    return Roster("own", suspicion=3.0, forget_after=100.0)


def met(member: Member = A, now: float = 0.0) -> Roster:
    """Return a roster with one member that is linked."""
    made = roster()
    made.linked(member.name)
    made.here(member, now)
    return made


def members(*names: str, incarnation: int = 1) -> Introduction:
    return Introduction(tuple(Known(name, incarnation, f"{name}:1") for name in names), ())


def departed(name: str, incarnation: int) -> Introduction:
    return Introduction((), (Known(name, incarnation),))


class TestAMember:
    def test_is_reported_when_it_says_that_it_is_one(self) -> None:
        """A link alone says nothing."""
        made = roster()

        made.linked("a")

        assert made.tick(50.0) == ([], [])
        assert made.here(A, 50.0) == [Joined(A)]

    def test_is_unreachable_when_it_has_no_link_for_some_time(self) -> None:
        """Not before, and once."""
        made = met()
        made.unlinked("a", 10.0)

        told = [made.tick(now)[0] for now in (10.0, 12.9, 13.1, 14.0, 20.0)]

        assert told == [[], [], [Unreachable("a", 5)], [], []]

    def test_that_is_linked_again_in_time_was_never_away(self) -> None:
        """It says again that it is there."""
        made = met()
        made.unlinked("a", 10.0)
        made.linked("a")

        assert made.here(A, 12.0) == [Joined(A)]
        assert made.tick(50.0) == ([], [])

    def test_is_not_blamed_for_time_in_which_nobody_listened(self) -> None:
        """A process that stood still for a minute gives its peers the time they would have had."""
        made = met()
        made.unlinked("a", 10.0)

        told = [made.tick(now, forgiven)[0] for now, forgiven in ((11.0, 0.0), (71.0, 60.0), (72.9, 0.0), (73.1, 0.0))]

        assert told == [[], [], [], [Unreachable("a", 5)]]

    def test_that_comes_back_is_reported_again(self) -> None:
        """With whatever incarnation it has, were it a smaller one."""
        made = met()
        made.unlinked("a", 0.0)
        made.tick(10.0)

        assert made.here(Member("a", 1, "a:1"), 20.0) == [Joined(Member("a", 1, "a:1"))]

    def test_has_left_when_it_was_unreachable_for_long(self) -> None:
        """Then it need not be called any more, and later it is forgotten."""
        made = met()
        made.unlinked("a", 0.0)

        told = [made.tick(now) for now in (4.0, 103.0, 105.0, 206.0)]

        assert told == [([Unreachable("a", 5)], []), ([], []), ([Left("a", 5)], ["a"]), ([], ["a"])]
        assert made.here(A_LATER, 300.0) == [Joined(A_LATER)]

    def test_has_left_when_it_says_so(self) -> None:
        """Once; and what it said of an earlier life does not count."""
        made = met()

        told = [made.leaving("a", incarnation, 1.0) for incarnation in (4, 5, 5)]

        assert told == [[], [Left("a", 5)], []]
        assert made.present() == []

    def test_that_has_left_may_be_there_again(self) -> None:
        """Over the same link."""
        made = met()
        made.leaving("a", 5, 1.0)

        assert made.here(A, 2.0) == [Joined(A)]
        assert made.present() == [A]


class TestHearsay:
    def test_says_whom_to_call(self) -> None:
        """Nobody is reported for it; nobody is called who is linked, or has no address, or is this node itself."""
        made = met()

        events, called = made.introduced(members("a", "b", "own"), 0.0)
        _, nobody = made.introduced(Introduction((Known("c", 1),), ()), 0.0)

        assert (events, called, nobody) == ([], [Member("b", 1, "b:1")], [])
        assert made.present() == [A]

    def test_of_a_departure_counts_where_there_is_no_link(self) -> None:
        """And where it is not of an earlier life."""
        made = met()

        linked = made.introduced(departed("a", 5), 0.0)[0]
        made.unlinked("a", 1.0)
        earlier = made.introduced(departed("a", 4), 1.0)[0]
        rightly = made.introduced(departed("a", 5), 1.0)[0]

        assert (linked, earlier, rightly) == ([], [], [Left("a", 5)])

    def test_is_not_passed_on(self) -> None:
        """Of members those are named who are linked, and of the departed those who said it themselves."""
        made = met()
        made.introduced(members("rumoured"), 0.0)
        for name in ("lost", "gone", "said"):
            made.linked(name)
            made.here(Member(name, 1, "x:1"), 0.0)
        made.unlinked("lost", 0.0)
        made.unlinked("gone", 0.0)
        made.introduced(departed("gone", 1), 0.0)
        made.leaving("said", 1, 0.0)

        assert made.introduction() == Introduction((Known("a", 5, "a:1"),), (Known("said", 1, "x:1"),))

    def test_that_nothing_comes_of_is_forgotten(self) -> None:
        """Whoever was rumoured need not be called any more."""
        made = roster()
        made.introduced(members("b"), 0.0)

        assert [made.tick(now) for now in (99.0, 101.0, 102.0)] == [([], []), ([], ["b"]), ([], [])]

    def test_is_bounded(self) -> None:
        """However many are named, and a true member has room still."""
        made = roster()
        for group in range(3):
            names = [f"{group}-{number}" for number in range(MOST_MEMBERS // 2)]
            made.introduced(members(*names), 0.0)

        assert len(made._entries) == MOST_MEMBERS
        assert made.here(A, 0.0) == [Joined(A)]
        assert len(made._entries) == MOST_MEMBERS


NAMES = st.sampled_from(["a", "b", "c"])
INCARNATIONS = st.integers(1, 4)
HAPPENINGS = st.one_of(
    st.tuples(st.just("link"), NAMES, INCARNATIONS),
    st.tuples(st.just("unlink"), NAMES, INCARNATIONS),
    st.tuples(st.just("here"), NAMES, INCARNATIONS),
    st.tuples(st.just("leaving"), NAMES, INCARNATIONS),
    st.tuples(st.just("departed"), NAMES, INCARNATIONS),
    st.tuples(st.just("members"), NAMES, INCARNATIONS),
    st.tuples(st.just("tick"), st.just(""), st.integers(1, 60)),
)


@given(st.lists(HAPPENINGS, max_size=60))
def test_reports_make_a_story(happenings: list[tuple[str, str, int]]) -> None:
    """Whatever happens, of each node: first joined, unreachable only from there, left once, never while linked."""
    made, now, linked = roster(), 0.0, set[str]()
    story: dict[str, list[MembershipEvent]] = {name: [] for name in "abc"}
    for what, name, number in happenings:
        events: list[MembershipEvent] = []
        match what:
            case "link":
                made.linked(name)
                linked.add(name)
            case "unlink":
                made.unlinked(name, now)
                linked.discard(name)
            case "here" if name in linked:
                events = made.here(Member(name, number, "x:1"), now)
            case "leaving" if name in linked:
                events = made.leaving(name, number, now)
            case "departed":
                events, _ = made.introduced(departed(name, number), now)
                assert all(event.name not in linked for event in events if isinstance(event, Left))
            case "members":
                events, called = made.introduced(members(name, incarnation=number), now)
                assert all(member.name not in linked for member in called)
            case "tick":
                now += number
                events, _ = made.tick(now)
        for event in events:
            about = event.member.name if isinstance(event, Joined) else event.name
            story[about].append(event)

    for events in story.values():
        follow(events)


def follow(events: list[MembershipEvent]) -> None:
    """Check the reports of one node."""
    there: Member | None = None
    reachable = False
    for event in events:
        if isinstance(event, Joined):
            there, reachable = event.member, True
            continue
        assert there is not None
        assert event.incarnation == there.incarnation
        if isinstance(event, Unreachable):
            assert reachable
            reachable = False
        else:
            there = None


@given(st.lists(st.tuples(NAMES, INCARNATIONS), max_size=8))
def test_introductions_commute_and_may_be_repeated(heard: list[tuple[str, int]]) -> None:
    """Whom is to be called does not depend on the order in which it was heard, nor on how often."""
    words = [members(name, incarnation=number) for name, number in heard]
    one, other = roster(), roster()

    for word in words:
        one.introduced(word, 0.0)
    for word in [*reversed(words), *words]:
        other.introduced(word, 0.0)

    assert {*one._entries} == {*other._entries} == {name for name, _ in heard}


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_who_is_connected_in_any_way_finds_each_other(first: set[tuple[int, int]]) -> None:
    """From any links, by calling whom one is told of, all of a connected part are linked with all of it."""
    rosters = {number: Roster(str(number), suspicion=3.0, forget_after=100.0) for number in range(6)}
    links: set[tuple[int, int]] = set()

    def link(one: int, other: int) -> None:
        for near, far in ((one, other), (other, one)):
            links.add((near, far))
            rosters[near].linked(str(far))
            rosters[near].here(Member(str(far), 1, f"{far}:1"), 0.0)

    for one, other in first:
        if one != other:
            link(one, other)
    for _ in range(6):
        for near, far in sorted(links):
            _, called = rosters[far].introduced(rosters[near].introduction(), 0.0)
            for member in called:
                link(far, int(member.name))

    for near, far in links:
        assert {other for each, other in links if each == near} | {near} == {
            other for each, other in links if each == far
        } | {far}
