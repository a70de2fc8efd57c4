"""A clock to turn by hand."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from perdure import Clock
from perdure_testkit import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(time=1000.0)


async def sleep(clock: VirtualClock, seconds: float) -> None:
    """Wait on the clock, as code under test does."""
    woken = asyncio.Event()
    clock.call_at(clock.monotonic() + seconds, woken.set)
    await woken.wait()


def test_it_is_a_clock(clock: VirtualClock) -> None:
    """It is what actors have their time from."""
    port: Clock = clock

    assert (port.time(), port.monotonic()) == (1000.0, 0.0)


async def test_time_stands_still(clock: VirtualClock) -> None:
    """However long the loop turns, no time passes and no timer fires."""
    fired: list[str] = []
    clock.call_at(0.001, lambda: fired.append("timer"))

    for _ in range(100):
        await asyncio.sleep(0)

    assert (clock.time(), clock.monotonic(), fired) == (1000.0, 0.0, [])


async def test_both_times_advance_together(clock: VirtualClock) -> None:
    """Advancing moves the wall time and the monotonic time alike."""
    await clock.advance(2.5)

    assert (clock.time(), clock.monotonic()) == (1002.5, 2.5)


async def test_a_timer_fires_when_its_time_is_reached(clock: VirtualClock) -> None:
    """A timer fires in the advance that reaches its time, not before, and once."""
    fired: list[float] = []
    clock.call_at(2.0, lambda: fired.append(clock.monotonic()))

    await clock.advance(1.999)
    before = list(fired)
    await clock.advance(0.001)
    await clock.advance(10)

    assert (before, fired) == ([], [2.0])


async def test_timers_fire_in_order_at_their_own_times(clock: VirtualClock) -> None:
    """Timers fire in the order of their times, and each sees the clock at its own time."""
    fired: list[tuple[str, float]] = []

    def note(name: str) -> None:
        fired.append((name, clock.monotonic()))

    for name, when in (("late", 3.0), ("early", 1.0), ("middle", 2.0)):
        clock.call_at(when, partial(note, name))

    await clock.advance(10)

    assert fired == [("early", 1.0), ("middle", 2.0), ("late", 3.0)]


async def test_timers_of_one_time_fire_in_the_order_of_setting(clock: VirtualClock) -> None:
    """Timers of the same time fire in the order in which they were set."""
    fired: list[int] = []
    for number in range(20):
        clock.call_at(1.0, partial(fired.append, number))

    await clock.advance(1)

    assert fired == list(range(20))


async def test_a_cancelled_timer_does_not_fire(clock: VirtualClock) -> None:
    """A timer that was cancelled does not fire; it can be cancelled again, and after it has fired."""
    fired: list[str] = []
    cancelled = clock.call_at(1.0, lambda: fired.append("cancelled"))
    other = clock.call_at(1.0, lambda: fired.append("other"))
    cancelled.cancel()
    cancelled.cancel()

    await clock.advance(1)
    other.cancel()

    assert fired == ["other"]


async def test_a_timer_of_the_past_fires_at_the_next_advance(clock: VirtualClock) -> None:
    """A timer set for a time that is past fires at the next advance, and time does not go back for it."""
    await clock.advance(5)
    fired: list[float] = []
    clock.call_at(1.0, lambda: fired.append(clock.monotonic()))

    await clock.advance(0)

    assert fired == [5.0]


async def test_tasks_react_before_time_goes_on(clock: VirtualClock) -> None:
    """Whoever a timer wakes acts at that time, and the timers that it sets fire in the same advance."""
    woken: list[float] = []

    async def tick() -> None:
        while True:
            await sleep(clock, 1)
            woken.append(clock.monotonic())

    ticking = asyncio.ensure_future(tick())

    await clock.advance(3.5)

    assert woken == [1.0, 2.0, 3.0]
    ticking.cancel()


async def test_tasks_begin_before_time_goes_on(clock: VirtualClock) -> None:
    """A task that was made just before gets to set its timer before time passes."""
    sleeping = asyncio.ensure_future(sleep(clock, 1))

    await clock.advance(1)

    assert sleeping.done()


async def test_the_wall_time_can_go_back(clock: VirtualClock) -> None:
    """The wall time can be set back; the monotonic time and the timers do not notice."""
    fired: list[float] = []
    clock.call_at(2.0, lambda: fired.append(clock.time()))
    await clock.advance(1)

    clock.set_time(500.0)
    await clock.advance(1)

    assert (clock.monotonic(), fired) == (2.0, [501.0])


async def test_time_does_not_advance_backwards(clock: VirtualClock) -> None:
    """Advancing by less than nothing is refused with what to do instead."""
    with pytest.raises(ValueError, match="set_time"):
        await clock.advance(-1)


async def test_an_error_in_a_timer_comes_out(clock: VirtualClock) -> None:
    """An error in a timer's callback reaches who advances the clock."""
    clock.call_at(1.0, lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        await clock.advance(1)
