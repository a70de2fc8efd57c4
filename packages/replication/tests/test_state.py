"""Definitions of replicated states: types, names, codecs, versions."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure_replication import DeltaDistributedState, DistributedState, SyncUrgency
from perdure_replication._immutable import is_immutable
from perdure_replication.errors import InvalidState, UnknownVersion
from perdure_replication.testing import Adjusted, Secretive, Shown, TestDeltaState, TestState, Tuned, Value

SIMPLE, DELTA = TestState(), TestDeltaState()


@given(value=st.builds(Value, st.integers(-(2**63), 2**63 - 1), st.text()))
def test_a_view_comes_out_as_it_went_in(value: Value) -> None:
    """No codec is written by hand (SM-01, SM-03, DSM-07)."""
    assert SIMPLE.decode_view(SIMPLE.encode_view(SIMPLE.project(value), 1), 1) == value


@given(delta=st.builds(Tuned, st.integers(-(2**63), 2**63 - 1), st.none() | st.text()))
def test_a_delta_comes_out_as_it_went_in(delta: Tuned) -> None:
    """Likewise (DSM-08)."""
    assert DELTA.decode_delta(DELTA.encode_delta(delta, 1), 1) == delta


@pytest.mark.parametrize(
    "decode", [SIMPLE.decode_view, DELTA.decode_view, DELTA.decode_delta, SIMPLE.decode_state, DELTA.decode_state]
)
def test_an_unknown_version_is_refused_by_its_number(decode: Any) -> None:
    """Before a byte is read (SM-02, DSM-09, DSM-10, VER-18)."""
    with pytest.raises(UnknownVersion, match="of version 9; read here: 1"):
        decode(b"rubbish", 9)


def test_malformed_bytes_are_no_unknown_version() -> None:
    """They are told apart (VER-10)."""
    with pytest.raises(msgspec.MsgspecError):
        SIMPLE.decode_view(b"\x93", 1)


def test_a_view_has_what_is_public_alone() -> None:
    """Nothing of the private part is in its bytes (DSM-01)."""
    view = DELTA.project(Secretive(1, "label", 987_654_321))

    assert view == Shown(1, "label")
    assert msgspec.msgpack.encode(987_654_321) not in DELTA.encode_view(view, 1)


def test_a_delta_has_what_is_public_alone() -> None:
    """Nothing of the private part is in its bytes (DSM-02, DSM-04)."""
    delta = DELTA.project_change(Adjusted(2, "label", 987_654_321))

    assert delta == Tuned(2, "label")
    assert msgspec.msgpack.encode(987_654_321) not in DELTA.encode_delta(delta, 1)


changes = st.lists(st.tuples(st.integers(-99, 99), st.none() | st.text(max_size=3), st.integers(0, 9)), max_size=8)


@given(changes=changes)
def test_deltas_applied_in_turn_give_the_view_of_the_last_state(changes: list[tuple[int, str | None, int]]) -> None:
    """The law of delta states (DSM-03, DSM-05, DSM-06)."""
    state, view = DELTA.initial(), DELTA.project(DELTA.initial())

    for by, label, private in changes:
        state, change = TestDeltaState.adjust(by, label, private)(state)
        view = DELTA.apply(view, DELTA.project_change(change))

    assert view == DELTA.project(state)


def test_its_name_is_that_of_the_class() -> None:
    """Unless it says another, which its subclasses keep."""

    class NodeResources(DistributedState[int]):
        def initial(self) -> int:
            return 0

    class Finer(NodeResources):
        pass

    class Other(TestState):
        pass

    assert (NodeResources.name, Finer.name, Other.name) == ("node_resources", "finer", "test_state")


@pytest.mark.parametrize("bad", ["", "Big", "1st", "with-dash", "x" * 41])
def test_a_bad_name_is_refused(bad: str) -> None:
    """It must be one that every store can hold."""

    class Named(TestState):
        name = bad

    with pytest.raises(InvalidState, match=f"Named: '{bad}' is no name"):
        Named()


def test_types_must_be_said() -> None:
    """The error says how."""

    class Untyped(DistributedState):  # type: ignore[type-arg]
        def initial(self) -> Any:
            return 0

    with pytest.raises(InvalidState, match=r"write class Untyped\(DistributedState\[STATE\]\)"):
        Untyped()


def test_types_may_come_through_a_generic_base() -> None:
    """As far down as they are filled in."""
    T = TypeVar("T")

    class Base(DistributedState[list[T]], Generic[T]):
        def initial(self) -> list[T]:
            return []

    class Numbers(Base[int]):
        pass

    assert Numbers().state_type == list[int]


def test_types_that_cannot_be_encoded_are_refused() -> None:
    """When the state is made, not when it is first sent."""

    class Odd(DistributedState[dict[int, Value] | dict[str, int]]):
        def initial(self) -> Any:
            return {}

    with pytest.raises(InvalidState, match="Odd: its types cannot be encoded"):
        Odd()


@pytest.mark.parametrize("field", ["version", "wire_version", "storage_version"])
def test_versions_are_numbers_from_one_on(field: str) -> None:
    """Whatever they are of."""
    kind = type("Odd", (TestState,), {field: -1})

    with pytest.raises(InvalidState, match="from 1 on"):
        kind()


class Colour(Enum):
    RED = 1


class Frozen(msgspec.Struct, frozen=True):
    parts: tuple[int, ...]
    colour: Colour
    inner: Value | None = None


class Thawed(msgspec.Struct):
    number: int


class Leaky(msgspec.Struct, frozen=True):
    numbers: list[int]


B = TypeVar("B")


class Boxed(msgspec.Struct, Generic[B], frozen=True):
    content: B


@dataclasses.dataclass(frozen=True)
class FrozenData:
    number: int


@dataclasses.dataclass
class Data:
    number: int


@pytest.mark.parametrize(
    "kind", [int, str, Value, Frozen, FrozenData, Boxed[int], tuple[int, str], frozenset[str], int | None]
)
def test_an_immutable_state_is_not_copied(kind: Any) -> None:
    """It cannot be changed in place, all the way down."""
    assert is_immutable(kind)


@pytest.mark.parametrize(
    "kind", [list[int], dict[str, int], Thawed, Leaky, Data, Boxed[list[int]], Any, tuple[list[int], ...]]
)
def test_a_mutable_state_is_copied(kind: Any) -> None:
    """In doubt, too (MUT-01)."""
    assert not is_immutable(kind)


def test_urgency_is_default_unless_it_is_said() -> None:
    """By the definition, or with the mutation (SE-03)."""
    assert SIMPLE.urgency(Value(), Value()) == DELTA.urgency(Shown(), Shown(), Adjusted()) == SyncUrgency.default()


def test_a_delay_is_not_negative() -> None:
    """Nor is it no number."""
    for seconds in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="0 seconds or more"):
            SyncUrgency.delayed(seconds)


class Old(msgspec.Struct, frozen=True):
    total: int


class New(msgspec.Struct, frozen=True):
    parts: list[int]


class Grown(DeltaDistributedState[New, New, int, int]):
    """Reads version 1, whose view had a total, and writes it for those who read no better."""

    version = 2
    readable = (1, 2)
    writable = (1,)
    storage_version = 3

    def initial(self) -> New:
        return New([])

    def project(self, state: New) -> New:
        return state

    def project_change(self, change: int) -> int:
        return change

    def apply(self, view: New, delta: int) -> New:
        return New([*view.parts, delta])

    def upcast_view(self, document: Any, version: int) -> Any:
        return {"parts": [document["total"]]}

    def downcast_view(self, document: Any, version: int) -> Any:
        return {"total": sum(document["parts"])}

    def upcast_delta(self, document: Any, version: int) -> Any:
        return document * 10

    def downcast_delta(self, document: Any, version: int) -> Any:
        return document // 10

    def migrate(self, document: Any, version: int) -> Any:
        return {"parts": [*document.get("parts", []), version]}


def test_other_versions_go_as_raw_documents_step_by_step() -> None:
    """Up when they are read, down when they are written (weak points 12, 31)."""
    grown = Grown()

    older = grown.encode_view(New([2, 3]), 1)

    assert msgspec.msgpack.decode(older, type=Old) == Old(5)
    assert grown.decode_view(older, 1) == New([5])
    assert grown.decode_delta(grown.encode_delta(70, 1), 1) == 70
    assert grown.decode_state(msgspec.msgpack.encode({}), 1) == New([1, 2])
