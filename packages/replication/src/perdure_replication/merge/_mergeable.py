"""What all kinds of merged values have: they read the facts at a place, and change them inside an update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from perdure_replication._immutable import is_immutable
from perdure_replication.merge._clock import Stamp
from perdure_replication.merge._knowledge import Dot
from perdure_replication.merge._place import Place


class Mergeable:
    """A kind of merged value. Inherit one of the kinds, or nest them: nobody makes an object of it.

    What it shows is of one moment and never changes, save inside the function that is given to an update.
    """

    __slots__ = ("_place",)
    fact_letter: ClassVar[str]
    """Stands for the kind in what is sent."""

    def __init__(self, place: Place, *arguments: Any) -> None:
        """Take the place of its facts, and the kind's type arguments."""
        self._place = place

    @classmethod
    def fact_type(cls, *arguments: Any) -> Any:
        """Return the type of its facts. Raises `TypeError` for arguments that it cannot have."""
        raise NotImplementedError

    @classmethod
    def fact_sign(cls, *_arguments: Any) -> str:
        """Return what tells its facts from those of other kinds."""
        return cls.fact_letter

    @classmethod
    def stamp_of(cls, _fact: Any, *_arguments: Any) -> Stamp | None:
        """Return the stamp in a fact, if there is one."""
        return None

    def clear(self) -> None:
        """Remove all that is in it, as far as it is known here."""
        self._place.clear()

    def absorb(self, gone: Mapping[Dot, Any], new: Mapping[Dot, Any]) -> None:
        """Follow what others have changed at its place."""
        for dot in gone:
            del self._place.facts[dot]
        self._place.facts.update(new)


def fact_type(kind: Any) -> Any:
    """Return the type of the facts of a kind with its arguments, as `AddWinsSet[str]`. Raises `TypeError`."""
    origin, arguments = _parts(kind)
    missing = len(getattr(origin, "__parameters__", ())) - len(arguments)
    if missing or any(isinstance(argument, TypeVar) for argument in arguments):
        raise TypeError(f"{origin.__name__} does not say its types: write {origin.__name__}[...]")
    return origin.fact_type(*arguments)


def stamp_of(kind: Any, fact: Any) -> Stamp | None:
    """Return the stamp in a fact of a kind, if there is one."""
    origin, arguments = _parts(kind)
    return origin.stamp_of(fact, *arguments)


def sign(kind: Any) -> str:
    """Return the sign of a kind with its arguments."""
    origin, arguments = _parts(kind)
    return origin.fact_sign(*arguments)


def read(kind: Any, place: Place) -> Any:
    """Return the value of a kind that is at a place."""
    origin, arguments = _parts(kind)
    return origin(place, *arguments)


def key_type(kind: Any) -> Any:
    """Return a type whose values can be told apart. Raises `TypeError` for one whose values may change."""
    if not is_immutable(kind):
        name = getattr(kind, "__name__", kind)
        raise TypeError(f"{name} cannot be an element or a key: use a frozen struct, a tuple or plain data")
    return kind


def key(value: Any) -> Any:
    """Return a value that is found again. Raises `ValueError` for one that is not equal to itself."""
    if value != value:
        raise ValueError(f"{value!r} is not equal to itself, and cannot be an element or a key")
    return value


def _parts(kind: Any) -> tuple[type[Mergeable], tuple[Any, ...]]:
    origin = get_origin(kind) or kind
    if not isinstance(origin, type) or not issubclass(origin, Mergeable):
        name = getattr(kind, "__name__", kind)
        raise TypeError(f"{name} is no kind of merged value: use a LastWriter of it, or another kind")
    return origin, get_args(kind)
