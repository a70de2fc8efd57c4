"""Events: facts, stored for ever."""

from __future__ import annotations

from typing import Any, ClassVar, dataclass_transform

import msgspec


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
        if version < 1:
            raise ValueError(f"{name}: schema versions begin at 1, not {version}")
        cls._manifest = manifest or name
        cls._version = version


class Event(msgspec.Struct, frozen=True, metaclass=_EventMeta):
    """Something that happened, named in the past tense: `class Deposited(Event)`.

    A frozen msgspec struct. `class Deposited(Event, manifest="deposited", version=2)` sets the name under which it is
    stored (by default the class's name, never its module) and the version of its schema (by default 1).
    """

    _manifest: ClassVar[str] = "Event"
    _version: ClassVar[int] = 1
