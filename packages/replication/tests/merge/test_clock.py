"""Hybrid logical clocks."""

from __future__ import annotations

import pytest

from perdure_replication.errors import ClockDrift
from perdure_replication.merge import HybridClock, Stamp
from perdure_replication.testing import TestClock

BEGAN = 1_700_000_000_000


class Turned(TestClock):
    """A clock whose wall time a test may also turn back."""

    off = 0.0

    def time(self) -> float:
        return super().time() + self.off


async def test_stamps_are_the_time_of_the_wall() -> None:
    """As long as it goes on."""
    wall = TestClock()
    clock = HybridClock(wall)

    first = clock.stamp()
    await wall.advance(0.5)

    assert [first, clock.stamp()] == [Stamp(BEGAN), Stamp(BEGAN + 500)]


def test_stamps_of_one_millisecond_are_counted() -> None:
    clock = HybridClock(TestClock())

    assert [clock.stamp() for _ in range(3)] == [Stamp(BEGAN, count) for count in range(3)]


def test_what_was_observed_of_earlier_moments_changes_nothing() -> None:
    clock = HybridClock(TestClock())
    first = clock.stamp()

    clock.observe(Stamp(BEGAN - 1000, 7))
    clock.resume(Stamp(0))

    assert clock.stamp() > first


def test_stamps_never_go_back_with_the_wall_clock() -> None:
    wall = Turned()
    clock = HybridClock(wall)
    first = clock.stamp()

    wall.off = -3600

    assert clock.stamp() > first


def test_a_stamp_comes_after_all_that_was_observed() -> None:
    """However far the own wall clock is behind."""
    clock = HybridClock(TestClock())

    clock.observe(Stamp(BEGAN + 30_000, 7))

    assert clock.stamp() == Stamp(BEGAN + 30_000, 8)


def test_a_stamp_from_too_far_ahead_is_refused() -> None:
    """The error says how far it is, and later stamps are as if it had not been."""
    clock = HybridClock(TestClock(), max_drift=60)

    with pytest.raises(ClockDrift, match=r"61\.0 s ahead of this clock, over 60 s: set the") as caught:
        clock.observe(Stamp(BEGAN + 61_000))

    assert (caught.value.ahead, clock.stamp()) == (61.0, Stamp(BEGAN))


def test_an_own_stamp_of_an_earlier_life_is_followed_however_far_it_is_ahead() -> None:
    """The wall clock went back while the node was down."""
    clock = HybridClock(TestClock())

    clock.resume(Stamp(BEGAN + 3_600_000))

    assert clock.stamp() == Stamp(BEGAN + 3_600_000, 1)
