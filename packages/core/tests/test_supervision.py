"""What happens to actors that fail, as their supervision says."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from perdure.actors import (
    ActorRef,
    ActorSystem,
    AllForOne,
    Backoff,
    ByError,
    Context,
    Delays,
    Escalate,
    Failed,
    Fixed,
    Restart,
    Restarted,
    Resume,
    Schedule,
    Stop,
    Stopped,
    StopReason,
    Supervision,
)
from perdure.errors import ActorStopped, SystemCrashed
from perdure_testkit import VirtualClock

from .puppet import (
    Deed,
    Do,
    MustDo,
    Puppet,
    did,
    in_turn,
    noting,
    raising,
    returning,
    spawning,
    waiting,
    within_seconds,
)
from .turning import soon, turns

BROKEN = Do(raising(ValueError("broken")))
NOTHING = Do(returning(None))


async def family(system: ActorSystem, supervision: Supervision, names: str = "bc", **hooks: Deed) -> list[ActorRef]:
    """Return a parent that is the root, and its children."""

    async def bear(context: Context) -> None:
        for name in names:
            await context.spawn(Puppet, name, supervision=supervision, **hooks)

    parent = await system.spawn(Puppet, "a", started=bear)
    return [parent, *system.children("/user/a")]


class TestSchedules:
    def test_of_no_delay_begin_at_once(self) -> None:
        """`Fixed()` has no wait, whatever the attempt (AVE-55, AVE-96)."""
        assert [Fixed().delay(attempt) for attempt in (1, 2, 100)] == [0, 0, 0]

    def test_of_a_fixed_delay_have_no_other(self) -> None:
        """Each attempt waits as long (AVE-96)."""
        assert [Fixed(1.5).delay(attempt) for attempt in (1, 2, 100)] == [1.5, 1.5, 1.5]

    def test_of_given_delays_end_after_the_last(self) -> None:
        """There are as many attempts as delays (AVE-54, AVE-96)."""
        assert [Delays((0.01, 0.02, 0.03)).delay(attempt) for attempt in (1, 2, 3, 4)] == [0.01, 0.02, 0.03, None]

    def test_of_a_backoff_grow_to_the_longest(self) -> None:
        """The first attempt has a wait of its own (AVE-96)."""
        backoff = Backoff(first=0.5, initial=1, factor=3, longest=20)

        assert [backoff.delay(attempt) for attempt in (1, 2, 3, 4, 5, 10**9)] == [0.5, 1, 3, 9, 20, 20]

    @pytest.mark.parametrize("schedule", [Fixed(10, jitter=0.2), Backoff(first=10, initial=10, factor=1, jitter=0.2)])
    def test_with_jitter_take_a_part_away_by_chance(self, schedule: Schedule) -> None:
        """No wait is longer than without it."""
        assert [schedule.delay(2, chance) for chance in (0, 0.5, 1)] == [10, 9, 8]

    @pytest.mark.parametrize("jitter", [-0.1, 1.1])
    def test_with_too_much_jitter_are_refused(self, jitter: float) -> None:
        """A wait cannot be less than nothing."""
        with pytest.raises(ValueError, match="jitter is from 0 to 1"):
            Fixed(1, jitter=jitter)

    async def test_with_jitter_repeat_themselves_with_the_seed(self) -> None:
        """Chance comes from the system's seed."""

        async def restarts(seed: int) -> list[float]:
            clock = VirtualClock()
            async with ActorSystem(clock=clock, seed=seed) as system:
                times: list[float] = []

                async def note_time(context: Context) -> None:
                    times.append(clock.monotonic())

                supervision = Restart(backoff=Fixed(1, jitter=0.5))
                ref = await system.spawn(Puppet, "a", supervision=supervision, started=note_time)
                for _ in range(3):
                    await ref.tell(BROKEN)
                    await clock.advance(1)
            return times

        assert await restarts(1) == await restarts(1) != await restarts(2)

    async def test_may_be_written_by_users(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Anything with a method `delay` is one (AVE-54)."""

        class Twice:
            def delay(self, attempt: int, chance: float = 0.0, /) -> float | None:
                return 5.0 if attempt <= 2 else None

        supervision = Restart(backoff=Twice())
        ref = await system.spawn(Puppet, "a", supervision=supervision)
        for _ in range(3):
            await ref.tell(BROKEN)
            await clock.advance(5)

        assert (isinstance(supervision.backoff, Schedule), did(system).count("started a"), ref.is_live) == (
            True,
            3,
            False,
        )

    async def test_that_raise_stop_the_actor(self, system: ActorSystem, caplog: pytest.LogCaptureFixture) -> None:
        """A mistake in a schedule is logged, and costs one actor alone."""

        class Mistaken:
            def delay(self, attempt: int, chance: float = 0.0, /) -> float | None:
                raise ZeroDivisionError("a mistake")

        ref = await system.spawn(Puppet, "a", supervision=Restart(backoff=Mistaken()))
        await ref.tell(BROKEN)
        await turns()

        assert (ref.is_live, did(system)[-1], "a mistake" in caplog.text) == (False, "stopping a", True)


class TestRestart:
    async def test_is_bounded_though_every_restart_succeeds(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A good start does not renew the budget (W-11)."""
        ref = await system.spawn(Puppet, "a", supervision=Restart(max=2, backoff=Fixed()))
        for _ in range(10):
            try:
                await ref.tell(BROKEN)
            except ActorStopped:
                break
            await turns()

        assert did(system) == ["started a"] + ["restarting a", "started a"] * 2 + ["stopping a"]

    async def test_of_no_attempts_is_a_stop(self, system: ActorSystem) -> None:
        """A budget of zero is spent by the first failure."""
        ref = await system.spawn(Puppet, "a", supervision=Restart(max=0))
        await ref.tell(BROKEN)
        await turns()

        assert ref.is_live is False

    async def test_counts_failing_starts(self, system: ActorSystem, clock: VirtualClock) -> None:
        """An actor that cannot start again is given up (AVE-52, AVE-69, W-11, ATS-67)."""
        started = in_turn(returning(None), raising(LookupError("no way back")))
        ref = await system.spawn(Puppet, "a", supervision=Restart(max=3, backoff=Fixed(1)), started=started)
        await ref.tell(BROKEN)
        await clock.advance(10)

        assert (did(system).count("started a"), ref.is_live) == (4, False)

    async def test_that_fails_again_and_again_does_not_recurse(
        self, system: ActorSystem, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The budget may be larger than the stack."""

        async def fail(context: Context) -> None:
            raise LookupError("no way back")

        caplog.set_level(logging.CRITICAL, "perdure.actors")
        attempts = sys.getrecursionlimit() + 100
        started = in_turn(returning(None), fail)
        ref = await system.spawn(Puppet, "a", supervision=Restart(max=attempts, backoff=Fixed()), started=started)
        await ref.tell(BROKEN)

        await within_seconds(ref.closed(), 20)

        assert did(system).count("started a") == attempts + 1

    async def test_that_fails_again_and_again_lets_others_work(self, system: ActorSystem) -> None:
        """Without a back-off the loop still turns, and a stop ends it (W-06)."""
        started = in_turn(returning(None), raising(LookupError("no way back")))
        ref = await system.spawn(Puppet, "a", supervision=Restart(max=10**9, backoff=Fixed()), started=started)
        await ref.tell(BROKEN)
        await turns()

        await within_seconds(ref.stop())

        assert ref.is_live is False

    async def test_in_its_backoff_keeps_what_is_queued(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The next instance handles it, in order (W-12)."""
        ref = await system.spawn(Puppet, "a", supervision=Restart(backoff=Fixed(10)))
        await ref.tell(BROKEN)
        for note in "xyz":
            await ref.tell(Do(noting(note)))
        await clock.advance(10)

        assert did(system) == ["started a", "restarting a", "started a", "x", "y", "z"]

    async def test_in_its_backoff_gives_way_to_the_end_of_the_system(self, clock: VirtualClock) -> None:
        """Nobody waits for the rest of a pause (W-06)."""
        async with ActorSystem(clock=clock) as system:
            ref = await system.spawn(Puppet, "a", supervision=Restart(backoff=Fixed(3)))
            await ref.tell(BROKEN)
            await turns()

            await within_seconds(system.close())

        assert clock.monotonic() == 0

    async def test_in_its_backoff_gives_way_to_a_stop_of_the_parent(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """A child that pauses holds up nobody (W-03, W-06)."""
        parent, child, _ = await family(system, Restart(backoff=Fixed(1000)))
        await child.tell(BROKEN)
        await turns()

        await within_seconds(parent.stop())

        assert (system.live, clock.monotonic()) == (0, 0)

    async def test_survives_many_failures_at_once(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The actor is there again when they are over, under its name (AVE-69)."""
        started = in_turn(returning(None), raising(LookupError()), raising(LookupError()), returning(None))
        ref = await system.spawn(Puppet, "a", supervision=Restart(max=100, backoff=Fixed(0.01)), started=started)
        asks = [soon(ref.ask(BROKEN)) for _ in range(64)]
        await clock.advance(5)
        results = await asyncio.gather(*asks, return_exceptions=True)

        assert ({type(result) for result in results}, did(system).count("started a")) == ({ValueError}, 67)
        assert system.find("/user/a") == ref
        assert await ref.ask(Do(returning(42))) == 42

    async def test_is_an_event_with_its_cause(self, system: ActorSystem) -> None:
        """First the failure, then the new instance (W-15)."""
        ref = await system.spawn(Puppet, "a")
        events = system.events()
        error = ValueError("broken")
        await ref.tell(Do(raising(error)))
        await turns()

        assert [(type(event), event.error) for event in events.take_all()] == [  # type: ignore[union-attr]
            (Failed, error),
            (Restarted, error),
        ]


class TestResume:
    async def test_keeps_the_instance_and_goes_on(self, system: ActorSystem) -> None:
        """The asker has the error, those behind it their replies (W-13)."""
        ref = await system.spawn(Puppet, "a", supervision=Resume())

        replies = await asyncio.gather(ref.ask(BROKEN), ref.ask(Do(returning(1))), return_exceptions=True)

        assert (type(replies[0]), replies[1], did(system)) == (ValueError, 1, ["started a"])

    async def test_keeps_the_children(self, system: ActorSystem) -> None:
        """Nothing below notices."""
        ref = await system.spawn(Puppet, "a", supervision=Resume(), started=spawning("b"))
        await ref.tell(BROKEN)
        await ref.ask(NOTHING)

        assert did(system) == ["started a", "started b"]


class TestStop:
    async def test_ends_the_child_and_leaves_its_parent_alone(self, system: ActorSystem) -> None:
        """The parent goes on, and the name of the child is free (AVE-66)."""
        parent, child, _ = await family(system, Stop())
        with pytest.raises(ValueError, match="broken"):
            await child.ask(BROKEN)
        await turns()

        assert (system.find("/user/a/b"), await parent.ask(Do(returning(1)))) == (None, 1)
        assert did(system).count("stopping b") == 1

    async def test_tells_those_behind_why(self, system: ActorSystem) -> None:
        """The error names the failure that ended the actor (W-15)."""
        ref = await system.spawn(Puppet, "a", supervision=Stop())

        replies = await asyncio.gather(ref.ask(BROKEN), ref.ask(NOTHING), return_exceptions=True)

        assert str(replies[1]) == "/user/a: its supervision stopped it after ValueError: broken"

    async def test_is_an_event_with_its_cause(self, system: ActorSystem) -> None:
        """Reason and error are those of the failure (W-15)."""
        ref = await system.spawn(Puppet, "a", supervision=Stop())
        events = system.events()
        await ref.tell(BROKEN)
        await ref.closed()

        stopped = [event for event in events.take_all() if isinstance(event, Stopped)]
        assert [(event.reason, str(event.error)) for event in stopped] == [(StopReason.FAILED, "broken")]

    async def test_does_not_handle_critical_messages(self, system: ActorSystem) -> None:
        """A broken instance is trusted with nothing more."""
        ref = await system.spawn(Puppet, "a", supervision=Stop())

        replies = await asyncio.gather(ref.ask(BROKEN), ref.ask(MustDo(returning(1))), return_exceptions=True)

        assert type(replies[1]) is ActorStopped


class TestEscalate:
    async def test_has_the_parent_fail_with_the_same_error(self, system: ActorSystem) -> None:
        """The parent's own supervision says what follows: a restart, with new children (W-13)."""
        _, child, _ = await family(system, Escalate())
        events = system.events()
        error = ValueError("broken")
        await child.tell(Do(raising(error)))
        await turns(60)

        failed = [(event.ref.path, event.error) for event in events.take_all() if isinstance(event, Failed)]
        assert failed == [("/user/a/b", error), ("/user/a", error)]
        assert did(system)[3:] == [
            "stopping b",
            "stopping c",
            "restarting a",
            "started a",
            "started b",
            "started c",
        ]

    async def test_of_several_children_at_once_fails_the_parent_once(self, system: ActorSystem) -> None:
        """The children of the instance that is gone do not trouble the new one."""
        _, *children = await family(system, Escalate(), "bcdef")
        for child in children:
            await child.tell(BROKEN)
        await turns(60)

        assert (did(system).count("restarting a"), len(system.children("/user/a"))) == (1, 5)

    async def test_waits_for_the_message_that_the_parent_has_in_hand(self, system: ActorSystem) -> None:
        """A busy parent finishes it, and the failing child waits for nobody (W-02)."""
        gate = asyncio.Event()
        parent, child, _ = await family(system, Escalate())
        ask = soon(parent.ask(Do(waiting(gate))))
        await turns()
        await child.tell(BROKEN)
        await turns()
        early = did(system).copy()
        gate.set()
        await ask
        await turns()

        assert ("stopping b" in early, "restarting a" in early, "restarting a" in did(system)) == (True, False, True)

    async def test_may_be_resumed_by_the_parent(self, system: ActorSystem) -> None:
        """Then the child is over, and nothing else happens."""

        async def bear(context: Context) -> None:
            await context.spawn(Puppet, "b", supervision=Escalate())

        await system.spawn(Puppet, "a", supervision=Resume(), started=bear)
        [child] = system.children("/user/a")
        await child.tell(BROKEN)
        await turns()

        assert did(system) == ["started a", "started b", "stopping b"]

    async def test_goes_up_as_far_as_each_says(self, clock: VirtualClock) -> None:
        """From a grandchild through its parent to the root, which crashes the system (W-15)."""
        error = ValueError("broken")

        async def bear(context: Context) -> None:
            child = await context.spawn(Puppet, "b", supervision=Escalate())
            await child.ask(Do(spawn_failing))

        async def spawn_failing(context: Context) -> None:
            child = await context.spawn(Puppet, "c", supervision=Escalate())
            await child.tell(Do(raising(error)))

        with pytest.raises(SystemCrashed, match="ValueError: broken") as raised:
            async with ActorSystem(clock=clock) as system:
                await system.spawn(Puppet, "a", supervision=Escalate(), started=bear)
                await within_seconds(asyncio.Event().wait())

        assert (raised.value.__cause__, system.live) == (error, 0)

    async def test_of_a_root_ends_the_others_as_at_any_end(self, clock: VirtualClock) -> None:
        """A crash is no reason to skip a hook (W-15)."""
        with pytest.raises(SystemCrashed):
            async with ActorSystem(clock=clock) as system:
                await system.spawn(Puppet, "other")
                ref = await system.spawn(Puppet, "a", supervision=Escalate())
                await ref.tell(BROKEN)
                await within_seconds(system.until_shutdown())
                await within_seconds(asyncio.Event().wait())

        assert sorted(did(system)[2:]) == ["stopping a", "stopping other"]

    async def test_of_an_actor_reached_by_ref_crashes_the_system(self, clock: VirtualClock) -> None:
        """It has no parent either."""
        fatal = type("Fatal", (Puppet,), {"supervision": Escalate()})
        with pytest.raises(SystemCrashed):
            async with ActorSystem(clock=clock) as system:
                await system.ref(fatal, "a").tell(BROKEN)
                await within_seconds(asyncio.Event().wait())

        assert system.live == 0

    async def test_leaves_the_task_of_the_system_uncancelled(self, clock: VirtualClock) -> None:
        """Whoever catches `SystemCrashed` goes on as before."""
        with pytest.raises(SystemCrashed):
            async with ActorSystem(clock=clock) as system:
                ref = await system.spawn(Puppet, "a", supervision=Escalate())
                await ref.tell(BROKEN)
                await within_seconds(asyncio.Event().wait())
        task = asyncio.current_task()
        assert task is not None

        await asyncio.sleep(0)

        assert task.cancelling() == 0


class TestByError:
    def test_takes_the_nearest_base(self) -> None:
        """As `except` clauses would, in whatever order they are written."""
        by_error = ByError({Exception: Stop(), LookupError: Resume(), KeyError: Escalate()}, otherwise=Restart())

        from perdure.actors._supervision import directive

        chosen = [directive(by_error, error) for error in (KeyError(), IndexError(), ValueError(), SystemExit())]
        assert chosen == [Escalate(), Resume(), Stop(), Restart()]

    async def test_decides_failure_by_failure(self, system: ActorSystem) -> None:
        """One actor may go on after one error and restart after another (W-13)."""
        ref = await system.spawn(Puppet, "a", supervision=ByError({LookupError: Resume()}))
        await ref.tell(Do(raising(KeyError("k"))))
        await ref.tell(BROKEN)
        await turns()

        assert did(system) == ["started a", "restarting a", "started a"]

    async def test_stops_an_actor_that_resumes_from_a_failing_start(self, system: ActorSystem) -> None:
        """There is no instance to go on with."""
        started = in_turn(returning(None), raising(LookupError("no way back")))
        ref = await system.spawn(Puppet, "a", supervision=ByError({LookupError: Resume()}), started=started)
        await ref.tell(BROKEN)

        await within_seconds(ref.closed())

        assert did(system).count("started a") == 2


class TestAllForOne:
    async def test_restarts_the_siblings(self, system: ActorSystem) -> None:
        """All have new instances; the parent keeps its own (W-13)."""
        _, child, *_ = await family(system, AllForOne(), "bcd")
        await child.tell(BROKEN)
        await turns(60)

        notes = did(system)[4:]
        assert sorted(notes) == sorted(f"{hook} {key}" for hook in ("restarting", "started") for key in "bcd")

    async def test_stops_the_siblings(self, system: ActorSystem) -> None:
        """What is said of one is said of all."""
        parent, child, *_ = await family(system, AllForOne(Stop()), "bcd")
        await child.tell(BROKEN)
        await turns(60)

        assert (system.children("/user/a"), parent.is_live) == ([], True)

    async def test_resumes_the_failed_one_alone(self, system: ActorSystem) -> None:
        """To go on is nothing that siblings could share."""
        _, child, *_ = await family(system, AllForOne(Resume()), "bcd")
        await child.tell(BROKEN)
        await turns(60)

        assert len(did(system)) == 4

    async def test_restarts_each_sibling_after_the_message_in_hand(self, system: ActorSystem) -> None:
        """Nobody's work is cut short."""
        gate = asyncio.Event()
        _, failing, busy = await family(system, AllForOne())
        ask = soon(busy.ask(Do(waiting(gate))))
        await turns()
        await failing.tell(BROKEN)
        await turns()
        early = did(system)[3:]
        gate.set()
        await ask
        await turns()

        assert (early, did(system)[5:]) == (["restarting b", "started b"], ["restarting c", "started c"])

    async def test_restarts_once_where_all_fail_at_once(self, system: ActorSystem) -> None:
        """A new instance is new for all who wanted one."""
        gate = asyncio.Event()

        async def fail_later(context: Context) -> None:
            await gate.wait()
            raise ValueError("broken")

        _, *children = await family(system, AllForOne(), "bcd")
        for child in children:
            await child.tell(Do(fail_later))
        await turns()
        gate.set()
        await turns(60)

        assert [did(system).count(f"started {key}") for key in "bcd"] == [2, 2, 2]

    async def test_ends_all_when_the_budget_of_one_is_spent(self, system: ActorSystem) -> None:
        """A family that cannot live does not try for ever (W-11)."""
        _, child, *_ = await family(system, AllForOne(Restart(max=1, backoff=Fixed())), "bcd")
        await child.tell(BROKEN)
        await turns(60)
        await child.tell(BROKEN)
        await turns(60)

        assert system.children("/user/a") == []

    async def test_of_a_root_concerns_itself_alone(self, system: ActorSystem) -> None:
        """Roots are no family."""
        await system.spawn(Puppet, "other")
        ref = await system.spawn(Puppet, "a", supervision=AllForOne())
        await ref.tell(BROKEN)
        await turns()

        assert did(system) == ["started other", "started a", "restarting a", "started a"]


class TestReport:
    async def test_is_an_event_with_the_very_error(self, system: ActorSystem) -> None:
        """The actor goes on, and its subscribers hear nothing (AVE-38, AVE-57, AVE-59, AVE-65)."""
        error = ValueError("not so bad")

        async def report(context: Context) -> int:
            context.report(error)
            return 1

        ref = await system.spawn(Puppet, "a")
        events, published = system.events(), ref.subscribe()

        assert await ref.ask(Do(report)) == 1
        assert [(event.ref.path, event.error) for event in events.take_all() if isinstance(event, Failed)] == [
            ("/user/a", error)
        ]
        assert (published.take_all(), did(system)) == ([], ["started a"])


async def test_an_instance_has_the_supervision_that_spawn_says(system: ActorSystem) -> None:
    """It is in place of the type's, for this actor alone."""
    fragile = type("Fragile", (Puppet,), {"supervision": Stop()})
    tough = await system.spawn(fragile, "tough", supervision=Resume())
    weak = await system.spawn(fragile, "weak")
    for ref in (tough, weak):
        await ref.tell(BROKEN)
    await turns()

    assert (tough.is_live, weak.is_live) == (True, False)
