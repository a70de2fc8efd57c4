"""A value of which the last write stands."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_origin

from perdure_replication.merge._clock import Stamp
from perdure_replication.merge._mergeable import Mergeable

T = TypeVar("T")


class LastWriter(Mergeable, Generic[T]):
    """A register. Of writes that did not know of each other, that with the greatest stamp is shown.

    The others are kept until the next write replaces all that it knows: were they dropped when they are overtaken, the
    order in which knowledge is merged would decide whether a removal takes them along.
    """

    __slots__ = ()

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
        """What was written last; None where nothing was."""
        return None if self.stamp is None else self._last[2]

    @property
    def stamp(self) -> Stamp | None:
        """When it was written; None where it was not, or was cleared."""
        return Stamp(*self._last[:2]) if self._place.facts else None

    def get(self, default: T) -> T:
        """Return what was written last, or a default where nothing was."""
        return self._last[2] if self._place.facts else default

    def set(self, value: T) -> None:
        """Write, in place of all that is known here."""
        stamp = self._place.stamp(self.stamp)
        self._place.clear()
        self._place.put((*stamp, value))

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
