"""The rules of actor runtimes about time."""

from __future__ import annotations

from perdure_replication.runtime import NewRuntime
from perdure_replication.testing._clerk import HOLD, REPORT, Clerk, in_thread, until
from perdure_replication.testing._clock import TestClock
from perdure_replication.testing._runtime_contract._material import Material


class Timers(Material):
    """What is sent later, and again and again."""

    async def test_a_message_comes_again_and_again(self, new_runtime: NewRuntime) -> None:
        """Of `send_every` one message comes after each interval, the first after one (ADAPT-04)."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock) as (runtime, _, ref):
            runtime.send_every(ref, 10.0, "tick")

            counts = [len(await ref.ask(REPORT))]
            for _ in range(3):
                await clock.advance(10.0)
                counts.append(len(await ref.ask(REPORT)))

            assert counts == [0, 1, 2, 3]

    async def test_a_message_comes_once(self, new_runtime: NewRuntime) -> None:
        """Of `send_after` one message comes after the delay, and no other (ADAPT-05)."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock) as (runtime, _, ref):
            runtime.send_after(ref, 10.0, "once")

            await clock.advance(9.9)
            early = await ref.ask(REPORT)
            await clock.advance(0.1)
            then = await ref.ask(REPORT)
            await clock.advance(100.0)

            assert (early, then, await ref.ask(REPORT)) == ([], ["once"], ["once"])

    async def test_a_cancelled_timer_is_silent(self, new_runtime: NewRuntime) -> None:
        """After `cancel` no message comes; it may be called again, by a thread, and after the end (ADAPT-06)."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock) as (runtime, _, ref):
            again, once = runtime.send_every(ref, 10.0, "tick"), runtime.send_after(ref, 10.0, "once")
            await clock.advance(10.0)
            before = await ref.ask(REPORT)
            never = runtime.send_after(ref, 10.0, "never")

            again.cancel()
            await in_thread(never.cancel, self.patience)
            for timer in (again, once, never):
                timer.cancel()
            await clock.advance(100.0)

            assert sorted(before) == ["once", "tick"]
            assert await ref.ask(REPORT) == before

    async def test_no_message_is_begun_after_a_cancel(self, new_runtime: NewRuntime) -> None:
        """Not even one that is in the mailbox when its timer is cancelled (ADAPT-06)."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock) as (runtime, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            timers = [runtime.send_every(ref, 10.0, "tick"), runtime.send_after(ref, 10.0, "once")]
            await clock.advance(10.0)

            for timer in timers:
                timer.cancel()
            clerk.release()

            assert await ref.ask(REPORT) == []

    async def test_a_full_mailbox_ends_no_timer(self, new_runtime: NewRuntime) -> None:
        """A message that finds no room is left out and counted, and the next comes; one that comes once comes later."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock, capacity=1) as (runtime, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            ref.send("full")
            runtime.send_every(ref, 10.0, "tick")
            runtime.send_after(ref, 10.0, "once")
            await clock.advance(10.0)
            left_out = runtime.metrics().full
            clerk.release()
            noted = await ref.ask(REPORT)
            await clock.advance(1.0)
            later = await ref.ask(REPORT)
            await clock.advance(9.0)

            assert left_out >= 2
            assert (noted, later) == (["full"], ["full", "once"])
            assert await ref.ask(REPORT) == ["full", "once", "tick"]

    async def test_a_busy_actor_is_sent_one_tick(self, new_runtime: NewRuntime) -> None:
        """While a message of a timer waits to be handled no other is added."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock) as (runtime, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            runtime.send_every(ref, 10.0, "tick")

            await clock.advance(100.0)
            clerk.release()

            assert await ref.ask(REPORT) == ["tick"]

    async def test_a_timer_ends_with_its_actor(self, new_runtime: NewRuntime) -> None:
        """When the actor is over nothing comes, not to a later one of the name either, and nothing is raised."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock) as (runtime, _, ref):
            runtime.send_every(ref, 10.0, "tick")
            await ref.stop()
            again = await Clerk(runtime, self.patience).start("a")

            await clock.advance(30.0)

            assert await again.ask(REPORT) == []
