"""The laws of merging, which hold of whatever writers can come to know."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure_replication.merge import Knowledge, MergedState

from .acts import STATES, Likes, act, defined, play, writers

steps = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 999)), max_size=25)
three = st.tuples(*[st.integers(0, 999)] * 3)
states = st.sampled_from(STATES)
many = settings(max_examples=150)


def picked(state: type[MergedState[Any]], steps: Any, choices: tuple[int, ...]) -> list[Knowledge[Any]]:
    pool = play(writers(state), steps)
    return [pool[choice % len(pool)] for choice in choices]


@many
@given(state=states, steps=steps, choices=three)
def test_merging_is_a_join(state: type[MergedState[Any]], steps: Any, choices: tuple[int, int, int]) -> None:
    """Commutative, associative, idempotent: of whole knowledge and of fragments."""
    a, b, c = picked(state, steps, choices)

    assert a.merge(b) == b.merge(a)
    assert a.merge(b.merge(c)) == a.merge(b).merge(c)
    assert a.merge(a) is a
    assert a.merge(b).merge(b) == a.merge(b)


@many
@given(state=states, steps=steps, choices=three)
def test_what_one_has_beyond_another_makes_up_for_all_of_it(
    state: type[MergedState[Any]], steps: Any, choices: tuple[int, int, int]
) -> None:
    """A fragment does to the other what the whole would do, and there is none where nothing is missing."""
    a, b, _ = picked(state, steps, choices)

    assert b.merge(a.beyond(b)) == b.merge(a)
    assert not a.beyond(a.merge(b))


@many
@given(state=states, steps=steps, choices=st.lists(st.integers(0, 999), max_size=8))
def test_a_write_only_adds_to_what_is_known(state: type[MergedState[Any]], steps: Any, choices: list[int]) -> None:
    """What was known, merged with what is known after a write, is the latter; and so is what was, with the fragment."""
    group = writers(state)
    play(group, steps)
    before = group[0].known

    fragment = group[0].write(lambda value: [act(value, choice) for choice in choices])

    assert before.merge(group[0].known) == group[0].known == before.merge(fragment)


@many
@given(state=states, steps=steps)
def test_a_write_sees_itself(state: type[MergedState[Any]], steps: Any) -> None:
    """Inside an update the value is what it will be after it."""
    group = writers(state)
    play(group, steps)
    inside: list[str] = []

    def change(value: Any) -> None:
        for choice in (0, 3, 8, 7, 4, 11, 14):
            act(value, choice)
        inside.append(shown(value))

    group[0].write(change)

    assert inside == [shown(group[0].value)]


@many
@given(state=states, steps=steps)
def test_a_write_is_given_what_is_known(state: type[MergedState[Any]], steps: Any) -> None:
    """Also where its writer has written before, and heard of others since."""
    group = writers(state)
    play(group, steps)
    given: list[str] = []

    for writer in group:
        writer.write(lambda value: given.append(shown(value)))

    assert given == [shown(writer.value) for writer in group]


def shown(value: Any) -> str:
    """Return a value as text, whatever the order of its elements."""
    return "".join(sorted(repr(value)))


@many
@given(state=states, steps=steps, choices=three)
def test_it_can_be_sent_and_stored(state: type[MergedState[Any]], steps: Any, choices: tuple[int, int, int]) -> None:
    """What is encoded is read back; what is equal has equal bytes."""
    definition = defined(state)
    a, b, _ = picked(state, steps, choices)

    data = definition.encode_view(a.merge(b), 1)

    assert definition.decode_view(data, 1) == a.merge(b)
    assert definition.encode_state(b.merge(a)) == data


@many
@given(state=states, steps=steps)
def test_after_quiet_nothing_but_facts_is_left(state: type[MergedState[Any]], steps: Any) -> None:
    """Who knows all has one range for each writer, however much was removed; and when all is removed, no facts."""
    group = writers(state)
    play(group, steps)

    for writer in group:
        group[0].hear(writer)
    group[0].write(lambda value: value.clear())

    assert all(len(ranges) == 2 for ranges in group[0].known.seen.values())
    assert group[0].known.facts == {}


def test_a_thousand_removals_leave_a_few_bytes() -> None:
    [writer] = writers(Likes, 1)
    for number in range(1000):
        writer.write(lambda value, number=number: value.add(number))  # type: ignore[misc]

    writer.write(lambda value: value.clear())

    assert len(writer.definition.encode_view(writer.known, 1)) < 20


@pytest.mark.parametrize(
    "writers",
    [
        [[7, [1, 2], [2], [5]]],  # a fact that was not seen
        [[7, [2, 1], [], []]],  # no ranges
        [[7, [1, 3], [1, 2], [5]]],  # a number without a fact
        [[7, [1, 3], [1, 1], [5, 6]]],  # two facts of a number
        [[7, [1, 2], [1], ["x"]]],  # a fact of another type
        [[7, [1, 2], [], []], [7, [2, 3], [2], [5]]],  # a writer twice
    ],
)
def test_what_no_writer_can_have_made_is_not_read(writers: Any) -> None:
    data = msgspec.msgpack.encode(["S", writers])

    with pytest.raises((ValueError, msgspec.ValidationError)):
        Likes().decode_view(data, 1)


@pytest.mark.parametrize("other", [state for state in STATES if state is not Likes])
def test_what_was_made_of_another_kind_is_not_read(other: type[MergedState[Any]]) -> None:
    """Also where its facts look alike: a counter's are whole numbers, as are the elements of a set of them."""
    [writer] = writers(other, 1)
    for choice in range(8):
        writer.write(lambda value, choice=choice: act(value, choice))  # type: ignore[misc]
    data = writer.definition.encode_view(writer.known, 1)

    with pytest.raises((ValueError, msgspec.ValidationError)):
        defined(Likes).decode_view(data, 1)
