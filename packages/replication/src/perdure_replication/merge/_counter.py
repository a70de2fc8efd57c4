"""A number to which many add."""

from __future__ import annotations

from typing import Any

from perdure_replication.merge._mergeable import Mergeable


class Counter(Mergeable):
    """The sum of what every writer has added and subtracted. `int(counter)` is its value.

    Each writer has one fact, its own sum, in place of its last.
    """

    __slots__ = ()
    fact_letter = "C"

    @classmethod
    def fact_type(cls, *_arguments: Any) -> Any:
        return int

    @property
    def value(self) -> int:
        return sum(self._place.facts.values())

    def add(self, amount: int = 1) -> None:
        """Add a whole number, which may be negative."""
        if type(amount) is not int:
            raise TypeError(f"a counter counts whole numbers, not {type(amount).__name__}")
        writer = self._place.writer
        own = [dot for dot in self._place.facts if dot[0] == writer]
        total = sum(self._place.facts[dot] for dot in own)
        for dot in own:
            self._place.drop(dot)
        self._place.put(total + amount)

    def __int__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        return int(self) == (int(other) if isinstance(other, Counter) else other)

    def __repr__(self) -> str:
        return f"Counter({self.value})"
