"""Publishers and followers without a loop, on a network that fails."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure_replication import KeyedState, Pace
from perdure_replication.keyed import _part
from perdure_replication.keyed._part import Part
from perdure_replication.keyed._views import _View
from perdure_replication.topics import (
    EVERYTHING,
    NOTHING,
    Answer,
    Fetch,
    Follower,
    Interest,
    Page,
    Publisher,
    Read,
    Reply,
    decode_word,
    encode_word,
    interest,
)
from perdure_replication.topics._interest import first_of
from perdure_replication.topics._publisher import MAX_READERS

KEYS = [f"{region}/{number}" for region in ("eu", "us") for number in range(6)]


class Numbers(KeyedState[int]):
    pass


def done(work: Coroutine[Any, Any, Page]) -> Page:
    """Return what a coroutine returns that awaits nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it awaits something")


class Owner:
    """A part with its publisher."""

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.part: Part[int] = Part(1, lambda: self.incarnation)
        self.publisher = Publisher(1)
        self.woken = False
        self.part.attend(self._wake)

    def _wake(self) -> None:
        self.woken = True

    def put(self, key: str, value: int) -> None:
        self.part.put(key, value, Numbers().encode_view(value, 1))

    def drop(self, key: str) -> None:
        if key in self.part.values:
            self.part.delete(key)

    def fetched(self, peer: str, fetch: Fetch, now: float) -> list[Reply]:
        return self._do(self.publisher.fetched(peer, fetch, now), now)

    def tick(self, now: float) -> list[Reply]:
        replies = self.publisher.tick(now)
        if self.woken:
            self.woken = False
            for read in self.publisher.woken():
                replies += self._do(read, now)
        return replies

    def _do(self, next: Read | Reply | None, now: float) -> list[Reply]:
        while isinstance(next, Read):
            page = done(self.part.page(next.fetch.interest, next.after, 200))
            next = self.publisher.paged(next.peer, next.fetch, page, now)
        return [] if next is None else [next]


class World:
    """An owner, some followers, and letters that are lost, doubled, delayed and overtake each other, by a seed."""

    def __init__(self, seed: int, wanted: dict[str, Interest], loss: float = 0.2) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.loss = loss
        self.owner = Owner(1)
        self.letters: list[tuple[float, Callable[[], None]]] = []
        self.sent: list[tuple[str, Answer]] = []
        self.views = {name: _View(Numbers(), "owner", lambda _: None) for name in wanted}
        self.followers = {
            name: Follower("numbers", "owner", each, self.views[name], Pace(), Random(seed), 0.0)
            for name, each in wanted.items()
        }
        for follower in self.followers.values():
            follower.turn_to("owner", 0.0)

    def post(self, deliver: Callable[[], None]) -> None:
        for _ in range(self.random.choice((1, 1, 1, 2))):
            if self.random.random() >= self.loss:
                self.letters.append((self.now + self.random.expovariate(20), deliver))

    def step(self, seconds: float = 0.05) -> None:
        self.now += seconds
        due = [letter for letter in self.letters if letter[0] <= self.now]
        self.letters = [letter for letter in self.letters if letter[0] > self.now]
        for _, deliver in sorted(due, key=lambda letter: letter[0]):
            deliver()
        self._reply(self.owner.tick(self.now))
        for name in self.followers:
            self._fetch(name)

    def rest(self) -> None:
        """Let the network be as it should, until there is nothing to say."""
        self.loss = 0.0
        for _ in range(1200):
            self.step(0.1)

    def _fetch(self, name: str) -> None:
        fetch = self.followers[name].fetch(self.now)
        if fetch is not None:
            letter = encode_word(fetch)

            def deliver() -> None:
                word = decode_word(letter)
                assert isinstance(word, Fetch)
                self._reply(self.owner.fetched(name, word, self.now))

            self.post(deliver)

    def _reply(self, replies: list[Reply]) -> None:
        for peer, answer in replies:
            self.sent.append((peer, answer))
            self.post(lambda peer=peer, answer=answer: self.followers[peer].receive(answer, self.now))  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(25))
def test_after_quiet_every_view_is_what_its_owner_has(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was lost, doubled, overtaken, deleted, forgotten to be deleted or begun anew, or is wanted now."""
    monkeypatch.setattr(_part, "MAX_GONE", 3)
    wants = [EVERYTHING, interest(prefixes=["eu/"]), interest(["eu/1", "us/1"]), interest(["us/1"], ["eu/"]), NOTHING]
    world = World(seed, {"all": EVERYTHING, "some": wants[seed % 5], "few": wants[2]})
    now_wanted = {"all": EVERYTHING}
    for value in range(600):
        random = world.random
        key = random.choice(KEYS)
        if random.random() < 0.3:
            world.owner.drop(key)
        elif random.random() < 0.5:
            world.owner.put(key, value)
        if random.random() < 0.02:
            for name in ("some", "few"):
                now_wanted[name] = random.choice(wants)
                world.followers[name].want(now_wanted[name], world.now)
        if random.random() < 0.01:
            world.owner = Owner(world.owner.incarnation + 1)
        if random.random() < 0.02:
            server = random.choice((None, "owner"))
            world.followers["all"].turn_to(server, world.now)
        world.step()
    world.followers["all"].turn_to("owner", world.now)

    world.rest()

    for name, view in world.views.items():
        wanted = world.followers[name]._wanted
        assert view.values == {key: value for key, value in world.owner.part.values.items() if wanted.covers(key)}
        assert not wanted or world.followers[name].synced_at > world.now - 6


def test_a_slow_follower_gets_the_last_of_many_changes() -> None:
    world = World(0, {"slow": EVERYTHING}, loss=0.0)
    world.rest()
    world.sent.clear()

    for value in range(1000):
        world.owner.put("x", value)
    world.rest()

    assert [record.data for _, answer in world.sent for record in answer.records] == [Numbers().encode_view(999, 1)]


def test_nothing_is_said_twice_in_quiet() -> None:
    """But that there is nothing new."""
    world = World(0, {"all": EVERYTHING}, loss=0.0)
    for key in KEYS:
        world.owner.put(key, 1)
    world.rest()
    world.sent.clear()

    world.rest()

    assert all(answer.records == [] and answer.at_tip for _, answer in world.sent)
    assert len(world.sent) <= 120 / 5 + 1


def test_an_owner_that_is_silent_is_asked_less_and_less() -> None:
    world = World(0, {"all": EVERYTHING}, loss=1.0)
    asked = []
    follower = world.followers["all"]
    while world.now < 200:
        world.now += 0.1
        if follower.fetch(world.now) is not None:
            asked.append(world.now)

    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[0] < 2
    assert 30 <= pauses[-1] < 46
    assert follower.failures == len(asked) - 1


def test_what_comes_while_a_page_is_read_is_read_too() -> None:
    """It would wait in the source else, until something else comes."""
    publisher = Publisher(1)
    fetch = Fetch("numbers", "owner", 1, 5000, None, EVERYTHING)
    nothing = Page([], b"here", at_tip=True)
    read = publisher.fetched("a", fetch, 0.0)

    woken = publisher.woken()
    again = publisher.paged("a", fetch, nothing, 0.0)
    parked = publisher.paged("a", fetch, nothing, 0.0)

    assert (read, woken, again, parked) == (Read("a", fetch, None), [], Read("a", fetch, b"here"), None)
    assert publisher.woken() == [Read("a", fetch, b"here")]


def test_readers_beyond_the_limit_are_not_heard() -> None:
    publisher = Publisher(1)
    fetch = Fetch("numbers", "owner", 1, 0, None, EVERYTHING)
    for number in range(MAX_READERS):
        publisher.fetched(f"{number}", fetch, 0.0)

    assert publisher.fetched("another", fetch, 0.0) is None
    assert publisher.limited == 1
    assert publisher.fetched("0", fetch, 0.0) is not None


names = st.text("ab", max_size=3)
interests = st.builds(lambda keys, prefixes: interest(keys - {""}, prefixes), st.sets(names), st.sets(names))


@given(interests, interests, names.filter(bool))
def test_what_is_wanted_is_within_or_beyond_what_was(new: Interest, old: Interest, key: str) -> None:
    within, beyond = new.within(old), new.beyond(old)

    assert new.covers(key) == (within.covers(key) or beyond.covers(key))
    assert not within.covers(key) or old.covers(key)


def test_an_interest_is_no_greater_than_a_letter() -> None:
    keys = [f"{number:01000}" for number in range(2000)]

    assert len(first_of(keys).keys) == 100
    assert first_of(["x", "y"]) == interest(["x", "y"])
    with pytest.raises(ValueError, match="an interest has up to 100,000 characters"):
        interest(keys[:101])


@given(st.binary(max_size=40))
def test_a_position_that_is_none_begins_anew(after: bytes) -> None:
    part: Part[int] = Part(1, lambda: 1)
    part.put("x", 1, b"\x01")

    page = done(part.page(EVERYTHING, after, 1000))

    assert page.begins
    assert len(page.records) == 1


def test_a_page_names_one_record_at_least() -> None:
    part: Part[int] = Part(1, lambda: 1)
    for key in KEYS:
        part.put(key, 1, b"\x01" * 100)

    page = done(part.page(EVERYTHING, None, 1))

    assert len(page.records) == 1
    assert not page.at_tip


def test_blanks_are_closed_up() -> None:
    """A key that changes for ever takes no more room."""
    part: Part[int] = Part(1, lambda: 1)
    for value in range(10_000):
        part.put("x", value, b"\x01")

    assert len(part._numbers) < 1100
    assert done(part.page(EVERYTHING, None, 1000)).records[0].generation.age == 10_000
