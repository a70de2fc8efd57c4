"""Sets of numbers as boundaries, against sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure_replication.merge import _ranges

sets = st.sets(st.integers(1, 12))


@given(one=sets, other=sets)
def test_they_do_what_sets_do(one: set[int], other: set[int]) -> None:
    """Union, difference, size and membership are those of the numbers."""
    ranges, others = _ranges.of(one), _ranges.of(other)

    union, difference = _ranges.union(ranges, others), _ranges.difference(ranges, others)

    assert set(_ranges.numbers(union)) == one | other
    assert set(_ranges.numbers(difference)) == one - other
    assert _ranges.size(ranges) == len(one)
    assert {number for number in range(14) if _ranges.holds(ranges, number)} == one


@given(one=sets, other=sets)
def test_equal_sets_have_equal_boundaries(one: set[int], other: set[int]) -> None:
    """However a set came about, its ranges are as few as can be."""
    union = _ranges.union(_ranges.of(one), _ranges.of(other))

    assert union == _ranges.of(one | other)
    assert not union or _ranges.is_sound(union)


def test_what_was_given_out_one_by_one_is_one_range() -> None:
    """A million numbers take no more room than one."""
    assert _ranges.union((1, 1_000_000), (1_000_000, 1_000_001)) == (1, 1_000_001)


@pytest.mark.parametrize("ranges", [(), (1,), (0, 2), (2, 2), (1, 3, 2, 4), (3, 1)])
def test_rubbish_is_not_sound(ranges: tuple[int, ...]) -> None:
    assert not _ranges.is_sound(ranges)
