"""Events: facts, stored for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar, dataclass_transform

import msgspec

from perdure.journal._payload import is_model

T = TypeVar("T")

_NAMED = "__perdure_named__"


class Named(NamedTuple):
    """The stable name under which a type of events is stored, and the version of its schema."""

    manifest: str
    version: int


def _named(name: str, manifest: str | None, version: int) -> Named:
    if version < 1:
        raise ValueError(f"{name}: schema versions begin at 1, not {version}")
    return Named(manifest or name, version)


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class _EventMeta(msgspec.StructMeta):
    """Take the stable name and the schema version of an event type from its class statement."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        manifest: str | None = None,
        version: int = 1,
        **options: Any,
    ) -> Any:
        return super().__new__(mcls, name, bases, namespace, **options)

    def __init__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        manifest: str | None = None,
        version: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(name, bases, namespace)
        setattr(cls, _NAMED, _named(name, manifest, version))


class Event(msgspec.Struct, frozen=True, metaclass=_EventMeta):
    """Something that happened, named in the past tense: `class Deposited(Event)`.

    A frozen msgspec struct. `class Deposited(Event, manifest="deposited", version=2)` sets the name under which it is
    stored (by default the class's name, never its module) and the version of its schema (by default 1).
    """


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Model(Protocol):
    @property
    def __pydantic_validator__(self) -> Any: ...


AnyEvent: TypeAlias = msgspec.Struct | _Dataclass | _Model
"""What can be an event: an `Event` or another struct, an instance of a dataclass, a pydantic model."""


def event(*, manifest: str | None = None, version: int = 1) -> Callable[[type[T]], type[T]]:
    """Set, as a decorator, the stable name and the schema version of events that are no `Event`s.

        @event(manifest="deposited", version=2)
        @dataclass(frozen=True)
        class Deposited:
            amount: int

    Without it they are stored under their class's name, as version 1.
    """

    def name(kind: type[T]) -> type[T]:
        if not is_event_type(kind):
            raise TypeError(f"{kind!r} can be no event: use a perdure.Event, a dataclass, or a pydantic model")
        setattr(kind, _NAMED, _named(kind.__name__, manifest, version))
        return kind

    return name


def named(kind: type[Any]) -> Named:
    """Return under which name and as which version a type of events is stored."""
    found: Named | None = vars(kind).get(_NAMED)  # its own: a subclass is a type of its own
    return found or Named(kind.__name__, 1)


def is_event_type(kind: object) -> bool:
    """Tell whether instances of a type can be events."""
    if not isinstance(kind, type):
        return False
    return issubclass(kind, msgspec.Struct) or hasattr(kind, "__dataclass_fields__") or is_model(kind)
