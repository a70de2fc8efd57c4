"""A set to which many add, and from which many remove."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Generic, TypeVar

from perdure_replication.merge._knowledge import Dot
from perdure_replication.merge._mergeable import Mergeable, key, key_type
from perdure_replication.merge._place import Place

T = TypeVar("T")


class AddWinsSet(Mergeable, AbstractSet[T], Generic[T]):
    """A set. An element that is removed on one side and added on the other, neither knowing, is there.

    To add one that is there says so anew, so that it outlives a removal elsewhere.
    """

    __slots__ = ("_dots",)
    fact_letter = "S"

    def __init__(self, place: Place, *arguments: Any) -> None:
        super().__init__(place)
        self._dots: dict[T, list[Dot]] = {}
        self._index(place.facts)

    def _index(self, facts: Mapping[Dot, T]) -> None:
        for dot, element in facts.items():
            self._dots.setdefault(element, []).append(dot)

    def absorb(self, gone: Mapping[Dot, T], new: Mapping[Dot, T]) -> None:
        super().absorb(gone, new)
        for dot, element in gone.items():
            self._dots[element].remove(dot)
            if not self._dots[element]:
                del self._dots[element]
        self._index(new)

    @classmethod
    def fact_type(cls, *arguments: Any) -> Any:
        return key_type(*arguments)

    @classmethod
    def _from_iterable(cls, iterable: Iterable[Any]) -> Any:
        """Let `&`, `|` and `-` give plain sets."""
        return frozenset(iterable)

    def add(self, element: T) -> None:
        """Add an element. Raises `TypeError` for one without a hash, `ValueError` for one that is not itself: NaN."""
        known = self._dots.get(key(element), ())
        dot = self._place.put(element)
        for old in known:
            self._place.drop(old)
        self._dots[element] = [dot]

    def update(self, elements: Iterable[T]) -> None:
        """Add several."""
        for element in elements:
            self.add(element)

    def discard(self, element: T) -> None:
        """Remove an element, if it is there."""
        if element in self._dots:
            self.remove(element)

    def remove(self, element: T) -> None:
        """Remove an element. Raises `KeyError` where it is not there."""
        for dot in self._dots[element]:
            self._place.drop(dot)
        del self._dots[element]

    def clear(self) -> None:
        super().clear()
        self._dots.clear()

    def __contains__(self, element: object) -> bool:
        return element in self._dots

    def __iter__(self) -> Iterator[T]:
        return iter(self._dots)

    def __len__(self) -> int:
        return len(self._dots)

    def __repr__(self) -> str:
        return f"AddWinsSet({set(self) or '{}'})"
