"""Waits that would never end, or end late: each is refused, answered, or never begins.

What could hang is under a guard of real time, which no test comes near.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.actors import (
    ActorRef,
    ActorSystem,
    AllForOne,
    Context,
    Escalate,
    Fixed,
    Restart,
    Resume,
    Stop,
    Supervision,
)
from perdure.errors import ActorStopped, AskedItself, AskTimeout, MailboxFull, NameTaken, SystemCrashed
from perdure_testkit import VirtualClock

from .puppet import Deed, Do, Puppet, did, in_turn, noting, raising, returning, spawning, waiting, within_seconds
from .turning import soon, turns

NOTHING = Do(returning(None))


def asking(path: str, what: Deed) -> Deed:
    """Ask the actor at a path to do something."""

    async def deed(context: Context) -> Any:
        ref = context.system.find(path)
        assert ref is not None
        return await ref.ask(Do(what))

    return deed


class TestAskingOneself:
    async def test_in_a_cycle_of_two_names_the_chain(self, system: ActorSystem) -> None:
        """A asks B, which asks A: refused at once, where it happens (W-08)."""
        for name in "ab":
            await system.spawn(Puppet, name)

        with pytest.raises(AskedItself) as raised:
            await within_seconds(
                asking("/user/a", asking("/user/b", asking("/user/a", returning(1))))(_outside(system))
            )

        assert (raised.value.path, raised.value.via) == ("/user/a", ("/user/b",))
        assert "/user/a waits for /user/b, which would wait for /user/a for ever" in str(raised.value)

    async def test_in_a_longer_cycle_names_the_chain(self, system: ActorSystem) -> None:
        """However many there are, in the order in which they wait (W-08)."""
        for name in "abcd":
            await system.spawn(Puppet, name)
        deed: Deed = asking("/user/b", returning(1))
        for name in "dcba":
            deed = asking(f"/user/{name}", deed)

        with pytest.raises(AskedItself) as raised:
            await within_seconds(deed(_outside(system)))

        assert (raised.value.path, raised.value.via) == ("/user/b", ("/user/c", "/user/d"))

    async def test_does_not_bar_two_ways_to_one_actor(self, system: ActorSystem) -> None:
        """A asks B and C, and both ask D: that is no cycle."""
        for name in "abcd":
            await system.spawn(Puppet, name)

        async def ask_both(context: Context) -> list[object]:
            return [await asking(f"/user/{name}", asking("/user/d", returning(name)))(context) for name in "bc"]

        assert await asking("/user/a", ask_both)(_outside(system)) == ["b", "c"]

    async def test_is_allowed_to_a_task_beside_the_messages(self, system: ActorSystem) -> None:
        """The handler does not wait for it, so neither waits for ever."""

        async def ask_beside(context: Context) -> None:
            context.pipe_to_self(context.ref.ask(Do(returning(5))), lambda reply: Do(noting(f"got {reply}")))

        ref = await system.spawn(Puppet, "a")
        await ref.ask(Do(ask_beside))
        await turns()

        assert did(system) == ["started a", "got 5"]

    async def test_through_an_asker_that_has_given_up_is_no_cycle(
        self, system: ActorSystem, clock: VirtualClock
    ) -> None:
        """Who waits no longer is not waited for."""
        gate = asyncio.Event()

        async def ask_back(context: Context) -> object:
            await gate.wait()
            return await asking("/user/a", noting("asked back"))(context)

        async def ask_briefly(context: Context) -> None:
            ref = context.system.find("/user/b")
            assert ref is not None
            with pytest.raises(AskTimeout):
                await ref.ask(Do(ask_back), timeout=1)

        for name in "ab":
            await system.spawn(Puppet, name)
        ask = soon(asking("/user/a", ask_briefly)(_outside(system)))
        await clock.advance(1)
        await ask
        gate.set()
        await turns()

        assert did(system)[2:] == ["asked back"]

    async def test_in_a_hook_is_refused(self, system: ActorSystem) -> None:
        """It handles no message before it has started (W-08)."""

        async def ask_itself(context: Context) -> None:
            await context.ref.ask(NOTHING)

        with pytest.raises(AskedItself, match="/user/a asks itself"):
            await system.spawn(Puppet, "a", started=ask_itself)

    async def test_for_its_own_end_is_refused(self, system: ActorSystem) -> None:
        """An actor cannot see its own end (W-08)."""

        async def await_end(context: Context) -> None:
            await context.ref.closed()

        ref = await system.spawn(Puppet, "a")

        with pytest.raises(AskedItself):
            await within_seconds(ref.ask(Do(await_end)))


class TestParentsAndChildren:
    @pytest.mark.parametrize("hook", ["handler", "started"])
    async def test_a_child_that_cannot_start_does_not_hold_up_its_parent(self, system: ActorSystem, hook: str) -> None:
        """The parent gets the error, in a handler as in `started` (W-01)."""

        async def try_to_spawn(context: Context) -> str:
            with pytest.raises(LookupError, match="no way"):
                await context.spawn(Puppet, "b", started=raising(LookupError("no way")))
            return "went on"

        async with asyncio.timeout(5):
            if hook == "started":
                ref = await system.spawn(Puppet, "a", started=try_to_spawn)
            else:
                ref = await system.spawn(Puppet, "a")
                assert await ref.ask(Do(try_to_spawn)) == "went on"

        assert (system.live, await ref.ask(Do(returning(1)))) == (1, 1)

    @pytest.mark.parametrize("supervision", [Restart(), Resume(), Stop(), Escalate(), AllForOne()], ids=repr)
    async def test_a_parent_that_asks_a_failing_child_gets_the_error(
        self, system: ActorSystem, supervision: Supervision
    ) -> None:
        """Whatever supervision says of it (W-02)."""

        async def ask_child(context: Context) -> str:
            child = await context.spawn(Puppet, "b", supervision=supervision)
            with pytest.raises(ValueError, match="broken"):
                await child.ask(Do(raising(ValueError("broken"))))
            return "went on"

        ref = await system.spawn(Puppet, "a")

        assert await within_seconds(ref.ask(Do(ask_child))) == "went on"

    async def test_a_parent_that_asks_a_child_which_just_failed_gets_an_answer(self, system: ActorSystem) -> None:
        """From the next instance, or that there is none (W-02)."""

        async def tell_and_ask(context: Context) -> list[object]:
            replies: list[object] = []
            for name, supervision in (("b", Restart()), ("c", Stop())):
                child = await context.spawn(Puppet, name, supervision=supervision)
                await child.tell(Do(raising(ValueError("broken"))))
                try:
                    replies.append(await child.ask(Do(returning(1))))
                except ActorStopped as error:
                    replies.append(error.path)
            return replies

        ref = await system.spawn(Puppet, "a")

        assert await within_seconds(ref.ask(Do(tell_and_ask))) == [1, "/user/a/c"]

    @pytest.mark.parametrize("supervision", [Restart(backoff=Fixed(1000)), Stop(), Escalate()], ids=repr)
    async def test_a_parent_stops_while_its_child_fails(self, system: ActorSystem, supervision: Supervision) -> None:
        """No decision is asked for, so none is waited for (W-03)."""

        async def bear(context: Context) -> None:
            await context.spawn(Puppet, "b", supervision=supervision)

        ref = await system.spawn(Puppet, "a", started=bear)
        [child] = system.children("/user/a")
        await child.tell(Do(raising(ValueError("broken"))))

        await within_seconds(ref.stop())

        assert (system.live, system.clock.monotonic()) == (0, 0)

    async def test_a_failure_leaves_no_name_behind(self, system: ActorSystem) -> None:
        """What cannot go on is taken from the tree, and its name is free (W-05)."""
        ref = await system.spawn(Puppet, "a", supervision=Stop())
        with pytest.raises(ZeroDivisionError):
            await ref.ask(Do(raising(ZeroDivisionError())))
        await ref.closed()

        assert await (await system.spawn(Puppet, "a")).ask(Do(returning(1))) == 1

    async def test_a_child_that_asks_its_parent_while_it_is_started_is_refused(self, system: ActorSystem) -> None:
        """The parent waits for the start, and would not answer (W-01, W-08)."""
        ref = await system.spawn(Puppet, "a")

        with pytest.raises(AskedItself) as raised:
            await within_seconds(ref.ask(Do(spawning("b", started=asking("/user/a", returning(1))))))

        assert (raised.value.path, raised.value.via) == ("/user/a", ("/user/a/b",))

    async def test_a_child_that_is_started_beside_the_messages_may_ask_its_parent(self, system: ActorSystem) -> None:
        """A parent that does not wait can answer."""

        async def spawn_beside(context: Context) -> None:
            spawn = context.spawn(Puppet, "b", started=asking("/user/a", noting("answered")))
            context.pipe_to_self(spawn, lambda _: Do(noting("spawned")))

        ref = await system.spawn(Puppet, "a")
        await ref.ask(Do(spawn_beside))
        await turns(60)

        assert did(system) == ["started a", "started b", "answered", "spawned"]

    @pytest.mark.parametrize("end", ["stop", "restart"])
    async def test_a_child_whose_parent_waits_for_its_end_is_not_left_waiting(
        self, system: ActorSystem, end: str
    ) -> None:
        """What it has asked before is answered, so the parent is through at once (W-03)."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a", started=spawning("b"))
        [child] = system.children("/user/a")

        async def fail_later(context: Context) -> None:
            await gate.wait()
            raise ValueError("broken")

        await ref.tell(Do(fail_later))
        await turns()
        ask = soon(child.ask(Do(asking("/user/a", returning(1)))))
        await turns()
        stop = soon(ref.stop() if end == "stop" else turns(60))
        await turns()
        gate.set()
        await stop

        with pytest.raises((ActorStopped, AskedItself)):
            await ask
        assert (did(system).count("stopping b"), system.clock.monotonic()) == (1, 0)

    @pytest.mark.parametrize("end", ["stop", "restart"])
    async def test_a_child_that_asks_its_parent_at_its_end_is_refused(self, system: ActorSystem, end: str) -> None:
        """The parent waits for that very end (W-03)."""
        errors: list[type[Exception]] = []

        async def ask_parent(context: Context) -> None:
            assert context.parent is not None
            try:
                await context.parent.ask(NOTHING)
            except (ActorStopped, AskedItself) as error:
                errors.append(type(error))

        ref = await system.spawn(Puppet, "a", started=spawning("b", stopping=ask_parent))
        if end == "stop":
            await within_seconds(ref.stop())
        else:
            await ref.tell(Do(raising(ValueError("broken"))))
            await turns(60)

        assert (errors, system.clock.monotonic()) == ([AskedItself], 0)

    async def test_others_are_answered_after_a_restart_all_the_same(self, system: ActorSystem) -> None:
        """Only those who would hold it up are refused; the mailbox keeps its order (W-12)."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a", started=spawning("b"))
        [child] = system.children("/user/a")

        async def fail_later(context: Context) -> None:
            await gate.wait()
            raise ValueError("broken")

        await ref.tell(Do(fail_later))
        await turns()
        asks = [soon(ref.ask(Do(noting("first"))))]
        await turns()
        asks.append(soon(child.ask(Do(asking("/user/a", returning(1))))))
        await turns()
        asks.append(soon(ref.ask(Do(noting("second")))))
        await turns()
        gate.set()
        results = await within_seconds(_gathered(asks))

        assert (type(results[1]), [note for note in did(system) if note in ("first", "second")]) == (
            AskedItself,
            ["first", "second"],
        )

    async def test_two_actors_that_stop_each_other_end_in_time(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Each waits for the end of the other, but no longer than a stop may take (W-03)."""

        def stopping(name: str) -> Deed:
            async def deed(context: Context) -> None:
                ref = context.system.find(f"/user/{name}")
                assert ref is not None
                await asyncio.sleep(0)
                await ref.stop()

            return deed

        pair = [await system.spawn(Puppet, name) for name in "ab"]
        asks = [soon(pair[0].ask(Do(stopping("b")))), soon(pair[1].ask(Do(stopping("a"))))]

        await clock.advance(5.1)

        assert ([ask.done() for ask in asks], system.live) == ([True, True], 0)
        await asyncio.gather(*asks, return_exceptions=True)


class TestFullMailboxes:
    async def test_let_an_actor_tell_itself(self, system: ActorSystem) -> None:
        """It would wait for itself to make room (W-08)."""
        small = type("Small", (Puppet,), {"mailbox_capacity": 1})

        async def tell_itself(context: Context) -> None:
            for n in range(5):
                await context.ref.tell(Do(noting(str(n))))

        ref = await system.spawn(small, "a")
        await within_seconds(ref.ask(Do(tell_itself)))
        await turns()

        assert did(system)[1:] == list("01234")

    async def test_let_an_actor_tell_itself_from_its_own_tasks(self, system: ActorSystem) -> None:
        """Also where its handler waits for them (W-08)."""
        small = type("Small", (Puppet,), {"mailbox_capacity": 1})

        async def tell_itself(context: Context) -> None:
            async with asyncio.TaskGroup() as group:
                for n in range(5):
                    group.create_task(context.ref.tell(Do(noting(str(n)))))

        ref = await system.spawn(small, "a")
        await within_seconds(ref.ask(Do(tell_itself)))
        await turns()

        assert did(system)[1:] == list("01234")

    async def test_refuse_who_has_waited_long_enough(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The error says how full it is, and what was not sent is not handled."""
        gate = asyncio.Event()
        small = type("Small", (Puppet,), {"mailbox_capacity": 2})
        ref = await system.spawn(small, "a")
        await ref.tell(Do(waiting(gate)))
        await turns()
        for note in "xy":
            await ref.tell(Do(noting(note)))
        late = soon(ref.tell(Do(noting("z")), timeout=3))
        await clock.advance(3)

        with pytest.raises(MailboxFull, match="/user/a had 2 messages waiting for 3 s, and no room for another"):
            await late
        gate.set()
        await turns()
        assert did(system)[1:] == ["x", "y"]

    async def test_refuse_who_cannot_wait(self, system: ActorSystem) -> None:
        """What `post` has no room for is not handled, and not behind what waits for room either."""
        gate = asyncio.Event()
        small = type("Small", (Puppet,), {"mailbox_capacity": 1})
        ref = await system.spawn(small, "a")
        ref.post(Do(waiting(gate)))
        await turns()
        ref.post(Do(noting("x")))

        with pytest.raises(MailboxFull, match="/user/a had 1 messages waiting, and no room for another"):
            ref.post(Do(noting("y")))
        gate.set()
        await turns()

        assert did(system)[1:] == ["x"]
        await ref.stop()
        with pytest.raises(ActorStopped):
            ref.post(Do(noting("z")))

    async def test_of_two_that_tell_each_other_end_in_time(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A tell waits no longer than an ask (W-08)."""
        small = type("Small", (Puppet,), {"mailbox_capacity": 1, "supervision": Resume()})

        def telling(name: str) -> Deed:
            async def deed(context: Context) -> None:
                ref = context.system.find(f"/user/{name}")
                assert ref is not None
                for _ in range(3):
                    await ref.tell(NOTHING)

            return deed

        pair = [await system.spawn(small, name) for name in "ab"]
        asks = [soon(pair[0].ask(Do(telling("b")), timeout=60)), soon(pair[1].ask(Do(telling("a")), timeout=60))]

        await clock.advance(31)

        results = await within_seconds(_gathered(asks))
        assert {type(result) for result in results} <= {MailboxFull, type(None)}


class TestWaiting:
    async def test_for_an_actor_that_stops_has_an_end(self, system: ActorSystem, clock: VirtualClock) -> None:
        """An ask that comes while the last hook runs is answered when that is over (AVE-88)."""
        gate = asyncio.Event()
        ref = await system.spawn(Puppet, "a", stopping=waiting(gate))
        stop = soon(ref.stop())
        await turns()
        ask = soon(ref.ask(Do(returning(1))))
        await turns()
        gate.set()
        await stop

        with pytest.raises(ActorStopped):
            await ask

    async def test_for_a_slow_actor_has_an_end(self, system: ActorSystem, clock: VirtualClock) -> None:
        """By default too (W-08)."""
        ref = await system.spawn(Puppet, "a")
        gate = asyncio.Event()
        ask = soon(ref.ask(Do(waiting(gate))))

        await clock.advance(30)

        with pytest.raises(AskTimeout):
            await ask
        gate.set()


# A tree of actors, and what may happen to it.

NAMES = ["a", "b", "a/a", "a/b", "b/a", "a/a/a"]
SUPERVISIONS: list[Supervision] = [
    Restart(max=2, backoff=Fixed()),
    Restart(backoff=Fixed(1)),
    Restart(),
    Resume(),
    Stop(),
    Escalate(),
    AllForOne(),
    AllForOne(Stop()),
]

steps = st.one_of(
    st.tuples(st.just("spawn"), st.sampled_from(NAMES), st.sampled_from(SUPERVISIONS)),
    st.tuples(
        st.sampled_from(["ask", "tell", "fail", "stop", "slow", "spawn badly"]), st.sampled_from(NAMES), st.none()
    ),
    st.tuples(st.just("ask"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("stop"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("virtual"), st.sampled_from("xy"), st.sampled_from([False, True])),
    st.tuples(st.just("time"), st.sampled_from([0.1, 1.0, 6.0, 301.0]), st.none()),
    st.tuples(st.just("turns"), st.integers(0, 5), st.none()),
)


class Tree:
    """Plays a list of steps, each beside the others."""

    def __init__(self, system: ActorSystem, clock: VirtualClock) -> None:
        self.system = system
        self.clock = clock
        self.work: list[asyncio.Task[Any]] = []

    async def play(self, kind: str, what: Any, other: Any) -> None:
        match kind:
            case "time":
                await self.clock.advance(what)
            case "turns":
                await turns(what)
            case "virtual":
                deed = raising(ValueError("broken")) if other else returning(1)
                self.work.append(soon(self.system.ref(Puppet, what).ask(Do(deed))))
            case "spawn" | "spawn badly":
                self.work.append(soon(self._spawn(what, other, bad=kind != "spawn")))
            case _:
                ref = self.system.find(f"/user/{what}")
                if ref is not None:
                    self.work.append(soon(self._act(kind, ref, other)))

    async def _spawn(self, name: str, supervision: Supervision | None, *, bad: bool) -> None:
        async def fail_late(context: Context) -> None:
            await context.spawn(Puppet, "a")
            raise LookupError("no start")

        hooks = {"started": fail_late} if bad else {"started": in_turn(returning(None), lambda _: asyncio.sleep(0))}
        above, _, last = name.rpartition("/")
        if not above:
            await self.system.spawn(Puppet, last, supervision=supervision, **hooks)
        elif (parent := self.system.find(f"/user/{above}")) is not None:

            async def bear(context: Context) -> None:
                await context.spawn(Puppet, last, supervision=supervision, **hooks)

            await parent.ask(Do(bear))

    async def _act(self, kind: str, ref: ActorRef, other: str | None) -> None:
        async def beside(context: Context) -> None:
            target = context.system.find(f"/user/{other}")
            if target is not None and kind == "ask":
                await target.ask(Do(lambda _: asyncio.sleep(0)))
            elif target is not None:
                await target.stop(timeout=2)

        match kind:
            case "ask" | "stop" if other is not None:
                await ref.ask(Do(beside))
            case "ask":
                await ref.ask(Do(returning(1)))
            case "tell":
                await ref.tell(Do(lambda _: asyncio.sleep(0)))
            case "fail":
                await ref.ask(Do(raising(ValueError("broken"))))
            case "slow":
                await ref.ask(Do(waiting(asyncio.Event())), timeout=3)
            case "stop":
                await ref.stop()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(played=st.lists(steps, max_size=30))
def test_whatever_happens_everything_ends(played: list[tuple[str, Any, Any]]) -> None:
    """Every wait has an end, names are free, and no task and no actor is left (W-01, W-02, W-03, W-05, W-06, W-08)."""
    asyncio.run(_play(played))


async def _play(played: list[tuple[str, Any, Any]]) -> None:
    clock = VirtualClock()
    system = ActorSystem(clock=clock, stop_timeout=5, passivate_after=300)
    tree = Tree(system, clock)
    with suppress(SystemCrashed):
        async with system:
            system._host = None  # where one escalates, the play goes on
            for step in played:
                await tree.play(*step)
            await clock.advance(60)
            unanswered = [work for work in tree.work if not work.done()]
            stops = [soon(ref.stop()) for ref in system.children("/user")]
            await clock.advance(7)
            unended = [stop for stop in stops if not stop.done()]
            free = [soon(system.spawn(Puppet, name)) for name in "ab"]
            closing = soon(system.close())
            await clock.advance(7)
            unclosed = [] if closing.done() else [*asyncio.all_tasks(), *system._cells.values()]

    results = await asyncio.gather(*tree.work, return_exceptions=True)
    expected = (ActorStopped, AskedItself, AskTimeout, LookupError, NameTaken, ValueError)
    assert (unanswered, unended, unclosed, system.live) == ([], [], [], 0)
    assert [result for result in results if isinstance(result, Exception) and not isinstance(result, expected)] == []
    assert [type(await spawn) for spawn in free] == [ActorRef, ActorRef]
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _outside(system: ActorSystem) -> Context:
    """Return what a deed needs that is done by nobody."""

    class Outside:
        def __init__(self) -> None:
            self.system = system

    return Outside()  # type: ignore[return-value]


async def _gathered(work: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)
