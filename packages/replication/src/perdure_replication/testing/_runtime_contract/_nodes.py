"""The rules of actor runtimes about several nodes."""

from __future__ import annotations

import asyncio

import msgspec

from perdure.errors import ActorStopped, AskTimeout
from perdure_replication._member import Joined, Left, MembershipEvent, Unreachable
from perdure_replication.errors import (
    InvalidMessage,
    InvalidRuntime,
    PeerUnreachable,
    RemoteFailure,
)
from perdure_replication.runtime import NewRuntime
from perdure_replication.testing._clerk import HOLD, REPORT, Clerk, in_thread, outcome, until
from perdure_replication.testing._runtime import TestRuntime
from perdure_replication.testing._runtime_contract._material import Material
from perdure_replication.testing._states import TestState, Value


class Parsed(msgspec.Struct, frozen=True):
    """A message that is no plain data."""

    number: int


class Nodes(Material):
    """Two nodes, what they hear of each other, and the state that they replicate."""

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


def _fail(event: MembershipEvent) -> None:
    raise ValueError("a listener fails, on purpose")


def _name(event: MembershipEvent) -> str:
    return event.member.name if isinstance(event, Joined) else event.name
