"""Several merged values under one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Union, get_origin, get_type_hints

import msgspec

from perdure_replication.merge._clock import Stamp
from perdure_replication.merge._knowledge import Dot
from perdure_replication.merge._mergeable import Mergeable, fact_type, read, stamp_of
from perdure_replication.merge._place import Inner, Place


class _Field(NamedTuple):
    kind: Any
    tagged: Any
    """A tagged struct for its facts, so that they can be told from those of other fields."""


class MergedRecord(Mergeable):
    """Inherit it, and annotate fields with kinds of merged values. What one update changes in several is seen at once.

    A field may be added if every node has the class with it before anybody writes it: nothing of it is sent until then.
    """

    fact_letter = "R"
    _known: ClassVar[dict[str, _Field]]

    def __init__(self, place: Place, *arguments: Any) -> None:
        super().__init__(place)
        fields = self._fields()
        parts: dict[str, dict[Dot, Any]] = {name: {} for name in fields}
        for dot, fact in place.facts.items():
            parts[fact.__class__.__name__][dot] = fact.fact
        for name, field in fields.items():
            object.__setattr__(self, name, read(field.kind, Inner(place, parts[name], field.tagged)))

    @classmethod
    def fact_type(cls, *_arguments: Any) -> Any:
        fields = cls._fields()
        if not fields:
            raise TypeError(f"{cls.__name__} holds itself, and would have no end")
        return Union[tuple(field.tagged for field in fields.values())]  # noqa: UP007 - known when it runs

    @classmethod
    def stamp_of(cls, fact: Any, *_arguments: Any) -> Stamp | None:
        return stamp_of(cls._fields()[fact.__class__.__name__].kind, fact.fact)

    @classmethod
    def _fields(cls) -> dict[str, _Field]:
        """Return the fields by name. Raises `TypeError` where they cannot be right."""
        if "_known" not in cls.__dict__:
            cls._known = {}  # so that a field in which there is the record itself finds none
            try:
                cls._known = {name: _Field(kind, _tagged(name, kind)) for name, kind in _kinds(cls).items()}
            except BaseException:
                del cls._known
                raise
        return cls._known

    def absorb(self, gone: Mapping[Dot, Any], new: Mapping[Dot, Any]) -> None:
        super().absorb(gone, new)
        for name in self._fields():
            getattr(self, name).absorb(_of_field(name, gone), _of_field(name, new))

    def clear(self) -> None:
        for name in self._fields():
            getattr(self, name).clear()

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._fields():
            raise AttributeError(f"{name} is not set but changed: by its own methods, inside an update")
        super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields())
        return f"{type(self).__name__}({shown})"


def _of_field(name: str, facts: Mapping[Dot, Any]) -> dict[Dot, Any]:
    return {dot: fact.fact for dot, fact in facts.items() if fact.__class__.__name__ == name}


def _kinds(record: type[MergedRecord]) -> dict[str, Any]:
    try:
        hints = get_type_hints(record)
    except NameError as error:
        raise TypeError(f"a field of {record.__name__} is of an unknown kind: {error}") from error
    kinds = {
        name: kind for name, kind in hints.items() if not name.startswith("_") and get_origin(kind) is not ClassVar
    }
    if not kinds:
        raise TypeError(f"{record.__name__} has no fields: annotate them with kinds of merged values")
    for name in kinds:
        if hasattr(MergedRecord, name):
            raise TypeError(f"{record.__name__} cannot have a field {name}: every merged value has that already")
    return kinds


def _tagged(name: str, kind: Any) -> Any:
    return msgspec.defstruct(name, [("fact", fact_type(kind))], tag=name, frozen=True, array_like=True)
