"""Whether events and states come back from the store as they went there."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

from perdure import PersistentActor
from perdure.errors import EventTypeError
from perdure.journal import AnyEvent, EventCodec, Format, RecordError, StateCodec, is_model
from perdure.persistence._definition import Definition

S = TypeVar("S")
E = TypeVar("E", bound=AnyEvent)

_FORMATS: tuple[Format, ...] = ("msgpack", "json")


def check_events(actor_type: type[PersistentActor[Any, E]], *events: E, examples: int = 100) -> None:
    """Check that events come back from their records as they were, in both formats in which records are written.

    Without `events`, checks `examples` generated ones of each type that the actor declares, its subclasses included.
    One that a persist would refuse, such as one with an integer of more than 64 bits, is passed over: nothing is lost
    by it.

    Raises `AssertionError`, showing what was stored and what came back; also when every generated event of a type is
    refused. Raises `EventTypeError` for a given event that a persist would refuse.
    """
    if events:
        for codec in _codecs(actor_type):
            for event in events:
                check_event(codec, event)
    else:
        _check_generated(actor_type, examples)


def events_of(actor_type: type[PersistentActor[Any, E]]) -> SearchStrategy[E]:
    """Return the hypothesis strategy of all events that an actor declares and a persist would take.

    Fields are generated from their types: register a strategy for a type of your own with
    `hypothesis.strategies.register_type_strategy`.
    """
    codec, _ = _codecs(actor_type)
    strategies: list[SearchStrategy[Any]] = [_events_of(kind, codec) for kind in _types_of(codec)]
    return st.one_of(strategies)


def check_event(codec: EventCodec, event: AnyEvent) -> None:
    """Check one event. Raises `AssertionError`; `EventTypeError` when it cannot be encoded."""
    try:
        back: object = codec.decode(codec.encode(event, 0))
    except RecordError as error:
        raise AssertionError(f"an event cannot be read back: {error}\n  stored: {event!r}") from error
    if not same(event, back):
        raise AssertionError(f"an event comes back changed\n  stored: {event!r}\n  read:   {back!r}")


def check_state(codec: StateCodec[S], state: S) -> None:
    """Check one state. Raises `AssertionError`."""
    try:
        back, _ = codec.decode(codec.encode(state, 1, 0))
    except (EventTypeError, RecordError) as error:
        raise AssertionError(f"the state cannot be stored and read back: {error}\n  state: {state!r}") from error
    if not same(state, back):
        raise AssertionError(f"the state comes back changed\n  stored: {state!r}\n  read:   {back!r}")


def same(one: object, other: object) -> bool:
    """Tell whether two values are equal and of one type; what does not equal itself, as NaN, may look the same."""
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return (type(one) is type(other) or numbers) and (repr(one) == repr(other) or one == other)


def _codecs(actor_type: type[PersistentActor[Any, Any]]) -> list[EventCodec]:
    return [Definition(actor_type, write).events for write in _FORMATS]


def _types_of(codec: EventCodec) -> list[type[Any]]:
    return list(codec.types)


def _check_generated(actor_type: type[PersistentActor[Any, Any]], examples: int) -> None:
    for codec in _codecs(actor_type):
        for kind in _types_of(codec):
            try:
                _check_generated_of(kind, codec, examples)
            except Unsatisfiable as error:
                text = f"no event {kind.__name__} can be stored: a persist refuses all that can be generated"
                raise AssertionError(text) from error


def _check_generated_of(kind: type[Any], codec: EventCodec, examples: int) -> None:
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    @given(_events_of(kind, codec))
    def check(event: AnyEvent) -> None:
        check_event(codec, event)

    check()


def _events_of(kind: type[Any], codec: EventCodec) -> SearchStrategy[Any]:
    def is_taken(event: AnyEvent) -> bool:
        try:
            codec.encode(event, 0)
        except EventTypeError:
            return False
        return True

    return _objects_of(kind).filter(is_taken)


@st.composite
def _objects_of(draw: st.DrawFn, kind: type[Any]) -> Any:
    try:
        values = {name: draw(_values_of(hint)) for name, hint in _fields_of(kind).items()}
        return kind.model_validate(values) if is_model(kind) else kind(**values)
    except ValueError:  # a validation of its own, of which nothing is known here
        reject()


def _fields_of(kind: type[Any]) -> dict[str, Any]:
    """Return the types of the fields with which an object of a type is made."""
    if is_model(kind):
        return {field.alias or name: _hint_of(field) for name, field in kind.model_fields.items()}
    if issubclass(kind, msgspec.Struct):
        return {field.name: field.type for field in msgspec.structs.fields(kind)}
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}


def _hint_of(field: Any) -> Any:
    """Return the type of a model's field with its constraints, most of which hypothesis knows."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _values_of(hint: Any) -> SearchStrategy[Any]:
    """Return the values of a field; hypothesis does not know the constraints of msgspec."""
    base, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if any(not isinstance(known, msgspec.Meta) for known in metadata):
        return st.from_type(hint)
    meta = next((known for known in metadata if isinstance(known, msgspec.Meta)), msgspec.Meta())
    if base is int:
        least = meta.ge if meta.gt is None else int(meta.gt) + 1
        greatest = meta.le if meta.lt is None else int(meta.lt) - 1
        return st.integers(-(2**63) if least is None else int(least), 2**63 - 1 if greatest is None else int(greatest))
    if base is str and meta.pattern is None:
        return st.text(min_size=meta.min_length or 0, max_size=meta.max_length)
    return st.from_type(hint)
