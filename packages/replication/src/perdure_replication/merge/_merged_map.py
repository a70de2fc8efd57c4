"""A map whose values are merged values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from perdure_replication.merge._clock import Stamp
from perdure_replication.merge._knowledge import Dot
from perdure_replication.merge._mergeable import Mergeable, fact_type, key, key_type, read, sign, stamp_of
from perdure_replication.merge._place import Inner, Place

K = TypeVar("K")
V = TypeVar("V")


class MergedMap(Mergeable, Mapping[K, V], Generic[K, V]):
    """A map to counters, sets, registers, records, maps. A key is there while its value has any fact.

    A key that is removed on one side and changed on the other, neither knowing, is there: with what those who changed
    it have given to it. Of a counter that is all that they ever added to it.
    """

    __slots__ = ("_kind", "_parts", "_values")
    fact_letter = "M"

    def __init__(self, place: Place, *arguments: Any) -> None:
        super().__init__(place)
        _, self._kind = arguments
        self._parts: dict[K, dict[Dot, Any]] = {}
        self._values: dict[K, V] = {}
        for dot, (name, fact) in place.facts.items():
            self._parts.setdefault(name, {})[dot] = fact

    def absorb(self, gone: Mapping[Dot, Any], new: Mapping[Dot, Any]) -> None:
        super().absorb(gone, new)
        for name in {fact[0] for facts in (gone, new) for fact in facts.values()}:
            inner = [{dot: fact for dot, (key, fact) in facts.items() if key == name} for facts in (gone, new)]
            cast("Mergeable", self.at(name)).absorb(*inner)

    @classmethod
    def fact_type(cls, *arguments: Any) -> Any:
        keys: Any = key_type(arguments[0])
        facts: Any = fact_type(arguments[1])
        return tuple[keys, facts]

    @classmethod
    def fact_sign(cls, *arguments: Any) -> str:
        return cls.fact_letter + sign(arguments[1])

    @classmethod
    def stamp_of(cls, fact: Any, *arguments: Any) -> Stamp | None:
        return stamp_of(arguments[1], fact[1])

    def at(self, name: K) -> V:
        """Return the value of a key, to be read or changed; an empty one where there is none.

        The key is there once something is put into its value.
        """
        if name not in self._values:
            facts = self._parts.setdefault(key(name), {})
            self._values[name] = read(self._kind, Inner(self._place, facts, lambda fact: (name, fact)))
        return self._values[name]

    def clear(self) -> None:
        for name in list(self):
            self._clear(name)

    def _clear(self, name: K) -> None:
        cast("Mergeable", self.at(name)).clear()

    def __getitem__(self, name: K) -> V:
        if name not in self:
            raise KeyError(name)
        return self.at(name)

    def __delitem__(self, name: K) -> None:
        """Remove a key with all that is known of its value. Raises `KeyError` where it is not there."""
        if name not in self:
            raise KeyError(name)
        self._clear(name)

    def __contains__(self, name: object) -> bool:
        return bool(self._parts.get(cast("K", name)))

    def __iter__(self) -> Iterator[K]:
        return iter([name for name, facts in self._parts.items() if facts])  # `at` may be called meanwhile

    def __len__(self) -> int:
        return sum(map(bool, self._parts.values()))

    def __repr__(self) -> str:
        return f"MergedMap({dict(self)})"
