"""The runtime of a process in a Ray cluster: perdure's own actors, on a node that finds the others through Ray."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perdure import ActorSystem, Clock
from perdure_replication._node import Node
from perdure_replication._state import ReplicatedState
from perdure_replication.errors import InvalidRuntime
from perdure_replication.ray._library import library
from perdure_replication.ray._ports import CLUSTER, RayPorts
from perdure_replication.runtime import ActorGroups, PerdureRuntime


class RayRuntime(PerdureRuntime):
    """Actors in a process of a Ray cluster, which meet those of all others: open it in Ray actors, and in the driver.

    An actor is in the process that spawned it, as a coroutine that handles messages; what Ray has is how many processes
    there are, and where, and that they come back. The `node` is by default made here, and open as long as the runtime.
    """

    kind = "ray"

    def __init__(
        self,
        node: Node | None = None,
        *,
        cluster: str = "",
        name: str = "",
        states: Iterable[type[ReplicatedState[Any, Any]] | ReplicatedState[Any, Any]] = (),
        ports: RayPorts | None = None,
        system: ActorSystem | None = None,
        messages: Iterable[type[Any]] = (),
        clock: Clock | None = None,
    ) -> None:
        """Take a node, or what one is made of: its cluster or its ports, its name, its states beside `ActorGroups`.

        The cluster is by default perdure. The name is by default that which the Ray actor has, in which this is, or
        else Ray's id of the actor; of a driver or a task, that of its process.
        Raises `InvalidRuntime` in a process that is not connected to Ray.
        """
        if node is not None and (cluster or name or states or ports):
            raise InvalidRuntime(self.kind, "the node has a cluster, a name, states and ports: pass these or the node")
        if cluster and ports:
            raise InvalidRuntime(self.kind, "the ports have a cluster: pass the one or the other")
        self._is_own = node is None
        if node is None:
            both = ports or RayPorts(cluster or CLUSTER)
            states = [ActorGroups, *states]
            node = Node(name or _name(), states, transport=both, membership=both, cluster=both.cluster)
        super().__init__(node, system=system, messages=messages, clock=clock)

    async def _open(self) -> None:
        if self._is_own and self.node is not None:
            await self.node.__aenter__()
        await super()._open()

    async def _close(self) -> None:
        await super()._close()
        if self._is_own and self.node is not None:
            await self.node.close()


def _name() -> str:
    """Return what Ray calls the actor in which this is, or the process."""
    ray = library()
    if not ray.is_initialized():
        raise InvalidRuntime("ray", "this process is not connected to a Ray cluster: call ray.init() first")
    context = ray.get_runtime_context()
    name: str = context.get_actor_name() or context.get_actor_id() or context.get_worker_id()
    return name
