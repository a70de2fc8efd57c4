"""Sets of whole numbers as the boundaries of their ranges: (1, 4, 7, 8) has 1, 2, 3 and 7.

Boundaries rise strictly, and there is an even number of them. Numbers that are given out one by one and seen by all
make one range, however many they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import TypeAlias

Ranges: TypeAlias = tuple[int, ...]


def holds(ranges: Ranges, number: int) -> bool:
    """Tell whether a number is in a set."""
    return bisect_right(ranges, number) % 2 == 1


def size(ranges: Ranges) -> int:
    """Return how many numbers a set has."""
    return sum(stop - start for start, stop in _pairs(ranges))


def numbers(ranges: Ranges) -> Iterator[int]:
    """Yield the numbers of a set, ascending."""
    return chain.from_iterable(range(start, stop) for start, stop in _pairs(ranges))


def of(loose: Iterable[int]) -> Ranges:
    """Return the set of some numbers."""
    return _joined((number, number + 1) for number in loose)


def union(one: Ranges, other: Ranges) -> Ranges:
    """Return the numbers that are in either set."""
    if not other or one == other:
        return one
    return _joined([*_pairs(one), *_pairs(other)]) if one else other


def difference(one: Ranges, other: Ranges) -> Ranges:
    """Return the numbers of one set that are not in the other."""
    if not other or not one:
        return one
    inside: list[tuple[int, int]] = []
    for start, stop in _pairs(one):
        for gone, back in _pairs(other):
            if start < gone:
                inside.append((start, min(gone, stop)))
            start = max(start, back)
            if start >= stop:
                break
        if start < stop:
            inside.append((start, stop))
    return _joined(inside)


def is_sound(ranges: Ranges) -> bool:
    """Tell whether boundaries are those of a set of numbers from 1 on that is not empty."""
    return bool(ranges) and len(ranges) % 2 == 0 and ranges[0] > 0 and all(a < b for a, b in pairwise(ranges))


def _pairs(ranges: Ranges) -> Iterator[tuple[int, int]]:
    return zip(ranges[::2], ranges[1::2], strict=True)


def _joined(pairs: Iterable[tuple[int, int]]) -> Ranges:
    boundaries: list[int] = []
    for start, stop in sorted(pairs):
        if boundaries and start <= boundaries[-1]:
            boundaries[-1] = max(boundaries[-1], stop)
        else:
            boundaries += (start, stop)
    return tuple(boundaries)
