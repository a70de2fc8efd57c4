"""Whether all events of an actor come back from the store as they went there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import pytest
from hypothesis import find, given
from msgspec import Meta
from msgspec.structs import force_setattr
from pydantic import BaseModel, Field

from perdure import Event, PersistentActor
from perdure.errors import EventTypeError
from perdure_testkit import check_events, events_of


class Opened(Event):
    owner: str
    at: datetime
    limits: dict[str, int]
    rate: float = 0.5


class Closed(Event):
    reason: str | None = None


class Account(PersistentActor[int, Opened | Closed]):
    pass


class Fact(Event):
    pass


class Small(Fact):
    number: Annotated[int, Meta(ge=0, le=100)]


class Facts(PersistentActor[int, Fact]):
    pass


class Loose(Event):
    thing: Any


class Keeper(PersistentActor[int, Loose]):
    pass


class Thing:
    pass


class Held(Event):
    thing: Thing


class Holder(PersistentActor[int, Held]):
    pass


class Counted(Event):
    """Changes what it is given, again with each reading."""

    number: int

    def __post_init__(self) -> None:
        force_setattr(self, "number", self.number + 1)


class Counter(PersistentActor[int, Counted]):
    pass


def test_all_event_types_of_an_actor_come_back() -> None:
    """Without events, generated ones of each declared type are checked."""
    check_events(Account, examples=20)


def test_given_events_come_back() -> None:
    """Given events are checked, and nothing else."""
    check_events(Account, Closed(), Closed("fraud"))


def test_a_given_event_that_comes_back_changed_fails() -> None:
    """A tuple that comes back as a list is a failure, which shows both."""
    with pytest.raises(AssertionError, match="comes back changed") as failure:
        check_events(Keeper, Loose([1]), Loose((1, 2)))

    assert "\n  stored: Loose(thing=(1, 2))\n  read:   Loose(thing=[1, 2])" in str(failure.value)


def test_what_changes_in_one_format_alone_fails() -> None:
    """Both formats count: JSON has no bytes."""
    with pytest.raises(AssertionError, match="comes back changed"):
        check_events(Keeper, Loose(b"abc"))


def test_a_given_event_that_is_refused_raises() -> None:
    """An event that a persist would refuse is refused here too."""
    with pytest.raises(EventTypeError, match="could not be read back"):
        check_events(Account, Closed(5))  # type: ignore[arg-type]


def test_a_generated_event_that_comes_back_changed_fails() -> None:
    """A type of which some event comes back changed fails."""
    with pytest.raises(AssertionError, match="comes back changed"):
        check_events(Counter)


def test_a_type_that_cannot_be_stored_fails() -> None:
    """A type of which every event is refused fails, by its name."""
    with pytest.raises(AssertionError, match="no event Held can be stored"):
        check_events(Holder, examples=10)


def test_events_are_generated_of_all_types() -> None:
    """The strategy has the subclasses of a declared type too, and all fields vary, those with a default as well."""
    assert find(events_of(Facts), lambda event: isinstance(event, Small)) == Small(0)
    assert find(events_of(Facts), lambda event: type(event) is Fact) == Fact()
    assert isinstance(find(events_of(Account), lambda event: isinstance(event, Closed) and event != Closed()), Closed)


@given(events_of(Facts))
def test_generated_events_are_such_as_a_persist_takes(event: Fact) -> None:
    """Constraints of fields are kept."""
    assert not isinstance(event, Small) or 0 <= event.number <= 100


class Address(BaseModel):
    street: str
    number: int = Field(gt=0)


class Ordered(BaseModel):
    to: Address
    pieces: int = Field(gt=0, alias="count")


@dataclass(frozen=True)
class Cancelled:
    reason: str
    order: Ordered | None = None


class Shop(PersistentActor[int, Ordered | Cancelled]):
    pass


def test_dataclasses_and_models_are_made_too() -> None:
    """Also those with rules of their own."""
    check_events(Shop)

    assert find(events_of(Shop), lambda event: isinstance(event, Ordered)).pieces == 1


def test_models_that_come_back_changed_are_found() -> None:
    """An excluded field is refused by a persist, so nothing is lost by it; and here nothing can be stored."""

    class Hidden(BaseModel):
        thing: int = Field(exclude=True)

    class Hiding(PersistentActor[int, Hidden]):
        pass

    with pytest.raises(AssertionError, match="no event Hidden can be stored"):
        check_events(Hiding)
