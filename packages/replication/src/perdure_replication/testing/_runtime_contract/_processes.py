"""The rules of actor runtimes about nodes in processes of their own."""

from __future__ import annotations

from perdure_replication._member import Joined, Left, MembershipEvent
from perdure_replication.runtime import NewRuntime
from perdure_replication.testing._clerk import Clerk, until
from perdure_replication.testing._runtime_contract._material import STRANGER, Material
from perdure_replication.testing._states import TestState, Value


class Processes(Material):
    """A node here, and one in another process."""

    async def test_state_moves_between_processes(self, new_runtime: NewRuntime) -> None:
        """What an actor in another process does to its state is seen here and told to an actor (ADAPT-07)."""
        async with self.strangers(new_runtime) as (node, runtime, start):
            clerk = Clerk(runtime, self.patience)
            delivery = runtime.deliver_changes(node.replica(TestState), await clerk.start("a"))
            await start()

            await self._asked(runtime, 7)

            await until(lambda: any(change.view == Value(7) for change in clerk.noted), self.patience)
            assert node.replica(TestState).views[STRANGER] == Value(7)
            delivery.cancel()

    async def test_groups_and_events_span_processes(self, new_runtime: NewRuntime) -> None:
        """A process comes, is in its groups, is reached by a broadcast, and leaves (ADAPT-02, ADAPT-03)."""
        async with self.strangers(new_runtime) as (node, runtime, start):
            events: list[MembershipEvent] = []
            runtime.cluster_events.subscribe(events.append)
            process = await start()
            await until(lambda: runtime.members("all") == [runtime.remote(STRANGER, "clerk")], self.patience)

            runtime.broadcast("all", 9)
            await until(lambda: node.replica(TestState).views.get(STRANGER) == Value(9), self.patience)
            process.terminate()
            await until(lambda: any(isinstance(event, Left) for event in events), self.patience)

            assert isinstance(events[0], Joined)
            assert runtime.members("all") == []

    async def test_a_process_that_was_killed_comes_back(self, new_runtime: NewRuntime) -> None:
        """After SIGKILL its next life is accepted with a greater incarnation, asked, and followed (ADAPT-08)."""
        async with self.strangers(new_runtime) as (node, runtime, start):
            events: list[MembershipEvent] = []
            runtime.cluster_events.subscribe(events.append)
            process = await start()
            first = await self._asked(runtime, 1)
            process.kill()
            await until(lambda: any(not isinstance(event, Joined) for event in events), self.patience)

            await start()
            await until(lambda: isinstance(events[-1], Joined), self.patience)
            second = await self._asked(runtime, 2)

            await until(lambda: node.replica(TestState).views.get(STRANGER) == Value(2), self.patience)
            assert second > first
