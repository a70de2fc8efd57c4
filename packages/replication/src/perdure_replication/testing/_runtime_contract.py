"""The rules of the port `ActorRuntime`, as tests.

The ids at the end of docstrings are those of the field's plan for adapters; the page on runtimes has a table of them.
pytest is imported where it is used.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import msgspec

from perdure.errors import ActorStopped, AskTimeout, MailboxFull, NameTaken
from perdure_replication._member import Joined, Left, MembershipEvent, Unreachable
from perdure_replication._node import Node
from perdure_replication.errors import (
    InvalidMessage,
    InvalidRuntime,
    PeerUnreachable,
    RemoteFailure,
    RuntimeClosed,
    WaitsForItself,
)
from perdure_replication.runtime import ActorGroups, ActorRuntime, LocalRef, NewRuntime, Ref
from perdure_replication.testing._clerk import HOLD, REPORT, Clerk, in_thread, outcome, until
from perdure_replication.testing._clock import TestClock
from perdure_replication.testing._runtime import TestRuntime
from perdure_replication.testing._states import TestState, Value

_STRANGER = "stranger"
"""The name of a node in another process."""


class Parsed(msgspec.Struct, frozen=True):
    """A message that is no plain data."""

    number: int


class ActorRuntimeContract:
    """The rules that every actor runtime keeps: subclass it in a test module, with one fixture in the class.

    `new_runtime` returns a `NewRuntime`, the class of a runtime for example. Where `importable` names one too, as
    `module:name`, the rules about nodes in processes of their own are tried. The tests are run by pytest with
    pytest-asyncio in its mode `auto`.
    """

    importable: ClassVar[str] = ""
    patience: ClassVar[float] = 20.0
    """Seconds after which what has not come will not come."""

    # One actor

    async def test_messages_are_handled_in_the_order_of_their_sends(self, new_runtime: NewRuntime) -> None:
        """Messages of one sender are handled in the order of their sends, each once, and so are asks (ADAPT-01)."""
        async with self._party(new_runtime) as (_, clerk, ref):
            for number in range(200):
                ref.send(number)

            assert await ref.ask(REPORT) == list(range(200))
            assert clerk.noted == list(range(200))

    async def test_an_ask_returns_the_reply(self, new_runtime: NewRuntime) -> None:
        """An ask returns what the handler returns, also when many ask at once."""
        async with self._party(new_runtime) as (_, _, ref):
            replies = await asyncio.gather(*(ref.ask(["echo", number]) for number in range(50)))

            assert replies == list(range(50))

    async def test_an_ask_raises_what_the_handler_raises(self, new_runtime: NewRuntime) -> None:
        """What a handler raises goes to the asker, and the actor goes on with the next message."""
        import pytest

        async with self._party(new_runtime) as (_, _, ref):
            with pytest.raises(ValueError, match="on purpose"):
                await ref.ask(["fail", "on purpose"])

            assert await ref.ask(["echo", 1]) == 1

    async def test_a_failing_handler_harms_nobody(self, new_runtime: NewRuntime) -> None:
        """After a message whose handler raises, the actor handles the next, and other actors handle theirs."""
        async with self._party(new_runtime) as (runtime, _, ref):
            other = await Clerk(runtime, self.patience).start("other")

            ref.send(["fail", "on purpose"])
            ref.send("next")

            assert await ref.ask(REPORT) == ["next"]
            assert await other.ask(["echo", 1]) == 1

    async def test_one_message_is_handled_at_a_time(self, new_runtime: NewRuntime) -> None:
        """While a message is in hand no other is begun, whoever sends it."""
        async with self._party(new_runtime) as (_, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)

            ref.send("meanwhile")
            await in_thread(lambda: ref.send("from a thread"), self.patience)
            await self._some_turns()
            noted = list(clerk.noted)
            clerk.release()

            assert noted == []
            assert await ref.ask(REPORT) == ["meanwhile", "from a thread"]

    async def test_an_actor_handles_its_own_messages_alone(self, new_runtime: NewRuntime) -> None:
        """Each actor gets what was sent to it, and one that is held up holds up no other."""
        async with self._party(new_runtime) as (runtime, clerk, ref):
            other = await Clerk(runtime, self.patience).start("other")
            ref.send(HOLD)
            ref.send("to a")
            other.send("to other")

            assert await other.ask(REPORT) == ["to other"]
            clerk.release()
            assert await ref.ask(REPORT) == ["to a"]

    async def test_threads_may_send(self, new_runtime: NewRuntime) -> None:
        """A ref is used by threads as it is: all that they send is handled, in the order of each."""
        async with self._party(new_runtime) as (_, _, ref):

            def send(sender: str) -> None:
                for number in range(20):
                    ref.send([sender, number])

            await asyncio.gather(*(in_thread(lambda name=name: send(name), self.patience) for name in "xyz"))  # type: ignore[misc]

            noted = await ref.ask(REPORT)
            assert len(noted) == 60
            assert all([n for who, n in noted if who == sender] == list(range(20)) for sender in "xyz")

    async def test_threads_may_wait(self, new_runtime: NewRuntime) -> None:
        """A thread waits for an ask with `wait`, and the loop turns meanwhile."""
        async with self._party(new_runtime) as (runtime, clerk, ref):
            waiting = asyncio.ensure_future(in_thread(lambda: runtime.wait(ref.ask(HOLD)), self.patience))
            await until(clerk.held.is_set, self.patience)
            turns = await self._some_turns()
            clerk.release()

            assert (await waiting, turns) == (None, 100)

    async def test_the_loop_does_not_wait_for_itself(self, new_runtime: NewRuntime) -> None:
        """`wait` in the thread of the loop raises `WaitsForItself`."""
        import pytest

        async with self._party(new_runtime) as (runtime, _, ref):
            with pytest.raises(WaitsForItself):
                runtime.wait(ref.ask(REPORT))

    async def test_a_reply_that_does_not_come_is_waited_for_so_long(self, new_runtime: NewRuntime) -> None:
        """An ask raises `AskTimeout` after its time-out, and the actor is as before."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock) as (_, clerk, ref):
            asking = asyncio.ensure_future(outcome(ref.ask(HOLD, timeout=5.0)))
            await until(clerk.held.is_set, self.patience)

            await clock.advance(4.9)
            early = asking.done()
            await clock.advance(0.2)
            error = await asking
            clerk.release()

            assert (early, type(error)) == (False, AskTimeout)
            assert await ref.ask(["echo", 1]) == 1

    # Its end

    async def test_a_name_is_taken_once(self, new_runtime: NewRuntime) -> None:
        """A second actor of a name is refused with `NameTaken` until the first is over."""
        import pytest

        async with self._party(new_runtime) as (runtime, _, ref):
            with pytest.raises(NameTaken):
                await Clerk(runtime, self.patience).start("a")
            assert runtime.find("a") is ref

            await ref.stop()
            again = await Clerk(runtime, self.patience).start("a")

            assert runtime.find("a") is again
            assert await again.ask(["echo", 1]) == 1

    async def test_an_actor_that_is_over_takes_nothing(self, new_runtime: NewRuntime) -> None:
        """Sending to it, and asking it, raises `ActorStopped`; it is not live, and stopping it again is silent."""
        import pytest

        async with self._party(new_runtime) as (runtime, _, ref):
            await ref.stop()
            await ref.stop()

            with pytest.raises(ActorStopped):
                ref.send("late")
            with pytest.raises(ActorStopped):
                await ref.ask("late")
            assert (ref.is_live, runtime.find("a")) == (False, None)

    async def test_a_stop_finishes_the_message_in_hand_and_no_other(self, new_runtime: NewRuntime) -> None:
        """An actor ends after what it has in hand; asks that wait fail with `ActorStopped`."""
        async with self._party(new_runtime) as (_, clerk, ref):
            held = asyncio.ensure_future(ref.ask(HOLD))
            await until(clerk.held.is_set, self.patience)
            ref.send("never")
            waiting = asyncio.ensure_future(outcome(ref.ask(REPORT)))
            await self._some_turns()

            stopping = asyncio.ensure_future(ref.stop())
            await self._some_turns()
            early = stopping.done()
            clerk.release()
            await stopping

            assert (early, await held, clerk.noted) == (False, None, [])
            assert isinstance(await waiting, ActorStopped)

    async def test_a_closed_runtime_has_no_actors(self, new_runtime: NewRuntime) -> None:
        """Closing stops all actors, leaves no task and no thread of theirs, and may be done again."""
        import pytest

        runtime = new_runtime()
        tasks = asyncio.all_tasks()
        async with runtime:
            refs = [await Clerk(runtime, self.patience).start(name) for name in "abc"]
            timer = runtime.send_every(refs[0], 1000.0, "tick")
            threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
        await runtime.close()

        assert [ref.is_live for ref in refs] == [False] * 3
        assert asyncio.all_tasks() == tasks
        assert len([thread for thread in threads if thread.is_alive()]) <= len(threads) - self._threads(runtime) * 3
        timer.cancel()
        with pytest.raises(RuntimeClosed):
            await runtime.spawn("late", print)

    # Its mailbox

    async def test_a_mailbox_is_bounded(self, new_runtime: NewRuntime) -> None:
        """Beside the message in hand so many wait as `capacity` says; the next `send` raises `MailboxFull` at once."""
        import pytest

        async with self._party(new_runtime, capacity=3) as (_, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            for number in range(3):
                ref.send(number)

            with pytest.raises(MailboxFull):
                ref.send("too many")
            with pytest.raises(MailboxFull):
                await in_thread(lambda: ref.send("too many"), self.patience)
            clerk.release()

            assert await ref.ask(REPORT) == [0, 1, 2]
            ref.send("room again")
            assert await ref.ask(REPORT) == [0, 1, 2, "room again"]

    async def test_an_ask_waits_its_turn(self, new_runtime: NewRuntime) -> None:
        """A full mailbox does not refuse an ask, which is answered when it was reached."""
        async with self._party(new_runtime, capacity=1) as (_, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            ref.send("before")
            asking = asyncio.ensure_future(ref.ask(REPORT))
            await self._some_turns()
            clerk.release()

            assert await asking == ["before"]

    # Timers

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

    # Groups

    async def test_a_broadcast_reaches_the_members(self, new_runtime: NewRuntime) -> None:
        """Three members get it, one that is none does not; after one has left, two (ADAPT-02)."""
        async with self._party(new_runtime) as (runtime, _, _):
            refs = {name: await Clerk(runtime, self.patience).start(name) for name in ("x", "y", "z", "none")}
            for name in "xyz":
                await runtime.join("group", refs[name])

            first = runtime.broadcast("group", "first")
            await runtime.leave("group", refs["y"])
            second = runtime.broadcast("group", "second")

            assert (first, second) == (3, 2)
            assert runtime.members("group") == [refs["x"], refs["z"]]
            noted = {name: await ref.ask(REPORT) for name, ref in refs.items()}
            assert noted == {"x": ["first", "second"], "y": ["first"], "z": ["first", "second"], "none": []}

    async def test_groups_are_apart(self, new_runtime: NewRuntime) -> None:
        """A broadcast reaches the members of its group alone; to leave a group that one is not in is silent."""
        async with self._party(new_runtime) as (runtime, _, ref):
            other = await Clerk(runtime, self.patience).start("other")
            await runtime.join("one", ref)
            await runtime.join("two", other)
            await runtime.leave("two", ref)

            runtime.broadcast("one", 1)
            runtime.broadcast("two", 2)
            nobody = runtime.broadcast("three", 3)

            assert (await ref.ask(REPORT), await other.ask(REPORT), nobody) == ([1], [2], 0)

    async def test_to_join_twice_is_to_join_once(self, new_runtime: NewRuntime) -> None:
        """A member gets a broadcast once, however often it has joined, and one `leave` is enough."""
        async with self._party(new_runtime) as (runtime, _, ref):
            await runtime.join("group", ref)
            await runtime.join("group", ref)

            runtime.broadcast("group", "once")
            members = runtime.members("group")
            await runtime.leave("group", ref)
            runtime.broadcast("group", "never")

            assert (await ref.ask(REPORT), members) == (["once"], [ref])

    async def test_an_actor_that_is_over_is_in_no_group(self, new_runtime: NewRuntime) -> None:
        """Whatever has ended it; a later one of its name is in none either, and one that is over cannot join."""
        import pytest

        async with self._party(new_runtime) as (runtime, _, ref):
            killed = await Clerk(runtime, self.patience).start("killed")
            await runtime.join("group", ref)
            await runtime.join("group", killed)

            await ref.stop()
            await self.kill(killed)
            await until(lambda: not killed.is_live, self.patience)

            assert (runtime.members("group"), runtime.broadcast("group", "to nobody")) == ([], 0)
            again = await Clerk(runtime, self.patience).start("a")
            assert (runtime.members("group"), await again.ask(REPORT)) == ([], [])
            with pytest.raises(ActorStopped):
                await runtime.join("group", ref)

    async def test_a_full_member_misses_a_broadcast_alone(self, new_runtime: NewRuntime) -> None:
        """The others get it, it is counted, and the member gets the next one."""
        async with self._party(new_runtime, capacity=1) as (runtime, clerk, ref):
            other = await Clerk(runtime, self.patience).start("other")
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            ref.send("full")
            for each in (ref, other):
                await runtime.join("group", each)

            reached = runtime.broadcast("group", "first")
            clerk.release()
            await ref.ask(REPORT)
            runtime.broadcast("group", "second")

            assert (reached, runtime.metrics().full) == (1, 1)
            assert (await ref.ask(REPORT), await other.ask(REPORT)) == (["full", "second"], ["first", "second"])

    # Two nodes

    async def test_groups_span_nodes(self, new_runtime: NewRuntime) -> None:
        """Members at other nodes are known, and reached by a broadcast once; not after they have left (ADAPT-02)."""
        async with self._pair(new_runtime) as (_, here, there):
            refs = [await Clerk(here, self.patience).start("a"), await Clerk(there, self.patience).start("b")]
            refs.append(await Clerk(there, self.patience).start("c"))
            for runtime, ref in zip((here, there, there), refs, strict=True):
                await runtime.join("group", ref)
            await until(lambda: len(here.members("group")) == 3 and len(there.members("group")) == 3, self.patience)

            first = here.broadcast("group", "first")
            await self._notes(refs[2], ["first"])
            await there.leave("group", refs[2])
            await until(lambda: here.members("group") == refs[:2], self.patience)
            here.broadcast("group", "second")

            assert first == 2  # an actor and a node
            await self._notes(refs[1], ["first", "second"])
            assert [await ref.ask(REPORT) for ref in refs] == [["first", "second"], ["first", "second"], ["first"]]

    async def test_members_of_a_node_that_is_gone_are_gone(self, new_runtime: NewRuntime) -> None:
        """When a node has left, or its runtime is closed, its actors are in no group."""
        async with self._pair(new_runtime) as (nodes, here, there):
            await there.join("group", await Clerk(there, self.patience).start("b"))
            await until(lambda: here.members("group") == [here.remote("b", "b")], self.patience)
            await there.close()
            await until(lambda: here.members("group") == [], self.patience)

            async with new_runtime(nodes.nodes["b"]) as again:
                await again.join("group", await Clerk(again, self.patience).start("b"))
                await until(lambda: len(here.members("group")) == 1, self.patience)
                await nodes.stop("b")

                assert (here.members("group"), here.broadcast("group", "to nobody")) == ([], 0)

    async def test_an_actor_at_another_node_is_sent_to_and_asked(self, new_runtime: NewRuntime) -> None:
        """In the order of the sends, from threads too; its errors come back as `RemoteFailure`."""
        import pytest

        async with self._pair(new_runtime) as (_, here, there):
            ref = await Clerk(there, self.patience).start("b")
            remote = here.remote("b", "b")

            remote.send({"plain": [1, 2.5, None, True, b"bytes"]})
            await in_thread(lambda: remote.send("from a thread"), self.patience)

            async with asyncio.timeout(self.patience):
                assert await remote.ask(REPORT) == [{"plain": [1, 2.5, None, True, b"bytes"]}, "from a thread"]
                with pytest.raises(RemoteFailure, match="ValueError: on purpose"):
                    await remote.ask(["fail", "on purpose"])
            assert there.remote("b", "b") is ref

    async def test_messages_between_nodes_are_of_types_that_both_know(self, new_runtime: NewRuntime) -> None:
        """An instance of a type among `messages` arrives as one; any other is refused with `InvalidMessage`."""
        import pytest

        class Unknown(msgspec.Struct):
            number: int = 1

        async with self._pair(new_runtime, messages=[Parsed]) as (_, here, there):
            ref = await Clerk(there, self.patience).start("b")
            remote = here.remote("b", "b")

            for wrong in (Unknown(), (1, 2), {1, 2}, object()):
                with pytest.raises(InvalidMessage, match="messages"):
                    remote.send(wrong)
            async with asyncio.timeout(self.patience):
                await remote.ask(Parsed(7))
                with pytest.raises(RemoteFailure, match="no plain data"):
                    await remote.ask(REPORT)
            assert await ref.ask(REPORT) == [Parsed(7)]

    async def test_an_unknown_actor_at_another_node_is_an_error(self, new_runtime: NewRuntime) -> None:
        """Asking it raises `ActorStopped`, and sending to it is counted there."""
        import pytest

        async with self._pair(new_runtime) as (_, here, there):
            here.remote("b", "nobody").send("lost")

            await until(lambda: there.metrics().unknown == 1, self.patience)
            with pytest.raises(ActorStopped, match="no such actor"):
                await here.remote("b", "nobody").ask("lost")

    async def test_a_full_mailbox_at_another_node_is_counted(self, new_runtime: NewRuntime) -> None:
        """What finds no room there is lost, and counted there."""
        async with self._pair(new_runtime) as (_, here, there):
            clerk = Clerk(there, self.patience)
            ref = await clerk.start("b", capacity=1)
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            ref.send("full")

            here.remote("b", "b").send("lost")

            await until(lambda: there.metrics().full == 1, self.patience)
            clerk.release()
            assert await ref.ask(REPORT) == ["full"]

    async def test_an_ask_of_a_node_that_goes_fails_at_once(self, new_runtime: NewRuntime) -> None:
        """It raises `PeerUnreachable` as soon as the node has left, and so do sends and asks afterwards."""
        import pytest

        async with self._pair(new_runtime) as (nodes, here, there):
            clerk = Clerk(there, self.patience)
            await clerk.start("b")
            remote = here.remote("b", "b")
            asking = asyncio.ensure_future(outcome(remote.ask(HOLD, timeout=1e6)))
            await until(clerk.held.is_set, self.patience)

            await nodes.crash("b")
            async with asyncio.timeout(self.patience):
                error = await asking
            clerk.release()

            assert isinstance(error, PeerUnreachable)
            with pytest.raises(PeerUnreachable):
                remote.send("late")
            with pytest.raises(PeerUnreachable):
                await remote.ask("late")

    async def test_an_answer_from_another_node_is_waited_for_so_long(self, new_runtime: NewRuntime) -> None:
        """An ask raises `AskTimeout` after its time-out."""
        async with self._pair(new_runtime) as (nodes, here, there):
            clerk = Clerk(there, self.patience)
            await clerk.start("b")
            asking = asyncio.ensure_future(outcome(here.remote("b", "b").ask(HOLD, timeout=5.0)))
            await until(clerk.held.is_set, self.patience)

            await nodes.advance(5.0)
            error = await asking
            clerk.release()

            assert isinstance(error, AskTimeout)

    async def test_a_node_has_what_a_runtime_needs(self, new_runtime: NewRuntime) -> None:
        """A node without `ActorGroups` is refused with `InvalidRuntime`, and one that has a runtime is, by the node."""
        import pytest

        async with TestRuntime(TestState) as nodes:
            node = await nodes.start("a")

            with pytest.raises(InvalidRuntime, match="ActorGroups"):
                new_runtime(node)

    # The cluster

    async def test_the_membership_is_heard(self, new_runtime: NewRuntime) -> None:
        """Listeners are told who joins, is unreachable, is back, and leaves, and at first who is there (ADAPT-03)."""
        async with self._pair(new_runtime) as (nodes, here, _):
            events: list[MembershipEvent] = []
            here.cluster_events.subscribe(events.append)
            there = await nodes.start("c")
            nodes.hub.lose("c")
            await nodes.settle()
            await there._membership.announce(there._member)
            await nodes.settle()
            await nodes.stop("c")

            told = [(type(event), _name(event)) for event in events]
            kinds = [Joined, Unreachable, Joined, Left]
            assert told == [(Joined, "b"), *((kind, "c") for kind in kinds)]

    async def test_a_listener_may_be_an_actor_and_may_go(self, new_runtime: NewRuntime) -> None:
        """Each subscription has a number of its own, and ends by it, twice as well; who fails harms no other."""
        async with self._pair(new_runtime) as (nodes, here, _):
            ref = await Clerk(here, self.patience).start("a")
            events: list[MembershipEvent] = []
            gone: list[MembershipEvent] = []
            numbers = [here.cluster_events.subscribe(each) for each in (gone.append, _fail, ref.send, events.append)]
            here.cluster_events.unsubscribe(numbers[0])
            here.cluster_events.unsubscribe(numbers[0])
            gone.clear()

            await nodes.start("c")

            assert len(set(numbers)) == 4
            assert (gone, [_name(event) for event in events]) == ([], ["b", "c"])
            assert await ref.ask(REPORT) == events

    # Replicated state

    async def test_changes_come_as_messages(self, new_runtime: NewRuntime) -> None:
        """An actor is sent what is held of each node, then each change, until that is cancelled."""
        async with self._pair(new_runtime) as (nodes, here, _):
            clerk = Clerk(here, self.patience)
            ref = await clerk.start("a")
            mine, theirs = (nodes.nodes[name].replica(TestState) for name in "ab")
            delivery = here.deliver_changes(mine, ref)
            await until(lambda: {change.node for change in clerk.noted} == {"a", "b"}, self.patience)

            await theirs.mutate(lambda _: Value(7))
            await until(lambda: clerk.noted[-1].view == Value(7), self.patience)
            delivery.cancel()
            await self._some_turns()
            await theirs.mutate(lambda _: Value(8))
            await nodes.settle()

            assert (await ref.ask(REPORT))[-1].view == Value(7)

    async def test_a_slow_actor_misses_changes_but_not_the_last(self, new_runtime: NewRuntime) -> None:
        """One change waits for it at a time, and the last one comes."""
        async with self._pair(new_runtime) as (nodes, here, _):
            clerk = Clerk(here, self.patience)
            ref = await clerk.start("a", capacity=1)
            here.deliver_changes(nodes.nodes["a"].replica(TestState), ref)
            await until(lambda: len(clerk.noted) == 2, self.patience)
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)

            for number in range(1, 101):
                await nodes.nodes["b"].replica(TestState).mutate(lambda _, number=number: Value(number))  # type: ignore[misc]
                await nodes.settle()
            clerk.release()
            await until(lambda: clerk.noted[-1].view == Value(100), self.patience)

            assert len(clerk.noted) <= 5

    async def test_a_thread_changes_replicated_state(self, new_runtime: NewRuntime) -> None:
        """It waits for its mutation and its query, and reads views."""
        async with self._pair(new_runtime) as (nodes, here, _):
            held = here.replica(TestState)

            def work() -> object:
                held.mutate(lambda value: Value(value.counter + 1, "thread"))
                return held.state, held.views["a"], held.generation.age, held.query(1e9).views["a"]

            value = Value(1, "thread")
            assert await in_thread(work, self.patience) == (value, value, 1, value)
            views = nodes.nodes["b"].replica(TestState).views
            await until(lambda: views.get("a") == value, self.patience)

    # Processes of their own

    async def test_state_moves_between_processes(self, new_runtime: NewRuntime) -> None:
        """What an actor in another process does to its state is seen here and told to an actor, over TCP (ADAPT-07)."""
        async with self._strangers(new_runtime) as (node, runtime, start):
            clerk = Clerk(runtime, self.patience)
            delivery = runtime.deliver_changes(node.replica(TestState), await clerk.start("a"))
            await start()

            await self._asked(runtime, 7)

            await until(lambda: any(change.view == Value(7) for change in clerk.noted), self.patience)
            assert node.replica(TestState).views[_STRANGER] == Value(7)
            delivery.cancel()

    async def test_groups_and_events_span_processes(self, new_runtime: NewRuntime) -> None:
        """A process comes, is in its groups, is reached by a broadcast, and leaves (ADAPT-02, ADAPT-03)."""
        async with self._strangers(new_runtime) as (node, runtime, start):
            events: list[MembershipEvent] = []
            runtime.cluster_events.subscribe(events.append)
            process = await start()
            await until(lambda: runtime.members("all") == [runtime.remote(_STRANGER, "clerk")], self.patience)

            runtime.broadcast("all", 9)
            await until(lambda: node.replica(TestState).views.get(_STRANGER) == Value(9), self.patience)
            process.terminate()
            await until(lambda: any(isinstance(event, Left) for event in events), self.patience)

            assert isinstance(events[0], Joined)
            assert runtime.members("all") == []

    async def test_a_process_that_was_killed_comes_back(self, new_runtime: NewRuntime) -> None:
        """After SIGKILL its next life is accepted with a greater incarnation, asked, and followed (ADAPT-08)."""
        async with self._strangers(new_runtime) as (node, runtime, start):
            events: list[MembershipEvent] = []
            runtime.cluster_events.subscribe(events.append)
            process = await start()
            first = await self._asked(runtime, 1)
            process.send_signal(signal.SIGKILL)
            await until(lambda: any(not isinstance(event, Joined) for event in events), self.patience)

            await start()
            await until(lambda: isinstance(events[-1], Joined), self.patience)
            second = await self._asked(runtime, 2)

            await until(lambda: node.replica(TestState).views.get(_STRANGER) == Value(2), self.patience)
            assert second > first

    # What an adapter's author may say otherwise

    async def kill(self, ref: LocalRef[Any]) -> None:
        """End an actor by the means of what is beneath, behind the runtime's back; without such, stop it."""
        await ref.stop()

    def _threads(self, runtime: ActorRuntime) -> int:
        """Return how many threads an actor has."""
        return 0 if runtime.awaits else 1

    # What the rules are made of

    @asynccontextmanager
    async def _party(
        self, new_runtime: NewRuntime, *, capacity: int = 1000, **options: Any
    ) -> AsyncIterator[tuple[ActorRuntime, Clerk, LocalRef[Any]]]:
        """Give a runtime without a node, and an actor of the name a."""
        async with asyncio.timeout(self.patience * 3), new_runtime(**options) as runtime:
            clerk = Clerk(runtime, self.patience)
            ref = await clerk.start("a", capacity=capacity)
            try:
                yield runtime, clerk, ref
            finally:
                clerk.release()

    @asynccontextmanager
    async def _pair(
        self, new_runtime: NewRuntime, **options: Any
    ) -> AsyncIterator[tuple[TestRuntime, ActorRuntime, ActorRuntime]]:
        """Give two nodes that have met, a and b, and their runtimes."""
        async with asyncio.timeout(self.patience * 3), TestRuntime(ActorGroups, TestState) as nodes:
            a, b = await nodes.start("a"), await nodes.start("b")
            async with new_runtime(a, **options) as here, new_runtime(b, **options) as there:
                yield nodes, here, there

    @asynccontextmanager
    async def _strangers(self, new_runtime: NewRuntime) -> AsyncIterator[tuple[Node, ActorRuntime, Any]]:
        """Give a node over TCP, its runtime, and what starts a process of the stranger."""
        import pytest

        from perdure_replication.testing._stranger import tcp_node

        if not self.importable or not hasattr(signal, "SIGKILL"):
            pytest.skip("it is not said how another process gets the runtime")
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(tcp_node("a"))
            runtime = await stack.enter_async_context(new_runtime(node))

            async def start() -> asyncio.subprocess.Process:
                process = await _stranger(self.importable, node._address)
                stack.push_async_callback(_end, process)
                return process

            yield node, runtime, start

    async def _asked(self, runtime: ActorRuntime, number: int) -> int:
        """Ask the stranger, as soon as it is there."""
        async with asyncio.timeout(self.patience):
            while True:
                try:
                    return int(await runtime.remote(_STRANGER, "clerk").ask(number, timeout=5.0))
                except (PeerUnreachable, ActorStopped, AskTimeout):
                    await asyncio.sleep(0.02)

    async def _notes(self, ref: Ref[Any], noted: list[Any]) -> None:
        """Wait until an actor has noted what came from another node."""
        async with asyncio.timeout(self.patience):
            while await ref.ask(REPORT) != noted:  # noqa: ASYNC110 - nobody says when
                await asyncio.sleep(0.001)

    async def _some_turns(self) -> int:
        """Let what is ready happen, and return how often the loop has turned."""
        turns = 0
        for _ in range(100):
            await asyncio.sleep(0)
            turns += 1
        return turns


async def _stranger(importable: str, address: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    module = "perdure_replication.testing._stranger"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, importable, _STRANGER, address, env=environment
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def _fail(event: MembershipEvent) -> None:
    raise ValueError("a listener fails, on purpose")


def _name(event: MembershipEvent) -> str:
    return event.member.name if isinstance(event, Joined) else event.name
