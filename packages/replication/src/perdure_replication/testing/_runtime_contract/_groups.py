"""The rules of actor runtimes about groups."""

from __future__ import annotations

from perdure.errors import ActorStopped
from perdure_replication.runtime import NewRuntime
from perdure_replication.testing._clerk import HOLD, REPORT, Clerk, until
from perdure_replication.testing._runtime_contract._material import Material


class Groups(Material):
    """Those who hear the same."""

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
