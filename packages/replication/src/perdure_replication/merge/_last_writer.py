"""A value of which the last write stands."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any, Generic, TypeVar, get_origin

from perdure_replication._immutable import is_immutable
from perdure_replication.merge._clock import Stamp
from perdure_replication.merge._mergeable import Mergeable
from perdure_replication.merge._place import Place

T = TypeVar("T")

_PLAIN = (str, int, float, bytes, bool, type(None))
_is_immutable = cache(is_immutable)


class LastWriter(Mergeable, Generic[T]):
    """A register. Of writes that did not know of each other, that with the greatest stamp is shown.

    The others are kept until the next write replaces all that it knows: were they dropped when they are overtaken, the
    order in which knowledge is merged would decide whether a removal takes them along.
    """

    __slots__ = ("_kind",)
    fact_letter = "L"

    def __init__(self, place: Place, *arguments: Any) -> None:
        super().__init__(place)
        [self._kind] = arguments

    @classmethod
    def fact_type(cls, *arguments: Any) -> Any:
        kind: Any = arguments[0]
        if isinstance(get_origin(kind) or kind, type) and issubclass(get_origin(kind) or kind, Mergeable):
            raise TypeError("a register holds no merged value: put that into a MergedMap or a MergedRecord")
        return tuple[int, int, kind]

    @classmethod
    def stamp_of(cls, fact: Any, *_arguments: Any) -> Stamp:
        return Stamp(*fact[:2])

    @property
    def value(self) -> T | None:
        """What was written last; None where nothing was. It is a copy where it can be changed in place: `set` it."""
        return self._written if self._place.facts else None

    @property
    def stamp(self) -> Stamp | None:
        """When it was written; None where it was not, or was cleared."""
        return Stamp(*self._last[:2]) if self._place.facts else None

    def get(self, default: T) -> T:
        """Return what was written last, or a default where nothing was."""
        return self._written if self._place.facts else default

    def set(self, value: T) -> None:
        """Write, in place of all that is known here."""
        stamp = self._place.stamp(self.stamp)
        self._place.clear()
        self._place.put((*stamp, value))

    @property
    def _written(self) -> T:
        written: T = self._last[2]
        return written if isinstance(written, _PLAIN) or _is_immutable(self._kind) else deepcopy(written)

    @property
    def _last(self) -> tuple[Any, ...]:
        _, fact = max(self._place.facts.items(), key=lambda item: (item[1][:2], item[0]))
        return fact  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LastWriter):
            return NotImplemented
        return (self.stamp, self.value) == (other.stamp, other.value)

    def __repr__(self) -> str:
        return f"LastWriter({self.value!r})"
