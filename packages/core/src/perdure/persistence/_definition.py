"""What an actor class says of itself: its state type, its event types, how it is stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ForwardRef, TypeVar, Union, get_args, get_origin
from uuid import UUID

import msgspec

from perdure.errors import EventTypeError
from perdure.evolution import Evolution
from perdure.journal import AnyEvent, EventCodec, Format, RevisionCodec, StateCodec, is_event_type, is_model
from perdure.persistence._strategy import Strategy

if TYPE_CHECKING:
    from perdure.persistence._actor import PersistentActor
    from perdure.persistence._durable_state_actor import DurableStateActor

_IMMUTABLE = (
    *(int, float, complex, str, bytes, tuple, frozenset, NoneType, Enum),
    *(Decimal, Fraction, UUID, date, datetime, time, timedelta),
)
_immutable: dict[type, bool] = {}


class Definition:
    """The codecs and the strategy of one actor type, shared by all its actors in a system."""

    __slots__ = ("events", "states", "strategy", "tagged")

    def __init__(self, actor_type: type[PersistentActor[Any, Any]], write: Format) -> None:
        from perdure.persistence._actor import PersistentActor

        state_type, events = _type_arguments(actor_type, PersistentActor, "STATE, EVENT")
        name = actor_type.type_name
        self.strategy: Strategy = actor_type.strategy
        self.tagged = actor_type.tags is not PersistentActor.tags
        evolution = _evolution_of(actor_type)
        self.events = EventCodec(name, _event_types(actor_type, events), write, evolution)
        self.states: StateCodec[Any] = StateCodec(name, state_type, write, evolution)


def revision_codec(actor_type: type[DurableStateActor[Any]], write: Format) -> RevisionCodec[Any]:
    """Return the codec of an actor type's durable states. Raises `EventTypeError`, `EvolutionError`."""
    from perdure.persistence._durable_state_actor import DurableStateActor

    (state_type,) = _type_arguments(actor_type, DurableStateActor, "STATE")
    return RevisionCodec(actor_type.type_name, state_type, write, _evolution_of(actor_type))


def is_immutable(kind: type) -> bool:
    """Tell whether instances of a type cannot be changed in place, as far as their own attributes go."""
    immutable = _immutable.get(kind)
    if immutable is None:
        immutable = _immutable[kind] = _looks_immutable(kind)
    return immutable


def _looks_immutable(kind: type) -> bool:
    if issubclass(kind, _IMMUTABLE):
        return True
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_config__.frozen
    if is_model(kind):
        return bool(getattr(kind, "model_config", {}).get("frozen"))
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _evolution_of(actor_type: type[Any]) -> Evolution:
    evolution = actor_type.evolution
    if evolution is None:
        return Evolution()
    if not isinstance(evolution, Evolution):
        raise EventTypeError(f"{actor_type.__name__}: its evolution is {evolution!r}, and no perdure.Evolution")
    return evolution


def _type_arguments(actor_type: type[Any], generic: type[Any], parameters: str) -> tuple[Any, ...]:
    """Return the types with which a class fills in `PersistentActor[S, E]`, or another generic class."""
    arguments = _arguments_of(actor_type, generic)
    if arguments is None or any(isinstance(argument, TypeVar) for argument in arguments):
        name = actor_type.__name__
        raise EventTypeError(f"{name} does not say its types: write class {name}({generic.__name__}[{parameters}])")
    return tuple(_evaluated(argument, actor_type) for argument in arguments)


def _arguments_of(kind: type[Any], target: type[Any]) -> tuple[Any, ...] | None:
    """Return the arguments of the generic class `target` as `kind` and its bases fill them in."""
    for base in kind.__dict__.get("__orig_bases__", kind.__bases__):
        origin = get_origin(base) or base
        if origin is target:
            return get_args(base) or None
        if isinstance(origin, type) and issubclass(origin, target):
            inherited = _arguments_of(origin, target)
            filled = dict(zip(getattr(origin, "__parameters__", ()), get_args(base), strict=False))
            return inherited and tuple(filled.get(argument, argument) for argument in inherited)
    return None


def _evaluated(hint: Any, owner: type[Any]) -> Any:
    if not isinstance(hint, ForwardRef):
        return hint
    try:
        return eval(hint.__forward_arg__, vars(sys.modules[owner.__module__]))
    except NameError as error:
        raise EventTypeError(f"{owner.__name__}: the type {hint.__forward_arg__!r} is not defined: {error}") from error


def _event_types(actor_type: type[Any], hint: Any) -> list[type[AnyEvent]]:
    types = list(_members(hint))
    for kind in types:
        if not is_event_type(kind):
            raise EventTypeError(
                f"{actor_type.__name__} declares the event type {kind!r}: use subclasses of perdure.Event, "
                f"dataclasses, or pydantic models"
            )
    return types


def _members(hint: Any) -> Iterator[Any]:
    """Yield the members of a union, also behind `type X = …`."""
    hint = getattr(hint, "__value__", hint)
    if get_origin(hint) in (Union, UnionType):
        for member in get_args(hint):
            yield from _members(member)
    else:
        yield hint
