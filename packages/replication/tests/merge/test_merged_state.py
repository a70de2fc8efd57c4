"""What the declaration of a merged state may say."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import msgspec
import pytest

from perdure_replication import SyncStrategy
from perdure_replication.errors import InvalidState
from perdure_replication.merge import AddWinsSet, Counter, LastWriter, MergedMap, MergedRecord, MergedState

from .acts import Likes, writers

T = TypeVar("T")


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int


class Line(msgspec.Struct, frozen=True):
    begin: Point
    end: Point


class Endless(MergedRecord):
    """A record in which there are such records."""

    parts: MergedMap[str, Endless]


class Counted(MergedRecord):
    """A record with what is no field."""

    limit: ClassVar[int] = 7
    _hidden: int
    count: Counter


class Empty(MergedRecord):
    """A record of nothing."""


class Plain(MergedRecord):
    """A record of something that is not merged."""

    count: int


class Taken(MergedRecord):
    """A record with a field of a name that has a meaning."""

    clear: Counter  # type: ignore[assignment]


class Unknown(MergedRecord):
    """A record of something that is nowhere."""

    count: Nothing  # type: ignore[name-defined]  # noqa: F821


def state_of(kind: Any) -> type[MergedState[Any]]:
    """Return the class of a state of some kind."""

    class Declared(MergedState[kind]):
        """Of that kind."""

    return Declared


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (int, "int is no kind of merged value: use a LastWriter of it, or another kind"),
        (AddWinsSet, r"AddWinsSet does not say its types: write AddWinsSet\[\.\.\.\]"),
        (AddWinsSet[T], "AddWinsSet does not say its types"),  # type: ignore[valid-type]
        (AddWinsSet[list[int]], "list cannot be an element or a key: use a frozen struct, a tuple or plain data"),
        (AddWinsSet[Any], "Any cannot be an element or a key"),
        (MergedMap[str, int], "int is no kind of merged value"),  # type: ignore[type-var]
        (MergedMap[set[int], Counter], "set cannot be an element or a key"),
        (MergedMap[str, MergedMap[str, LastWriter]], "LastWriter does not say its types"),  # type: ignore[type-arg]
        (LastWriter[AddWinsSet[int]], "a register holds no merged value: put that into a MergedMap or a MergedRecord"),
        (Empty, "Empty has no fields: annotate them with kinds of merged values"),
        (Plain, "int is no kind of merged value"),
        (Taken, "Taken cannot have a field clear: every merged value has that already"),
        (Endless, "Endless holds itself, and would have no end"),
        (AddWinsSet[Point | Line], "If a type union contains multiple Struct types, all Struct types must be tagged"),
        (LastWriter[Point | Line], "If a type union contains multiple Struct types, all Struct types must be tagged"),
        (Unknown, "a field of Unknown is of an unknown kind: name 'Nothing' is not defined"),
    ],
)
def test_what_cannot_be_right_is_refused(kind: Any, reason: str) -> None:
    """It says what, and what to do."""
    declared = state_of(kind)

    with pytest.raises(InvalidState, match=f"Declared: .*{reason}"):
        declared()


def test_a_record_may_have_what_is_no_field() -> None:
    [a] = writers(state_of(Counted), 1)

    a.write(lambda counted: counted.count.add(counted.limit))

    assert repr(a.value) == "Counted(count=Counter(7))"


def test_a_state_that_pushes_nothing_is_refused() -> None:
    """Nobody would join it: to join is not a query."""

    class Quiet(Likes):
        strategy = SyncStrategy.feed_lazy_pull()

    with pytest.raises(InvalidState, match="its strategy pushes nothing"):
        Quiet()


def test_a_state_says_its_kind() -> None:
    class Nothing(MergedState):  # type: ignore[type-arg]
        """Says nothing."""

    with pytest.raises(InvalidState, match="T is no kind of merged value"):
        Nothing()


@pytest.mark.parametrize(
    ("kind", "element"),
    [
        (str, "x"),
        (bytes, b"x"),
        (tuple[str, int], ("x", 7)),
        (frozenset[int], frozenset([1])),
        (int | None, None),
        (Point, Point(1, 2)),
    ],
)
def test_elements_and_keys_are_whatever_cannot_change(kind: Any, element: Any) -> None:
    """They come back as what they were."""
    [a] = writers(state_of(MergedMap[kind, AddWinsSet[kind]]), 1)

    a.write(lambda sets: sets.at(element).add(element))

    assert a.value == {element: {element}}


def test_deltas_add_up_to_the_view() -> None:
    """The law of every state with deltas, of what is sent as of what is held back and composed."""
    [a] = writers(Likes, 1)
    likes = a.definition
    before, fragments = a.known, [a.write(lambda value, n=n: value.add(n % 3)) for n in range(9)]  # type: ignore[misc]

    whole = fragments[0]
    for fragment in fragments[1:]:
        whole = likes.compose(whole, fragment)

    sent = likes.decode_delta(likes.encode_delta(whole, 1), 1)
    assert likes.apply(likes.project(before), likes.project_change(sent)) == likes.project(a.known)
