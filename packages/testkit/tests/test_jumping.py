"""Time that jumps when all wait."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure import ActorSystem, Event, Message, PersistentActor
from perdure.actors import Actor, Context
from perdure.errors import AskTimeout
from perdure_testkit import Stalled, VirtualClock
from perdure_testkit._jumping import Jumps


class Hold(Message[int]):
    """Never answered."""


class Tick(Message[None]):
    pass


class Ticks(Message[int]):
    pass


class Ticker(Actor):
    """Ticks every 60 seconds."""

    def __init__(self) -> None:
        self.ticks = 0

    async def started(self, context: Context) -> None:
        context.every(60, Tick())

    async def handle(self, message: Message[object], context: Context) -> int | None:
        if isinstance(message, Hold):
            await asyncio.get_running_loop().create_future()
        self.ticks += isinstance(message, Tick)
        return self.ticks


class Add(Message[int]):
    pass


class Added(Event):
    pass


class Count(PersistentActor[int, Added]):
    initial_state = 0

    async def handle(self, message: Message[int], context: Context) -> int:
        await self.persist(Added())
        return self.state

    def apply(self, state: int, event: Added) -> int:
        return state + 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say soon that a loop is stalled, also beside the threads of other tests."""
    monkeypatch.setattr(Jumps, "PATIENCE", 0.1)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def jumping() -> AsyncIterator[VirtualClock]:
    async with VirtualClock().jumping() as clock:
        yield clock


async def sleep(clock: VirtualClock, seconds: float) -> float:
    """Wait on the clock, as code under test does, and return the time then."""
    woken = asyncio.Event()
    clock.call_at(clock.monotonic() + seconds, woken.set)
    await woken.wait()
    return clock.monotonic()


async def test_time_jumps_to_the_next_timer(clock: VirtualClock) -> None:
    """A test awaits what it wants; it is there at once, and the clock says when it was."""
    began = time.monotonic()

    async with clock.jumping():
        woken = await sleep(clock, 1000)

    assert woken == 1000
    assert time.monotonic() - began < 1


async def test_time_stands_still_outside_of_the_block(clock: VirtualClock) -> None:
    """After the block time does not jump any more, and the loop waits as ever."""
    async with clock.jumping():
        await sleep(clock, 1)

    sleeping = asyncio.ensure_future(sleep(clock, 1))
    await asyncio.sleep(0.02)

    assert (sleeping.done(), clock.monotonic()) == (False, 1)
    sleeping.cancel()


async def test_time_stands_still_while_something_can_run(clock: VirtualClock) -> None:
    """However many turns a task takes, time does not jump before it waits."""
    clock.call_at(1.0, lambda: None)

    async with clock.jumping():
        for _ in range(1000):
            await asyncio.sleep(0)

        assert clock.monotonic() == 0


async def test_sleepers_wake_in_order(clock: VirtualClock) -> None:
    """Each task that sleeps wakes at its own time, in order, and each time the same."""
    async with clock.jumping():
        sleepers = [sleep(clock, seconds) for seconds in (3, 1, 2, 2)]
        woken = [await sleeper for sleeper in asyncio.as_completed(sleepers)]

    assert woken == [1, 2, 2, 3]


async def test_who_is_woken_acts_before_time_goes_on(clock: VirtualClock) -> None:
    """However many steps a woken task takes, the next timer waits for them, and those that it sets count."""
    told: list[str] = []

    async def chain() -> None:
        await sleep(clock, 1)
        for _ in range(200):
            await asyncio.sleep(0)
        told.append(f"chain at {clock.monotonic():g}")
        told.append(f"again at {await sleep(clock, 0.5):g}")

    clock.call_at(2, lambda: told.append("timer at 2"))
    async with clock.jumping():
        await asyncio.gather(chain(), sleep(clock, 3))

    assert told == ["chain at 1", "again at 1.5", "timer at 2"]


async def test_cancelled_timers_take_no_time(clock: VirtualClock) -> None:
    """Time does not stop at a timer that was cancelled, and the last one moves it nowhere."""
    clock.call_at(1, lambda: None).cancel()

    async with clock.jumping():
        with pytest.raises(Stalled):
            async with clock.jumping():
                await asyncio.get_running_loop().create_future()

    assert clock.monotonic() == 0


async def test_advance_works_inside(clock: VirtualClock) -> None:
    """Time can be advanced by hand where it jumps as well."""
    async with clock.jumping():
        await clock.advance(5)

        assert clock.monotonic() == 5
        assert await sleep(clock, 5) == 10


async def test_blocks_may_be_nested(clock: VirtualClock) -> None:
    """Time jumps until the outermost block ends, also where tasks have blocks of their own."""

    async def own(seconds: float) -> float:
        async with clock.jumping():
            return await sleep(clock, seconds)

    async with clock.jumping():
        first, second = await asyncio.gather(own(1), own(2))
        third = await sleep(clock, 1)

    assert (first, second, third) == (1, 2, 3)


async def test_a_fixture_may_let_time_jump(jumping: VirtualClock) -> None:
    """The block may be around a test, in a fixture."""
    assert await sleep(jumping, 10) == 10


async def test_a_system_lives_on_it(clock: VirtualClock) -> None:
    """Periodic messages, time-outs and passivation pass at once, and in their order."""
    async with clock.jumping(), ActorSystem(clock=clock, ask_timeout=200) as system:
        ticker = await system.spawn(Ticker, "ticker")
        await sleep(clock, 301)
        ticks = await ticker.ask(Ticks())
        with pytest.raises(AskTimeout):
            await ticker.ask(Hold())

        assert (ticks, clock.monotonic()) == (5, 501)


async def test_the_loop_waits_for_its_own_timers_that_are_near(clock: VirtualClock) -> None:
    """What the loop itself has timed for a few milliseconds from now comes before a jump."""
    told: list[str] = []
    clock.call_at(1, lambda: told.append("virtual"))

    async def really() -> None:
        await asyncio.sleep(0.002)
        told.append("real")

    async with clock.jumping():
        await asyncio.gather(really(), sleep(clock, 2))

    assert told == ["real", "virtual"]


async def test_threads_come_before_a_jump(clock: VirtualClock) -> None:
    """Time does not jump before a thread has answered, if that takes less than the grace."""
    async with clock.jumping(grace=0.5):
        sleeping = asyncio.ensure_future(sleep(clock, 1))
        await asyncio.to_thread(time.sleep, 0.05)

        assert clock.monotonic() == 0
        assert await sleeping == 1


async def test_commits_of_a_store_come_before_a_jump(clock: VirtualClock, tmp_path: Path) -> None:
    """Time stands still while a store commits, even without any grace."""
    pytest.importorskip("perdure_sqlite")
    async with (
        clock.jumping(grace=0),
        ActorSystem(store=f"sqlite:///{tmp_path}/test.db", clock=clock, ask_timeout=0.001) as system,
    ):
        count = system.ref(Count, "a")
        for number in range(1, 51):
            assert await count.ask(Add()) == number

        assert clock.monotonic() < 0.001


async def test_what_waits_for_ever_is_stalled(clock: VirtualClock) -> None:
    """Where everything waits and no timer is set, the block fails at once, and says who waits where."""

    async def wait_for_godot() -> None:
        await asyncio.get_running_loop().create_future()

    waiting = asyncio.create_task(wait_for_godot(), name="estragon")
    with pytest.raises(Stalled, match=r"no timer is set\n(.|\n)*estragon waits in .*wait_for_godot, test_jumping.py"):
        async with clock.jumping():
            await waiting

    assert waiting.cancelled()


async def test_the_body_is_cancelled_when_it_is_stalled(clock: VirtualClock) -> None:
    """The body can clean up, and the task is as if nothing had been: it can be cancelled, and time out."""
    cleaned = False

    async def body() -> None:
        nonlocal cleaned
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cleaned = True

    with pytest.raises(Stalled):
        async with clock.jumping():
            await body()

    task = asyncio.current_task()
    assert task is not None
    assert (cleaned, task.cancelling()) == (True, 0)


async def test_a_stalled_fixture_fails_its_test() -> None:
    """Where the block began in a task that is over, as a fixture's, the loop itself raises, and nothing hangs."""

    def run() -> None:
        async def body(clock: VirtualClock) -> None:
            await asyncio.get_running_loop().create_future()

        with asyncio.Runner() as runner:
            clock = VirtualClock()
            block = clock.jumping()
            runner.run(block.__aenter__())
            try:
                runner.run(body(clock))
            finally:
                runner.run(block.__aexit__(None, None, None))

    with pytest.raises(Stalled):
        await asyncio.to_thread(run)


async def test_a_timer_too_far_is_stalled(clock: VirtualClock) -> None:
    """Time jumps no farther than was allowed: so periodic timers do not let a test wait for ever."""

    async def tick() -> None:
        while True:
            await sleep(clock, 60)

    ticking = asyncio.ensure_future(tick())
    with pytest.raises(Stalled, match="the next timer is at 660 s, and time was to jump to 600 s at most"):
        async with clock.jumping(at_most=600):
            await ticking


async def test_an_error_in_a_timer_comes_out(clock: VirtualClock) -> None:
    """An error in a timer's callback is raised by the block."""
    clock.call_at(1, lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        async with clock.jumping():
            await sleep(clock, 2)


async def test_an_error_of_the_body_comes_out(clock: VirtualClock) -> None:
    """What the body raises, a cancellation as well, is not changed."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02), clock.jumping():
            clock.call_at(1, lambda: None)
            await asyncio.Event().wait()


async def test_two_clocks_do_not_jump_in_one_loop(clock: VirtualClock) -> None:
    """A second clock is refused where one jumps; it may after that."""
    other = VirtualClock()

    async with clock.jumping():
        with pytest.raises(RuntimeError, match="another clock"):
            async with other.jumping():
                pass

    async with other.jumping():
        assert await sleep(other, 1) == 1


async def test_without_threads_a_jump_takes_no_time(clock: VirtualClock) -> None:
    """The grace is for what threads and sockets might say: where there are none, time jumps at once."""
    if threading.active_count() > 1:
        pytest.skip("other tests have left threads behind")
    began = time.monotonic()

    async with clock.jumping(grace=60):
        await sleep(clock, 1)

    assert time.monotonic() - began < 5


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no wheels there")
async def test_other_loops_are_refused(clock: VirtualClock) -> None:
    """In a loop that has no selector of asyncio's, the block says what to do instead."""
    uvloop = pytest.importorskip("uvloop")

    async def body() -> None:
        async with clock.jumping():
            pass

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(body())

    with pytest.raises(RuntimeError, match="use advance"):
        await asyncio.to_thread(run)
