"""What each kind of merged value shows when several have written it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure_replication.errors import MutationRefused, ReadOnlyValue
from perdure_replication.merge import AddWinsSet, LastWriter, MergedState

from .acts import Likes, Members, Orders, Stock, Title, Titles, Total, Writer, writers


class Listed(MergedState[LastWriter[list[str]]]):
    """A register of something that can be changed in place."""


class Point(msgspec.Struct, frozen=True):
    x: int


class Finer(Point, frozen=True):
    """Is sent as a point."""


class Points(MergedState[AddWinsSet[Point]]):
    """A set of structs."""


steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["add", "drop", "hear", "send"]), st.integers(0, 999)), max_size=40
)


class Remembering:
    """The reference: everybody remembers every addition, and every removal with the additions that it knew."""

    def __init__(self) -> None:
        self.additions: frozenset[tuple[int, Any]] = frozenset()
        self.removed: frozenset[tuple[int, Any]] = frozenset()

    @property
    def value(self) -> set[Any]:
        return {element for _, element in self.additions - self.removed}

    def add(self, number: int, element: Any) -> None:
        self.additions |= {(number, element)}

    def drop(self, *elements: Any) -> None:
        self.removed |= {addition for addition in self.additions if addition[1] in elements}

    def hear(self, other: Remembering) -> None:
        self.additions |= other.additions
        self.removed |= other.removed


def heard(writer: Writer, other: Writer, choice: int) -> None:
    """Join all of what another knows, or what it has beyond the own, perhaps twice."""
    fragment = other.known.beyond(writer.known)
    writer.hear(*([other], [fragment], [fragment, fragment])[choice % 3])


@settings(max_examples=150)
@given(steps=steps)
def test_a_set_is_as_if_all_were_remembered(steps: Any) -> None:
    """Added, removed, sent and joined in any order, it has what was added and not removed by one who knew."""
    group, models = writers(Likes), [Remembering() for _ in range(3)]
    for number, (who, what, choice) in enumerate(steps):
        writer, model, element, whom = group[who], models[who], choice % 4, choice % 3
        if what == "add":
            writer.write(lambda value, element=element: value.add(element))  # type: ignore[misc]
            model.add(number, element)
        elif what == "drop":
            writer.write(lambda value, element=element: value.discard(element))  # type: ignore[misc]
            model.drop(element)
        else:
            heard(writer, group[whom], choice)
            model.hear(models[whom])

        assert writer.value == model.value


def test_an_element_that_several_have_added_is_removed_with_all_that_is_known_of_it() -> None:
    group = writers(Likes)
    for writer in group:
        writer.write(lambda likes: likes.add(1))
    group[0].hear(*group[1:])

    group[0].write(lambda likes: likes.remove(1))

    for writer in group[1:]:
        assert together(group[0], writer) == set()


@settings(max_examples=100)
@given(steps=steps)
def test_a_map_of_sets_is_as_if_all_were_remembered(steps: Any) -> None:
    """A key is removed with all of its elements that are known."""
    group, models = writers(Members), [Remembering() for _ in range(3)]
    for number, (who, what, choice) in enumerate(steps):
        writer, model, whom = group[who], models[who], choice % 3
        name, element = "ab"[choice % 2], choice // 2 % 3
        if what == "add":
            writer.write(lambda value, name=name, element=element: value.at(name).add(element))  # type: ignore[misc]
            model.add(number, (name, element))
        elif what == "drop":
            writer.write(lambda value, name=name: value.at(name).clear())  # type: ignore[misc]
            model.drop(*((name, each) for each in range(3)))
        else:
            heard(writer, group[whom], choice)
            model.hear(models[whom])

        assert {(name, each) for name, elements in writer.value.items() for each in elements} == model.value


@given(steps=steps)
def test_a_counter_is_the_sum_of_what_is_known(steps: Any) -> None:
    """No addition is lost or counted twice, however often it is heard."""
    group, known = writers(Total), [dict[int, int]() for _ in range(3)]
    for number, (who, what, choice) in enumerate(steps):
        if what in ("add", "drop"):
            amount = choice if what == "add" else -choice
            group[who].write(lambda value, amount=amount: value.add(amount))  # type: ignore[misc]
            known[who][number] = amount
        else:
            heard(group[who], group[choice % 3], choice)
            known[who] |= known[choice % 3]

        assert group[who].value == sum(known[who].values())


@given(steps=steps)
def test_a_register_shows_the_greatest_stamp_that_is_known(steps: Any) -> None:
    group, known = writers(Title), [dict[Any, str]() for _ in range(3)]
    for number, (who, what, choice) in enumerate(steps):
        writer = group[who]
        if what in ("add", "drop"):
            writer.write(lambda value, number=number: value.set(str(number)))  # type: ignore[misc]
            known[who][writer.value.stamp, who] = str(number)
        else:
            heard(writer, group[choice % 3], choice)
            known[who] |= known[choice % 3]

        assert writer.value.get("") == (known[who][max(known[who])] if known[who] else "")


def two(state: Any, first: Callable[[Any], object]) -> tuple[Writer, Writer]:
    """Return two writers who know what one has done."""
    a, b = writers(state, 2)
    a.write(first)
    b.hear(a)
    return a, b


def without(name: str) -> Callable[[Any], None]:
    """Return what removes a key from a map."""

    def change(value: Any) -> None:
        del value[name]

    return change


def together(a: Writer, b: Writer) -> Any:
    """Let both know all, and return what they see."""
    a.hear(b)
    b.hear(a)
    assert a.known == b.known
    return a.value


def test_to_add_what_is_there_outlives_a_removal_elsewhere() -> None:
    """Adding says that the element is to be there, also to those who did not hear of it."""
    a, b = two(Likes, lambda likes: likes.add(1))

    a.write(lambda likes: likes.add(1))
    b.write(lambda likes: likes.remove(1))

    assert together(a, b) == {1}


def test_to_add_again_and_again_is_one_fact() -> None:
    """What is replaced leaves nothing behind."""
    [a] = writers(Likes, 1)

    for _ in range(100):
        a.write(lambda likes: likes.add(1))

    assert len(a.known.flat()) == 1


def test_a_set_is_a_set() -> None:
    """It compares and combines with plain ones."""
    a, _ = two(Likes, lambda likes: likes.update([1, 2, 3]))

    assert a.value >= {1, 2}
    assert a.value & {3, 4} == {3}
    assert (len(a.value), 2 in a.value, sorted(a.value)) == (3, True, [1, 2, 3])


def test_a_key_that_is_removed_and_changed_stays_with_what_the_changer_gave() -> None:
    """What others gave to it went with the removal."""
    a, b = two(Stock, lambda stock: stock.at("apple").add(10))
    b.write(lambda stock: stock.at("apple").add(5))
    a.hear(b)

    a.write(without("apple"))
    b.write(lambda stock: stock.at("apple").add(1))

    assert together(a, b) == {"apple": 6}


@pytest.mark.parametrize(
    ("state", "inside"),
    [(Likes, lambda likes: likes), (Members, lambda members: members.at("x")), (Orders, lambda order: order.tags)],
)
def test_the_next_change_sees_what_others_have_changed_since_the_last(state: Any, inside: Callable[[Any], Any]) -> None:
    """At whatever depth, though a writer does not begin anew for each change."""
    a, b = two(state, lambda value: inside(value).update(range(10)))
    b.write(lambda value: [inside(value).remove(1), inside(value).add(10), inside(value).add(2)])
    given: list[set[int]] = []

    a.hear(b)
    a.write(lambda value: [given.append(set(inside(value))), inside(value).add(1)])

    assert given == [{0, *range(2, 11)}]
    assert together(a, b) == b.value
    assert set(inside(a.value)) == set(range(11))


def test_a_key_that_is_removed_and_not_changed_is_gone() -> None:
    a, b = two(Titles, lambda titles: titles.at("x").at("y").set("z"))

    a.write(without("x"))

    assert together(a, b) == {}
    assert a.known.facts == {}


def test_a_key_of_a_map_is_there_once_something_is_put_into_it() -> None:
    """To look at one makes none."""
    a, _ = two(Stock, lambda stock: stock.at("apple"))

    assert "apple" not in a.value
    assert (len(a.value), list(a.value), a.value.at("apple")) == (0, [], 0)
    with pytest.raises(KeyError, match="apple"):
        a.value["apple"]


def test_a_register_that_lost_comes_back_when_the_winner_is_removed_by_one_who_knew_it_alone() -> None:
    """A removal takes what was known to who removed: a register's other writes are not forgotten by merging."""
    a, b = writers(Title, 2)
    a.write(lambda title: title.set("early"))
    b.write(lambda title: title.set("late"))
    b.write(lambda title: title.clear())

    assert together(a, b).value == "early"


def test_a_register_keeps_no_write_that_was_known_to_the_next() -> None:
    """However often it is written."""
    a, b = writers(Title, 2)
    for number in range(100):
        for one, other in ((a, b), (b, a)):
            one.write(lambda title, number=number: title.set(f"{number}"))  # type: ignore[misc]
            other.hear(one)

    assert sum(map(len, a.known.facts.values())) == 1


def test_fields_of_a_record_are_changed_together() -> None:
    """One update is one fragment, which is there as a whole or not at all."""
    a, b = writers(Orders, 2)

    def change(order: Any) -> None:
        order.tags.add(7)
        order.lines.at("apple").count.add(2)
        order.lines.at("apple").note.set("green")

    b.hear(a.write(change))

    assert b.value == a.value
    assert repr(b.value.lines) == "MergedMap({'apple': Line(count=Counter(2), note=LastWriter('green'))})"


def test_a_field_of_a_record_is_not_set() -> None:
    """It says how it is changed."""
    [a] = writers(Orders, 1)

    with pytest.raises(AttributeError, match="tags is not set but changed: by its own methods, inside an update"):
        a.value.tags = {7}


@pytest.mark.parametrize("change", [lambda value: value.add(1), lambda value: value.clear()])
def test_a_value_that_was_read_is_not_changed(change: Callable[[Any], object]) -> None:
    """The error says where it is."""
    a, _ = two(Likes, lambda likes: likes.add(1))

    with pytest.raises(ReadOnlyValue, match=r"change it inside `await merged\.update"):
        change(a.value)

    assert a.value == {1}


def test_a_value_that_was_kept_from_an_update_is_not_changed() -> None:
    kept: list[Any] = []
    [a] = writers(Likes, 1)
    a.write(kept.append)

    with pytest.raises(ReadOnlyValue):
        kept[0].add(1)


def test_an_update_that_fails_leaves_no_gap() -> None:
    """Its dots are given out again, for nobody has seen them."""
    [a] = writers(Likes, 1)

    def fail(likes: Any) -> None:
        likes.add(1)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        a.write(fail)
    a.write(lambda likes: likes.add(2))

    assert (a.value, a.known.seen) == ({2}, {1: (1, 2)})


@pytest.mark.parametrize(
    ("state", "change", "error"),
    [
        (Likes, lambda value: value.add("x"), MutationRefused),
        (Likes, lambda value: value.add([1]), TypeError),
        (Likes, lambda value: value.add(math.nan), ValueError),
        (Likes, lambda value: value.remove(1), KeyError),
        (Total, lambda value: value.add(1.5), TypeError),
        (Total, lambda value: value.add(True), TypeError),
        (Total, lambda value: value.add(1 << 70), MutationRefused),
        (Stock, lambda value: value.at(7).add(1), MutationRefused),
        (Title, lambda value: value.set(object()), MutationRefused),
    ],
)
def test_what_cannot_be_replicated_is_refused(state: Any, change: Callable[[Any], object], error: Any) -> None:
    """And nothing has changed."""
    [a] = writers(state, 1)

    with pytest.raises(error):
        a.write(change)

    assert not a.known


def test_what_was_written_is_what_it_is_elsewhere() -> None:
    """Also to the next change on the same node."""
    [a] = writers(Points, 1)
    a.write(lambda points: points.add(Finer(1)))

    a.write(lambda points: points.remove(Point(1)))

    assert a.value == set()


def test_what_a_register_shows_is_a_copy() -> None:
    """Were it changed in place, there would be two facts of one dot, and no node would ever say so."""
    a, b = two(Listed, lambda listed: listed.set(["x"]))

    a.value.value.append("y")
    a.value.get([]).append("y")
    a.write(lambda listed: listed.value.append("y"))

    assert a.value.value == b.value.value == ["x"]
    assert a.known == b.known


def test_keys_of_a_map_may_be_looked_up_while_it_is_gone_through() -> None:
    """And removed."""
    a, _ = two(Stock, lambda stock: [stock.at(name).add(1) for name in ("apple", "pear")])

    seen = [(name, int(a.value.at(f"{name} tree"))) for name in a.value]
    a.write(drained)

    assert seen == [("apple", 0), ("pear", 0)]
    assert a.value == {}


def drained(stock: Any) -> None:
    for name in stock:
        del stock[name]


def test_a_change_that_awaits_is_refused() -> None:
    """It would be over before it has begun."""
    [a] = writers(Likes, 1)

    async def change(likes: Any) -> None:
        likes.add(1)

    with pytest.raises(MutationRefused, match="a change is a function that awaits nothing: await before it"):
        a.write(change)

    assert not a.known


def test_what_was_written_does_not_change_with_what_was_given() -> None:
    """It is encoded and read back before it is known."""
    given = ["x"]
    a, _ = two(Listed, lambda listed: listed.set(given))

    given.append("y")

    assert a.value.value == ["x"]
