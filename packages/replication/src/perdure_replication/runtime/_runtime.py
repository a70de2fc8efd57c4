"""The seam through which replication meets the actors that people already run.

A runtime has actors with names, each of which handles one message at a time. It is small on purpose: what it does not
have, the library beneath has. All runtimes share what is promised here, whatever is beneath: `ActorRuntimeContract` in
`perdure_replication.testing` holds them to it.

*Threads.* A runtime lives in the event loop in which it is opened. What is no coroutine may be called from any thread;
coroutines are awaited in the loop, and by other threads with `wait`. The loop never waits for a thread.

*Groups.* Each node owns the list of its own members, and publishes it as replicated state (`ActorGroups`); a broadcast
goes once to each node that has members, which hands it to those that it has by then. So there is no list that two nodes
could write, no member of a dead node, and no actor that gets a message twice.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import msgspec

from perdure import Clock, SystemClock
from perdure.errors import ActorStopped, MailboxFull, NameTaken
from perdure_replication._fields import fields
from perdure_replication._node import Node
from perdure_replication._replica import Replica
from perdure_replication._state import ReplicatedState
from perdure_replication.errors import InvalidRuntime, MutationFailed, NodeClosed, RuntimeClosed, UnknownState
from perdure_replication.runtime._bridge import Bridge
from perdure_replication.runtime._cluster import ClusterEvents
from perdure_replication.runtime._delivery import Delivery
from perdure_replication.runtime._exchange import Exchange, RemoteRef
from perdure_replication.runtime._groups import ActorGroups, Group, Membership
from perdure_replication.runtime._held import HeldReplica
from perdure_replication.runtime._letters import Codec
from perdure_replication.runtime._metrics import RuntimeMetrics
from perdure_replication.runtime._ref import LocalRef, Ref
from perdure_replication.runtime._timer import Timed, TimerHandle

M = TypeVar("M")
R = TypeVar("R")
Self = TypeVar("Self", bound="ActorRuntime")
Receive: TypeAlias = Callable[[Any], Any]
"""What a runtime's adapter is given to handle messages with."""

_log = logging.getLogger("perdure.replication")
_CAPACITY = 1000


class ActorRuntime(ABC):
    """Actors of one process, and, on a `Node`, of its cluster. Use it in `async with`, inside that of its node.

    Leaving it stops all its actors, each after the message in hand, and ends timers, subscriptions and asks. What an
    adapter writes is `_start`; `_open` and `_close` are for what is beneath.
    """

    kind: ClassVar[str]
    """Its name among the entry points of the group `perdure.runtimes`."""
    stop_timeout: ClassVar[float] = 10.0
    """Seconds that actors have to finish what they have in hand when the runtime is closed."""
    awaits: ClassVar[bool]
    """True where handlers may be coroutine functions, and must not block; false where they block as they like."""

    def __init__(
        self, node: Node | None = None, *, messages: Iterable[type[Any]] = (), clock: Clock | None = None
    ) -> None:
        """Without a node there is no other actor than those of this runtime. `clock` is by default the node's.

        `messages` are the types that go between nodes beside plain data, the same ones in each runtime of the cluster.
        Raises `InvalidRuntime` for types that cannot be encoded, and a node to which `ActorGroups` was not passed.
        """
        self.node = node
        self.clock: Clock = clock or (node.clock if node is not None else SystemClock())
        self._codec = Codec(self.kind, messages)
        self._metrics = RuntimeMetrics()
        self._actors: dict[str, LocalRef[Any] | None] = {}
        self._groups = Membership()
        self._timers: set[TimerHandle] = set()
        self._deliveries: set[Delivery] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bridge: Bridge | None = None
        self._exchange: Exchange | None = None
        self._events: ClusterEvents | None = None
        self._published: Replica[Any, tuple[Group, ...], Any] | None = None
        self._closed = False
        if node is not None and not isinstance(node._states.get(ActorGroups.name), ActorGroups):
            raise InvalidRuntime(self.kind, f"the node {node.name!r} has no ActorGroups: pass it among its states")

    async def __aenter__(self: Self) -> Self:
        """Open it. Raises `NodeClosed`, and `InvalidNode` where the node has a runtime already."""
        if self._bridge is not None:
            raise InvalidRuntime(self.kind, "it was opened before: make another")
        self._bridge = Bridge()
        self._events = ClusterEvents(self._bridge)
        try:
            await self._open()
            if self.node is not None:
                await self._meet(self.node)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop all actors and let go of everything. May be called again."""
        if self._closed:
            return
        self._closed = True
        for timer in list(self._timers):
            timer.cancel()
        for delivery in list(self._deliveries):
            delivery.cancel()
        self._groups = Membership()
        await self._publish_quietly()
        if self._exchange is not None:
            await self._exchange.close()
        await self._stop_all()
        await self._close()
        if self._bridge is not None:
            self._bridge.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _stop_all(self) -> None:
        """Stop all actors at once; those that take too long are no longer waited for, and do not wait themselves."""
        stops = {asyncio.ensure_future(ref.stop()): ref for ref in self._actors.values() if ref is not None}
        if not stops:
            return
        _, late = await asyncio.wait(stops, timeout=self.stop_timeout)
        if late:
            self.bridge.close()
            _, late = await asyncio.wait(late, timeout=1.0)
        for stop in late:
            text, name = "the actor %s of the runtime %s does not end, and is left", stops[stop].name
            _log.error(text, name, self.kind, extra=fields(node=self.node.name if self.node else None, actor=name))
            stop.cancel()

    # Actors

    async def spawn(self, name: str, handler: Callable[[M], Any], *, capacity: int = _CAPACITY) -> LocalRef[M]:
        """Start an actor and return its ref. The name is free once it is over.

        `handler` takes one message at a time, in the order in which they came, and returns the reply to an ask. What it
        raises goes to the asker, or to the log; the actor goes on with the next message, and no other is touched.
        `capacity` messages wait at most beside the one in hand. Raises `NameTaken`, `RuntimeClosed`, and
        `InvalidRuntime` for a coroutine function where the runtime cannot await.
        """
        if not self._is_open:
            raise RuntimeClosed(f"the runtime {self.kind!r}")
        if not self.awaits and inspect.iscoroutinefunction(handler):
            raise InvalidRuntime(self.kind, f"the handler of {name!r} is a coroutine function: write a plain one")
        if capacity < 1:
            raise ValueError(f"the capacity of {name!r} is 1 message or more, not {capacity}")
        self._take(name)
        try:
            ref: LocalRef[M] = await self._start(name, _Desk(handler), capacity)
        except BaseException:
            del self._actors[name]
            raise
        self._actors[name] = ref
        if not ref.is_live:
            self._over(name)
        if self._closed:
            await ref.stop()
            raise RuntimeClosed(f"the runtime {self.kind!r}")
        return ref

    def _take(self, name: str) -> None:
        if name in self._actors:
            before = self._actors[name]
            if before is None or before.is_live:
                raise NameTaken(name)
            self._forget(name)
        self._actors[name] = None

    def find(self, name: str) -> LocalRef[Any] | None:
        """Return the ref of a live actor of this runtime."""
        ref = self._actors.get(name)
        return ref if ref is not None and ref.is_live else None

    def remote(self, node: str, name: str) -> Ref[Any]:
        """Return the ref of an actor at another node, whether there is one or not; for the own node it is as `find`.

        Raises `LookupError` for an unknown actor of the own node, `InvalidRuntime` without a node.
        """
        if self._exchange is None:
            raise InvalidRuntime(self.kind, "without a node there are no other nodes: pass one")
        if self.node is not None and node == self.node.name:
            if (own := self.find(name)) is None:
                raise LookupError(f"there is no actor {name!r} here")
            return own
        return RemoteRef(node, name, self._exchange, self.bridge)

    # Time

    def send_after(self, ref: LocalRef[M], delay: float, message: M) -> TimerHandle:
        """Send a message once, in `delay` seconds; where there is no room then, as soon as there is."""
        if not delay >= 0:
            raise ValueError(f"a delay is 0 seconds or more, not {delay!r}")
        return self._timer(ref, message, delay, None)

    def send_every(self, ref: LocalRef[M], interval: float, message: M) -> TimerHandle:
        """Send a message every `interval` seconds, the first one after as many, until it is cancelled.

        It ends with the actor, and does not drift. While one waits to be handled none is added, nor for times that were
        missed; one that finds no room is left out, and counted in `RuntimeMetrics.full`; the next one comes.
        """
        if not interval > 0:
            raise ValueError(f"an interval is more than 0 seconds, not {interval!r}")
        return self._timer(ref, message, interval, interval)

    def _timer(self, ref: LocalRef[Any], message: object, delay: float, every: float | None) -> TimerHandle:
        timer = TimerHandle(ref, message, delay, every)
        self.bridge.call(self._begin_timer, timer)
        return timer

    def _begin_timer(self, timer: TimerHandle) -> None:
        self._timers.add(timer)
        timer.begin(self.clock, self.bridge, self._metrics, self._timers.discard)

    # Groups

    async def join(self, group: str, ref: LocalRef[Any]) -> None:
        """Have an actor be one of a group; twice is as once.

        When it returns, broadcasts at this node reach it, and the word to the other nodes is on its way. It leaves when
        it is over. Raises `ActorStopped` for one that is over, and what `Replica.mutate` raises.
        """
        if self.find(ref.name) is not ref:
            raise ActorStopped(ref.name, "an actor that is over, or of another runtime, cannot join a group")
        is_new = ref.name not in self._groups.members(group)
        self._groups.add(group, ref.name)
        try:
            await self._publish()
        except MutationFailed:
            if is_new:
                self._groups.remove(group, ref.name)
            raise

    async def leave(self, group: str, ref: LocalRef[Any]) -> None:
        """Have an actor be in a group no longer: when it returns, no later broadcast reaches it.

        Silent where it was in none.
        """
        self._groups.remove(group, ref.name)
        await self._publish()

    def members(self, group: str) -> list[Ref[Any]]:
        """Return those in a group: the own, in the order in which they joined, then those of nodes within reach."""
        return self.bridge.call(self._members, group)

    def broadcast(self, group: str, message: object) -> int:
        """Send a message to all in a group, the sender too if it is in it; return to how many actors and nodes.

        It waits for nobody. Members whose mailbox is full, and nodes that cannot be reached, miss it, and are counted.
        Raises `InvalidMessage` where it is to go to another node and cannot.
        """
        return self.bridge.call(self._broadcast, group, message)

    def _members(self, group: str) -> list[Ref[Any]]:
        own: list[Ref[Any]] = list(self._own(group))
        return own + [self.remote(peer, name) for peer, names in self._others(group).items() for name in names]

    def _own(self, group: str) -> list[LocalRef[Any]]:
        found = (self.find(name) for name in self._groups.members(group))
        return [ref for ref in found if ref is not None]

    def _others(self, group: str) -> dict[str, tuple[str, ...]]:
        if self._published is None or self._exchange is None or self.node is None:
            return {}
        views, listens = self._published.views, self._exchange.line.listens
        named = {peer: _named(views[peer], group) for peer in views if peer != self.node.name and listens(peer)}
        return {peer: names for peer, names in named.items() if names}

    def _broadcast(self, group: str, message: object) -> int:
        posted = 0
        if self._exchange is not None:
            posted = self._exchange.broadcast(list(self._others(group)), group, message)
        return posted + self._cast(group, message)

    def _cast(self, group: str, message: object) -> int:
        """Send a message to the own members of a group."""
        return sum(self._hand(ref, message) for ref in self._own(group))

    def _hand(self, ref: LocalRef[Any], message: object) -> bool:
        try:
            ref.send(message)
        except MailboxFull:
            self._metrics.full += 1
            return False
        except ActorStopped:
            return False
        return True

    async def _publish(self) -> None:
        """Say which of the own actors are in which groups now."""
        if self._published is not None:
            await self._published.mutate(lambda _: self._groups.as_state())

    # The cluster

    @property
    def cluster_events(self) -> ClusterEvents:
        if self._events is None:
            raise RuntimeClosed(f"the runtime {self.kind!r}")
        return self._events

    def replica(self, state: type[ReplicatedState[Any, Any]]) -> HeldReplica:
        """Return a state of the node, for actors in threads of their own: what it does they wait for.

        Actors in the event loop use `Node.replica`. Raises `UnknownState`, and `InvalidRuntime` without a node.
        """
        if self.node is None:
            raise InvalidRuntime(self.kind, "without a node there is no replicated state: pass one")
        node: Any = self.node  # its overloads are for types that are known
        return HeldReplica(node.replica(state), self.bridge)

    def deliver_changes(self, replica: Replica[Any, Any, Any], ref: LocalRef[Any]) -> Delivery:
        """Send an actor each `Change` of a state's views, beginning with those that are held, until it is over.

        The next one is sent when the one before was handled: a slow actor misses values, never the last of a node.
        """
        return self.bridge.call(self._deliver, replica, ref)

    def _deliver(self, replica: Replica[Any, Any, Any], ref: LocalRef[Any]) -> Delivery:
        delivery = Delivery(replica, ref, self._deliveries.discard)
        self._deliveries.add(delivery)
        return delivery

    async def _meet(self, node: Node) -> None:
        """Open the line to the other runtimes, and publish that there is no member yet."""
        try:
            self._published = node.replica(ActorGroups)
        except UnknownState as error:
            raise InvalidRuntime(self.kind, str(error)) from error
        exchange = Exchange(node, self._codec, self.clock, self._metrics, self.find, self._cast)
        exchange.open(self.cluster_events)
        self._exchange = exchange
        if self._published.state:
            await self._publish()

    # What is beneath

    @property
    def bridge(self) -> Bridge:
        """The way into the runtime's event loop, for other threads."""
        if self._bridge is None:
            raise RuntimeClosed(f"the runtime {self.kind!r}")
        return self._bridge

    def wait(self, what: Coroutine[Any, Any, R]) -> R:
        """Have something awaited in the event loop; the calling thread waits. See `Bridge.wait`."""
        return self.bridge.wait(what)

    def metrics(self) -> RuntimeMetrics:
        """Return what was counted since the runtime was opened."""
        return msgspec.structs.replace(self._metrics)

    @property
    def _place(self) -> str:
        """The node of this runtime's refs."""
        return "" if self.node is None else self.node.name

    @property
    def _is_open(self) -> bool:
        return self._bridge is not None and not self._closed

    async def _open(self) -> None:  # noqa: B027 - there may be nothing to open
        """Open what the actors stand on."""

    async def _close(self) -> None:  # noqa: B027 - nor to close
        """Close it, when all actors are over, or could not be stopped."""

    @abstractmethod
    async def _start(self, name: str, receive: Receive, capacity: int) -> LocalRef[Any]:
        """Start an actor that hands its messages to `receive`, which may return an awaitable where `awaits` is true.

        When the actor is over, whatever has ended it, `_over` is called, from whichever thread.
        """

    def _over(self, name: str) -> None:
        """Forget an actor that is over: its name is free, and it is in no group."""
        self.bridge.soon(self._forget, name)

    def _forget(self, name: str) -> None:
        ref = self._actors.get(name)
        if ref is None or ref.is_live:
            return  # its start is not over, or the name has another actor
        del self._actors[name]
        if self._groups.forget(name) and self._is_open:
            task = asyncio.get_running_loop().create_task(self._publish_quietly())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _publish_quietly(self) -> None:
        try:
            await self._publish()
        except NodeClosed:
            pass
        except Exception as error:
            text = "the runtime %s could not publish that an actor has left its groups"
            _log.exception(text, self.kind, extra=fields(node=self.node.name if self.node else None, error=error))


class _Desk:
    """A handler, before which a timer is asked whether its message is still wanted."""

    def __init__(self, handler: Callable[[Any], Any]) -> None:
        self._handler = handler

    def __call__(self, message: Any) -> Any:
        if isinstance(message, Timed):
            return self._handler(message.message) if message.timer.take() else None
        return self._handler(message)


def _named(groups: tuple[Group, ...], group: str) -> tuple[str, ...]:
    return next((each.members for each in groups if each.name == group), ())


class NewRuntime(Protocol):
    """Makes a runtime that is not open, on a node or without one."""

    def __call__(self, node: Node | None = None, **options: Any) -> ActorRuntime: ...
