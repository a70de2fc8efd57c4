"""How actors start, restart and stop, with all that is below them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from textwrap import dedent

import pytest

from perdure.actors import ActorSystem, Context, Failed, Fixed, Restart, Resume, Started, Stop, Stopped, StopReason
from perdure.errors import ActorStopped, NameTaken, StartTimeout
from perdure_testkit import VirtualClock

from .puppet import (
    Do,
    MustDo,
    Puppet,
    did,
    in_turn,
    noting,
    raising,
    returning,
    spawning,
    stubborn,
    waiting,
    within_seconds,
)
from .turning import soon, turns


class TestOrder:
    async def test_of_a_stop_is_from_the_leaves_to_the_root(self, system: ActorSystem) -> None:
        """Children are over before the hook of their parent runs (AVE-49)."""
        ref = await system.spawn(Puppet, "a", started=spawning("b", started=spawning("c")))

        await ref.stop()

        assert did(system) == ["started a", "started b", "started c", "stopping c", "stopping b", "stopping a"]

    async def test_of_a_restart_is_children_then_old_then_new(self, system: ActorSystem) -> None:
        """The new instance finds the names of its children free (W-09)."""
        ref = await system.spawn(Puppet, "a", started=spawning("b"))
        await ref.tell(Do(raising(ValueError("broken"))))
        await turns()

        assert did(system) == ["started a", "started b", "stopping b", "restarting a", "started a", "started b"]

    async def test_of_critical_messages_is_before_the_children_end(self, system: ActorSystem) -> None:
        """What must be done may still ask the children (AVE-49, AVE-89)."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a", started=spawning("b"))

        async def ask_child(context: Context) -> None:
            child = context.child("b")
            assert child is not None
            await child.ask(Do(noting("asked b")))

        asks = [soon(ref.ask(Do(waiting(gate)))), soon(ref.ask(MustDo(ask_child)))]
        await turns()
        stop = soon(ref.stop())
        gate.set()
        await asyncio.gather(stop, *asks)

        assert did(system) == ["started a", "started b", "asked b", "stopping b", "stopping a"]

    async def test_of_a_passivation_with_a_hook_is_that_of_a_stop(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """The last hook runs before the actor is put away."""
        await system.ref(Puppet, "a").ask(Do(returning(1)))

        await clock.advance(301)

        assert (did(system), system.live) == (["started a", "stopping a"], 0)


class TestStart:
    async def test_that_fails_ends_with_the_last_hook(self, system: ActorSystem) -> None:
        """What `started` has opened, `stopping` can close."""
        with pytest.raises(LookupError):
            await system.spawn(Puppet, "a", started=raising(LookupError()))

        assert did(system) == ["started a", "stopping a"]

    async def test_that_fails_ends_the_children_it_has_made(self, system: ActorSystem) -> None:
        """No orphan keeps a name (W-09)."""

        async def fail_late(context: Context) -> None:
            await context.spawn(Puppet, "b")
            raise LookupError("after the children")

        for _ in range(3):
            with pytest.raises(LookupError, match="after the children"):
                await system.spawn(Puppet, "a", started=fail_late)

        assert (did(system)[:4], system.live) == (["started a", "started b", "stopping b", "stopping a"], 0)

    async def test_that_fails_in_the_constructor_frees_the_name(self, system: ActorSystem) -> None:
        """The creator gets the error (AVE-32, AVE-53)."""

        class Strict(Puppet):
            def __init__(self) -> None:
                super().__init__()

        with pytest.raises(TypeError, match="unexpected keyword"):
            await system.spawn(Strict, "a", surprise=1)

        assert (await (await system.spawn(Puppet, "a")).ask(Do(returning(1))), system.live) == (1, 1)

    async def test_that_fails_frees_the_name_however_busy_the_system_is(self, system: ActorSystem) -> None:
        """Whoever learns of the failure may use the name at once (AVE-32)."""
        for n in range(100):
            await system.ref(Puppet, str(n)).tell(Do(returning(None)))

        with pytest.raises(LookupError):
            await system.spawn(Puppet, "a", started=raising(LookupError()))

        assert (await system.spawn(Puppet, "a")).is_live

    async def test_that_hangs_fails_after_its_timeout(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The name, and those of children made so far, are free again (AVE-33, W-09)."""

        async def hang(context: Context) -> None:
            await context.spawn(Puppet, "b")
            await asyncio.Event().wait()

        timely = type("Timely", (Puppet,), {"start_timeout": 0.02})
        spawn = soon(system.spawn(timely, "a", started=hang))
        await clock.advance(0.01)
        pending = not spawn.done()
        await clock.advance(0.01)

        with pytest.raises(StartTimeout, match=r"/user/a did not start within 0\.02 s"):
            await spawn
        assert (pending, system.live) == (True, 0)
        assert (await system.spawn(Puppet, "a")).is_live

    async def test_in_time_is_not_disturbed_by_its_timeout(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The limit is for the start alone."""
        timely = type("Timely", (Puppet,), {"start_timeout": 1})
        ref = await system.spawn(timely, "a")
        gate = asyncio.Event()
        ask = soon(ref.ask(Do(waiting(gate))))
        await clock.advance(10)
        gate.set()

        await ask

        assert did(system) == ["started a"]

    async def test_with_a_timeout_may_stop_its_own_actor(self, system: ActorSystem) -> None:
        """It does not wait for itself (W-08)."""

        async def leave(context: Context) -> None:
            await context.ref.stop()

        timely = type("Timely", (Puppet,), {"start_timeout": 1})

        await within_seconds(system.spawn(timely, "a", started=leave))

        await turns()
        assert system.live == 0

    async def test_whose_awaited_task_was_cancelled_says_so(self, system: ActorSystem) -> None:
        """A cancellation that is not the actor's own is a failed start."""

        async def await_cancelled(context: Context) -> None:
            task = asyncio.ensure_future(asyncio.sleep(100))
            task.cancel()
            await task

        with pytest.raises(ActorStopped, match="something that its start awaited was cancelled"):
            await system.spawn(Puppet, "a", started=await_cancelled)

        assert (did(system), system.live) == (["started a", "stopping a"], 0)

    async def test_that_is_stopped_comes_to_its_end_first(self, system: ActorSystem) -> None:
        """Each `started` that was begun is followed by `stopping`."""
        gate = asyncio.Event()
        spawn = soon(system.spawn(Puppet, "a", started=waiting(gate)))
        await turns()
        stop = soon(next(iter(system.children("/user"))).stop())
        await turns()
        gate.set()

        await asyncio.gather(spawn, stop)

        assert did(system) == ["started a", "stopping a"]

    async def test_that_fails_is_an_event_with_its_cause(self, system: ActorSystem) -> None:
        """Whoever watches over the system sees what and why (W-15)."""
        error = LookupError("no parents")
        events = system.events()
        with pytest.raises(LookupError):
            await system.spawn(Puppet, "a", started=raising(error))

        assert [(type(event), getattr(event, "error", None)) for event in events.take_all()] == [
            (Failed, error),
            (Stopped, error),
        ]


class TestRestart:
    async def test_keeps_the_name_while_the_start_is_tried_again(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """The path leads to the actor all the time (AVE-34, AVE-35)."""
        patient = type("Patient", (Puppet,), {"supervision": Restart(backoff=Fixed(1))})
        ref = await system.spawn(patient, "a")
        await ref.tell(Do(raising(ValueError("broken"))))
        await turns()
        found = system.find("/user/a")
        assert found is not None
        ask = soon(found.ask(Do(returning(7))))

        await clock.advance(1)

        assert await ask == 7

    async def test_ends_the_tasks_and_timers_of_the_old_instance(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """Nothing of the old instance reaches the new one."""

        async def prepare(context: Context) -> None:
            context.schedule_once(5, Do(noting("rang")))
            context.pipe_to_self(asyncio.Event().wait(), lambda _: Do(noting("piped")))

        ref = await system.spawn(Puppet, "a", started=in_turn(prepare, returning(None)))
        await ref.tell(Do(raising(ValueError("broken"))))
        await clock.advance(10)

        assert did(system) == ["started a", "restarting a", "started a"]

    async def test_survives_a_last_hook_that_is_cancelled_by_what_it_awaits(self, system: ActorSystem) -> None:
        """As after any other error of the hook, the new instance takes over."""

        async def await_cancelled(context: Context) -> None:
            task = asyncio.ensure_future(asyncio.sleep(100))
            task.cancel()
            await task

        ref = await system.spawn(Puppet, "a", restarting=await_cancelled)
        await ref.tell(Do(raising(ValueError("broken"))))

        assert await ref.ask(Do(returning(1))) == 1


class TestStop:
    async def test_returns_when_all_below_is_over(self, system: ActorSystem) -> None:
        """Names in the whole tree are free, hooks have run (W-14)."""
        ref = await system.spawn(Puppet, "a", started=spawning("b", started=spawning("c")))

        await ref.stop()

        assert (system.live, len(did(system))) == (0, 6)

    async def test_lets_closed_return_only_at_the_very_end(self, system: ActorSystem) -> None:
        """Not when the stop begins, but after the last hook (AVE-56, W-14)."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a", stopping=waiting(gate))
        stop, closed = soon(ref.stop()), soon(ref.closed())
        await turns()
        early = (closed.done(), ref.is_live)
        gate.set()

        await asyncio.gather(stop, closed)

        assert (early, ref.is_live) == ((False, True), False)

    async def test_that_closes_the_system_waits_for_an_actor_that_is_stopping_already(self) -> None:
        """Leaving `async with` waits for the hooks of those that were told to stop before (W-14)."""
        gate = asyncio.Event()
        async with ActorSystem(clock=VirtualClock()) as system:
            ref = await system.spawn(Puppet, "a", stopping=waiting(gate))
            stop = soon(ref.stop())
            await turns()
            asyncio.get_running_loop().call_soon(gate.set)
        await stop

        assert did(system) == ["started a", "stopping a"]

    async def test_has_children_end_at_the_same_time(self, system: ActorSystem) -> None:
        """The slowest child decides, not their sum (AVE-50)."""
        met = asyncio.Barrier(10)

        async def meet(context: Context) -> None:
            await met.wait()

        ref = await system.spawn(Puppet, "a", started=spawning(*"bcdefghijk", stopping=meet))

        await within_seconds(ref.stop())

        assert system.live == 0

    async def test_gives_the_whole_tree_one_deadline(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A child does not begin its time when its parent's is half over (AVE-39)."""
        never = asyncio.Event()
        ref = await system.spawn(Puppet, "a", started=spawning("b", stopping=waiting(never)), stopping=waiting(never))
        stop = soon(ref.stop(timeout=3))
        await clock.advance(2.9)
        pending = not stop.done()
        await clock.advance(0.2)

        await stop

        assert (pending, system.live) == (True, 0)

    async def test_cuts_a_child_short_at_its_own_timeout(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A stuck child with little time does not use up that of its parent (AVE-39)."""
        hasty = type("Hasty", (Puppet,), {"stop_timeout": 0.02})

        async def spawn_hasty(context: Context) -> None:
            child = await context.spawn(hasty, "b")
            await child.tell(Do(waiting(asyncio.Event())))

        ref = await system.spawn(Puppet, "a", started=spawn_hasty)
        stop = soon(ref.stop())

        await clock.advance(0.05)

        assert (stop.done(), did(system)[-1]) == (True, "stopping a")

    async def test_may_be_given_more_time_than_is_usual(self, system: ActorSystem, clock: VirtualClock) -> None:
        """What the caller says is in place of the system's timeout."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a", stopping=waiting(gate))
        stop = soon(ref.stop(timeout=60))
        await clock.advance(59)
        assert not stop.done()
        gate.set()

        await stop

        assert system.live == 0

    async def test_is_not_put_off_by_another_stop(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The earliest deadline holds, and asking again gives no new grace."""
        system.resources["release"] = release = asyncio.Event()
        ref = await system.spawn(Puppet, "a")
        ask = soon(ref.ask(Do(stubborn)))
        await turns()
        stops = [soon(ref.stop(timeout=1))]
        await clock.advance(1.5)
        stops.append(soon(ref.stop(timeout=0)))
        stops.append(soon(ref.stop(timeout=60)))
        await clock.advance(0.6)

        assert [stop.done() for stop in stops] == [True] * 3
        release.set()
        with pytest.raises(ActorStopped):
            await ask

    async def test_abandons_a_handler_that_swallows_its_cancellation(
        self, system: ActorSystem, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """After a second of grace its name is free and its asker is told."""
        system.resources["release"] = release = asyncio.Event()
        ref = await system.spawn(Puppet, "a")
        ask = soon(ref.ask(Do(stubborn)))
        await turns()
        stop = soon(ref.stop())
        await clock.advance(6.1)

        with pytest.raises(ActorStopped, match="/user/a"):
            await ask
        assert (stop.done(), system.live) == (True, 0)
        assert "/user/a does not end, though it was cancelled: it is left to itself" in caplog.text
        release.set()

    async def test_abandons_a_tree_from_its_leaves(self, system: ActorSystem, clock: VirtualClock) -> None:
        """When the parent is over, no child keeps its name."""
        system.resources["release"] = release = asyncio.Event()
        ref = await system.spawn(Puppet, "a", started=spawning("b", started=spawning("c", stopping=stubborn)))
        live = soon(_live_after(ref.stop(), system))

        await clock.advance(6.1)

        assert await live == 0
        release.set()
        await turns()

    async def test_with_a_stuck_handler_waits_for_its_idle_children(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """A parent that is cancelled is over after its children all the same (W-14)."""
        ref = await system.spawn(Puppet, "a", started=spawning("b", "c"))
        ask = soon(ref.ask(Do(waiting(asyncio.Event()))))
        await turns()
        live = soon(_live_after(ref.stop(), system))

        await clock.advance(5.1)

        assert await live == 0
        with pytest.raises(ActorStopped):
            await ask

    async def test_lets_nobody_suffer_from_a_cancellation_that_was_swallowed(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """Actors that run next in the same task are not cancelled."""

        async def swallow(context: Context) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await other.tell(Do(task_is_cancelled))

        async def task_is_cancelled(context: Context) -> None:
            task = asyncio.current_task()
            assert task is not None
            did(system).append(task.cancelling())

        other = await system.spawn(Puppet, "other")
        ref = await system.spawn(Puppet, "a")
        await ref.tell(Do(swallow))
        await turns()
        stop = soon(ref.stop(timeout=1))
        await clock.advance(1)

        await stop

        assert did(system) == ["started other", "started a", 0]

    async def test_by_supervision_has_a_deadline_too(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A last hook that hangs does not keep the name for ever."""
        fragile = type("Fragile", (Puppet,), {"supervision": Stop()})
        ref = await system.spawn(fragile, "a", stopping=waiting(asyncio.Event()))
        await ref.tell(Do(raising(ValueError("broken"))))

        await clock.advance(5.1)

        assert system.live == 0

    async def test_handles_critical_messages_and_answers_the_others(self, system: ActorSystem) -> None:
        """All in their order; who is not critical learns that the actor is over (AVE-88, AVE-89)."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a")
        first = soon(ref.ask(Do(waiting(gate))))
        await turns()
        asks = [soon(ref.ask(kind(returning(n)))) for n, kind in enumerate((MustDo, Do, MustDo, Do))]
        await turns()
        stop = soon(ref.stop())
        gate.set()
        await asyncio.gather(first, stop)

        replies = await asyncio.gather(*asks, return_exceptions=True)

        assert [reply if isinstance(reply, int) else type(reply) for reply in replies] == [
            0,
            ActorStopped,
            2,
            ActorStopped,
        ]

    async def test_handles_a_critical_message_that_comes_while_it_handles_another(self, system: ActorSystem) -> None:
        """The way to the end is open for them until they are all handled (AVE-89)."""

        async def one_more(context: Context) -> None:
            await context.ref.tell(MustDo(noting("second")))

        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a")
        asks = [soon(ref.ask(Do(waiting(gate)))), soon(ref.ask(MustDo(one_more)))]
        await turns()
        stop = soon(ref.stop())
        gate.set()

        await asyncio.gather(stop, *asks)

        assert did(system) == ["started a", "second", "stopping a"]

    async def test_has_critical_messages_end_with_its_deadline(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The one in hand is cancelled, those behind it are answered (AVE-89)."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a")
        first = soon(ref.ask(Do(waiting(gate))))
        asks = [soon(ref.ask(MustDo(waiting(asyncio.Event())))) for _ in range(2)]
        await turns()
        stop = soon(ref.stop(timeout=2))
        gate.set()
        await clock.advance(2.1)

        results = await asyncio.gather(first, *asks, return_exceptions=True)

        assert ([type(result) for result in results], stop.done()) == ([type(None), ActorStopped, ActorStopped], True)

    async def test_goes_on_with_critical_messages_after_one_has_failed(self, system: ActorSystem) -> None:
        """One broken message does not cost the others (AVE-89)."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a")
        asks = [soon(ref.ask(Do(waiting(gate)))), soon(ref.ask(MustDo(raising(ValueError("broken")))))]
        asks.append(soon(ref.ask(MustDo(returning(3)))))
        await turns()
        stop = soon(ref.stop())
        gate.set()

        results = await asyncio.gather(*asks, return_exceptions=True)

        await stop
        assert [type(results[1]), results[2]] == [ValueError, 3]

    async def test_that_is_asked_for_in_the_middle_of_a_restart_holds(self, system: ActorSystem) -> None:
        """The old instance has had its last hook; no new one is made."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a", restarting=waiting(gate))
        await ref.tell(Do(raising(ValueError("broken"))))
        await turns()
        stop = soon(ref.stop())
        await turns()
        gate.set()

        await stop

        assert did(system) == ["started a", "restarting a"]

    async def test_of_one_path_by_many_while_many_create_it(self, system: ActorSystem) -> None:
        """Whatever the order, each has its name or an error, and nothing is left (AVE-67, AVE-68)."""

        async def live_once() -> None:
            try:
                ref = await system.spawn(Puppet, "a")
            except NameTaken:
                return
            await asyncio.gather(*(ref.stop() for _ in range(4)))

        await within_seconds(_all(*(live_once() for _ in range(64))))

        notes = did(system)
        assert notes == ["started a", "stopping a"] * (len(notes) // 2)
        assert (system.live, bool(notes)) == (0, True)

    async def test_cancelled_by_its_caller_goes_on(self, system: ActorSystem) -> None:
        """The actor ends whether somebody waits for it or not."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a", stopping=waiting(gate))
        stop = soon(ref.stop())
        await turns()
        stop.cancel()
        gate.set()

        await ref.closed()

        assert system.live == 0

    async def test_asked_for_by_a_child_ends_both(self, system: ActorSystem) -> None:
        """A child that stops its parent does not wait for its own end (W-08)."""

        async def stop_parent(context: Context) -> None:
            assert context.parent is not None
            await context.parent.stop()

        async def tell_child(context: Context) -> None:
            child = await context.spawn(Puppet, "b")
            await child.tell(Do(stop_parent))

        ref = await system.spawn(Puppet, "a")
        await ref.ask(Do(tell_child))

        await within_seconds(ref.closed())

        assert did(system) == ["started a", "started b", "stopping b", "stopping a"]


class TestClose:
    async def test_honours_the_timeout_of_a_stuck_root(self, clock: VirtualClock) -> None:
        """An actor's own limit is shorter than the system's (AVE-40)."""
        hasty = type("Hasty", (Puppet,), {"stop_timeout": 0.02})
        async with ActorSystem(clock=clock, stop_timeout=1000) as system:
            ref = await system.spawn(hasty, "a")
            ask = soon(ref.ask(Do(waiting(asyncio.Event()))))
            await turns()
            closing = soon(system.close())
            await clock.advance(0.05)

            assert closing.done()
        with pytest.raises(ActorStopped):
            await ask

    async def test_of_idle_actors_takes_no_time(self, clock: VirtualClock) -> None:
        """Nothing waits for a timer (AVE-63, AVE-78)."""
        async with ActorSystem(clock=clock) as system:
            for n in range(50):
                await system.spawn(Puppet, str(n), started=spawning("b"))

            await within_seconds(system.close())

        assert (system.live, len(did(system)), clock.monotonic()) == (0, 200, 0)

    async def test_inside_a_handler_lets_it_end(self, clock: VirtualClock) -> None:
        """The one who asks has its reply, and the system closes (W-08)."""

        async def close(context: Context) -> str:
            await context.system.close()
            return "asked for"

        async with ActorSystem(clock=clock) as system:
            ref = await system.spawn(Puppet, "a")

            assert await within_seconds(ref.ask(Do(close))) == "asked for"

        assert (did(system), system.live) == (["started a", "stopping a"], 0)

    async def test_inside_the_handler_of_a_child_lets_it_end(self, clock: VirtualClock) -> None:
        """Also when its parent waits for its reply (W-08)."""

        async def close(context: Context) -> str:
            await context.system.close()
            return "asked for"

        async def ask_child(context: Context) -> object:
            child = await context.spawn(Puppet, "b")
            return await child.ask(Do(close))

        async with ActorSystem(clock=clock) as system:
            ref = await system.spawn(Puppet, "a")

            assert await within_seconds(ref.ask(Do(ask_child))) == "asked for"

        assert did(system) == ["started a", "started b", "stopping b", "stopping a"]

    async def test_inside_hooks_is_as_good(self, clock: VirtualClock) -> None:
        """`started` and `stopping` may ask for it too (W-08)."""

        async def close(context: Context) -> None:
            await context.system.close()

        async with ActorSystem(clock=clock) as system:
            await within_seconds(system.spawn(Puppet, "a", started=close, stopping=close))

        assert (did(system), system.live) == (["started a", "stopping a"], 0)

    async def test_leaves_no_task_behind(self, clock: VirtualClock) -> None:
        """What the system has begun, it ends."""
        before = asyncio.all_tasks()
        async with ActorSystem(clock=clock) as system:
            refs = [await system.spawn(Puppet, str(n), started=spawning("b")) for n in range(20)]
            await asyncio.gather(*(ref.ask(Do(lambda _: asyncio.sleep(0))) for ref in refs))
            await refs[0].tell(Do(raising(ValueError("broken"))))
            await refs[1].tell(Do(raising(ValueError("broken"))))

        assert asyncio.all_tasks() == before

    async def test_does_not_wait_for_a_handler_that_was_abandoned(self, clock: VirtualClock) -> None:
        """Closing takes a bounded time, whatever handlers do (AVE-40)."""
        release = asyncio.Event()
        async with ActorSystem(clock=clock, stop_timeout=5, resources={"release": release}) as system:
            ref = await system.spawn(Puppet, "a")
            ask = soon(ref.ask(Do(stubborn)))
            await turns()
            closing = soon(system.close())
            await clock.advance(6.1)

            assert closing.done()
        release.set()
        with pytest.raises(ActorStopped):
            await ask
        await turns()

    async def test_stops_actors_that_start(self, clock: VirtualClock) -> None:
        """Their creators are told, or have actors that are over (AVE-37)."""
        gate = asyncio.Event()
        async with ActorSystem(clock=clock) as system:
            spawn = soon(system.spawn(Puppet, "a", started=waiting(gate)))
            await turns()
            asyncio.get_running_loop().call_soon(gate.set)
        ref = await spawn

        with pytest.raises(ActorStopped):
            await ref.ask(Do(returning(1)))

    async def test_has_the_stops_of_all_as_events(self, clock: VirtualClock) -> None:
        """Each start has its stop, with its reason."""
        async with ActorSystem(clock=clock) as system:
            events = system.events()
            await system.spawn(Puppet, "a", started=spawning("b"))

        seen = [(type(event), getattr(event, "reason", None)) for event in events.take_all()]
        assert seen == [(Started, None)] * 2 + [(Stopped, StopReason.STOPPED)] * 2


class TestCancellation:
    async def test_from_outside_ends_the_tree_and_answers_its_askers(self, system: ActorSystem) -> None:
        """Whoever cancels all tasks of a loop leaves no actor half alive."""
        ref = await system.spawn(Puppet, "a", started=spawning("b"))
        ask = soon(ref.ask(Do(waiting(asyncio.Event()))))
        await turns()
        cell = system._find("/user/a")
        assert cell is not None
        assert cell._task is not None
        cell._task.cancel()

        with pytest.raises(ActorStopped):
            await ask
        await turns()
        assert system.live == 0


class TestTheProcessEnding:
    @pytest.mark.parametrize("error", ["KeyboardInterrupt()", "SystemExit(3)"])
    def test_in_a_handler_runs_the_hooks_of_the_others(self, error: str) -> None:
        """The actor in hand is over; the rest stops as at any other end."""
        run = _python(f"""
            async with ActorSystem() as system:
                await system.spawn(Puppet, "other")
                ref = await system.spawn(Puppet, "a", started=spawning("child"))
                await ref.tell(Do(raising({error})))
                await asyncio.sleep(60)
        """)

        assert run.stdout.split() == ["started:other", "started:a", "started:child", "stopping:child", "stopping:other"]

    def test_by_an_exit_keeps_its_code(self) -> None:
        """A handler may end the program."""
        run = _python("""
            async with ActorSystem() as system:
                ref = await system.spawn(Puppet, "a")
                await ref.ask(Do(raising(SystemExit(3))))
        """)

        assert (run.returncode, "never retrieved" in run.stderr) == (3, False)

    def test_by_an_interrupt_is_told_once(self) -> None:
        """The traceback is that of the interrupt, without any noise of tasks."""
        run = _python("""
            async with ActorSystem() as system:
                ref = await system.spawn(Puppet, "a")
                await ref.ask(Do(raising(KeyboardInterrupt())))
        """)

        assert ("KeyboardInterrupt" in run.stderr, "never retrieved" in run.stderr) == (True, False)

    def test_by_some_other_base_exception_answers_the_asker(self) -> None:
        """It ends the actor, and is not lost; the others go on."""
        run = _python("""
            class Strange(BaseException):
                pass

            async with ActorSystem() as system:
                other = await system.spawn(Puppet, "other")
                ref = await system.spawn(Puppet, "a")
                try:
                    await ref.ask(Do(raising(Strange())))
                except Exception as error:
                    print(type(error).__name__)
                print(await other.ask(Do(returning("alive"))), ref.is_live)
        """)

        lines = run.stdout.split("\n")[2:4]
        assert (lines, run.returncode) == (["ActorStopped", "alive False"], 0)
        assert "Strange" in run.stderr


async def test_debug_mode_has_nothing_to_say(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """asyncio, told to look closely, finds nothing wrong with the tasks of a system."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 10
    with caplog.at_level(logging.WARNING):
        async with ActorSystem(clock=clock) as system:
            ref = await system.spawn(Puppet, "a", started=spawning("b"))
            await asyncio.gather(*(ref.ask(Do(lambda _: asyncio.sleep(0))) for _ in range(10)))
            await ref.tell(Do(lambda context: context.ref.stop()))
            await ref.closed()
            assert "perdure-runner" in "".join(map(repr, asyncio.all_tasks()))
    loop.set_debug(False)

    assert caplog.records == []


async def test_a_hook_of_an_instance_that_resumes_is_not_run(system: ActorSystem) -> None:
    """Only a replacement or an end has hooks."""
    calm = type("Calm", (Puppet,), {"supervision": Resume()})
    ref = await system.spawn(calm, "a")
    await ref.tell(Do(raising(ValueError("broken"))))
    await ref.ask(Do(returning(1)))

    assert did(system) == ["started a"]


async def _live_after(stop: object, system: ActorSystem) -> int:
    await stop  # type: ignore[misc]
    return system.live


async def _all(*work: object) -> None:
    await asyncio.gather(*work)  # type: ignore[call-overload]


def _python(body: str) -> subprocess.CompletedProcess[str]:
    """Run the body of an async function in a process of its own."""
    program = dedent("""
        import asyncio
        from perdure.actors import Actor, ActorSystem, Message

        class Do(Message[object]):
            what: object

        class Puppet(Actor):
            def __init__(self, started=None):
                self.hook = started
            async def started(self, context):
                print(f"started:{context.key}", flush=True)
                if self.hook:
                    await self.hook(context)
            async def handle(self, message, context):
                return await message.what(context)
            async def stopping(self, context):
                print(f"stopping:{context.key}", flush=True)

        def raising(error):
            async def deed(context):
                raise error
            return deed

        def returning(value):
            async def deed(context):
                return value
            return deed

        def spawning(name):
            async def deed(context):
                await context.spawn(Puppet, name)
            return deed

        async def main():
    """)
    indented = "\n".join(f"    {line}" for line in dedent(body).splitlines())
    code = f"{program}{indented}\nasyncio.run(main())\n"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
