"""Keys sort as what they stand for, and never mean two things."""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from perdure.abc import MAX_KEY
from perdure_rocksdb import _keys as keys

names = st.from_regex(r"[a-z][a-z0-9_]{0,47}", fullmatch=True)
characters = st.characters(exclude_characters="\0", exclude_categories=("Cs",))
prefixes = st.text(characters, min_size=1).filter(lambda text: len(text.encode()) <= 1024)
like_prefixes = st.one_of(prefixes, st.text("ab./\x01\x7f", min_size=1, max_size=5))
numbers = st.one_of(st.integers(1, MAX_KEY), st.integers(1, 300), st.sampled_from([2**31, 2**32, 2**53, MAX_KEY]))

Place: TypeAlias = tuple[str, str, int]
places = st.tuples(st.one_of(names, st.sampled_from(["a", "aa", "a_"])), like_prefixes, numbers)


@given(places, places)
def test_entries_sort_by_name_prefix_and_number(one: Place, other: Place) -> None:
    """Keys of entries compare as their names, prefixes (by code point) and numbers do; equal only if all are."""
    assert (keys.entry(*one) < keys.entry(*other)) == (one < other)
    assert (keys.entry(*one) == keys.entry(*other)) == (one == other)


@given(places, places)
def test_a_log_begins_like_its_own_entries_alone(one: Place, other: Place) -> None:
    """What a log's keys begin with is the beginning of no other log's keys."""
    assert keys.entry(*one).startswith(keys.log(*other[:2])) == (one[:2] == other[:2])


@given(places, like_prefixes, numbers, numbers)
def test_a_range_has_its_own_entries_alone(place: Place, prefix: str, start: int, stop: int) -> None:
    """An entry is in a range exactly if it is of that log and its number is in the bounds."""
    within = keys.log_range(place[0], prefix, start, stop)

    is_in = within.start <= keys.entry(*place) < within.stop

    assert is_in == (place[1] == prefix and start <= place[2] < stop)


@given(places, st.one_of(like_prefixes, st.text(max_size=5)))
def test_behind_a_text_are_the_greater_prefixes(place: Place, text: str) -> None:
    """Behind any text, be it a valid prefix or not, are exactly the entries whose prefix is greater."""
    assert (keys.entry(*place) >= keys.behind(place[0], text)) == (place[1] > text)


@given(names, names, st.one_of(numbers, st.just(MAX_KEY)), prefixes)
def test_behind_a_name_are_the_greater_names(name: str, other: str, number: int, prefix: str) -> None:
    """All keys of a collection, in the feed and among the entries, are below what is behind its name; no others are."""
    for key in (keys.feed(name, number), keys.entry(name, prefix, number)):
        assert key < keys.behind_name(name)
        assert (key < keys.behind_name(other)) == (name <= other)


@given(st.tuples(names, prefixes), st.tuples(names, prefixes))
def test_states_do_not_meet(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Two states have one key only if they are the same."""
    assert (keys.state(*one) == keys.state(*other)) == (one == other)


@given(places)
def test_keys_are_read_back(place: Place) -> None:
    """Name, prefix and number come back from a key and from a place in the feed."""
    name, prefix, number = place
    key = keys.entry(*place)

    assert (keys.prefix_of(name, key), keys.number_at_end(key)) == (prefix, number)
    assert (keys.prefixes_of(name, [key]), keys.numbers_at_end([key])) == ([prefix], [number])


@given(places)
def test_a_place_in_the_feed_leads_to_its_entry(place: Place) -> None:
    """Behind what a collection's entries begin with, the value of a place in its feed is the key of the entry."""
    name, prefix, number = place

    assert keys.all_of(name) + prefix.encode() + b"\0" + keys.number(number) == keys.entry(name, prefix, number)


@given(st.integers(0, 2**40), st.one_of(st.none(), st.binary()))
def test_states_are_read_back(version: int, value: bytes | None) -> None:
    """A state's version and value come back; no value is not the empty value."""
    assert keys.unpack_state(keys.pack_state(version, value)) == (version, value)
