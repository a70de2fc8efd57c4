"""A node: an engine, the ports on which it runs, and the tasks that do what it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from itertools import count
from random import SystemRandom
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from perdure import Clock, SystemClock
from perdure.errors import OutcomeUnknown
from perdure_replication._actions import (
    Action,
    Answered,
    Claim,
    Deliver,
    Note,
    Notify,
    Persist,
    Retain,
    Send,
    Settled,
    Turnout,
    Wake,
)
from perdure_replication._changes import Changes
from perdure_replication._engine import Engine
from perdure_replication._envelopes import Freshness, StateObject
from perdure_replication._events import (
    Claimed,
    Event,
    FenceOff,
    Forget,
    Leave,
    Mutate,
    Persisted,
    PersistFailed,
    Query,
    Recalled,
    Received,
    Start,
    Tick,
)
from perdure_replication._fields import fields
from perdure_replication._frames import Frame, encode_frame
from perdure_replication._generation import Generation
from perdure_replication._latest import Latest
from perdure_replication._line import TOPICS, Line, Listen
from perdure_replication._link import Link
from perdure_replication._links import Links
from perdure_replication._lobby import Lobby
from perdure_replication._member import Joined, Left, Member, MembershipEvent
from perdure_replication._membership import Membership, Report
from perdure_replication._messages import MAX_NAME, MAX_STATES, Snapshot
from perdure_replication._metrics import Health, Metrics
from perdure_replication._outbox import Outgoing
from perdure_replication._persistence import StatePersistence
from perdure_replication._replica import Replica
from perdure_replication._restoring import restore
from perdure_replication._settings import DEFAULTS, Settings
from perdure_replication._state import DeltaDistributedState, DistributedState, ReplicatedState
from perdure_replication._strategy import SyncUrgency
from perdure_replication._transport import Transport
from perdure_replication._turns import Turns
from perdure_replication.errors import Fenced, InvalidNode, NodeClosed, PeerUnreachable, UnknownState

if TYPE_CHECKING:
    from perdure_replication.keyed import Keyed, KeyedState, StoredKeyed
    from perdure_replication.topics import Exchange, Pace

S = TypeVar("S")
V = TypeVar("V")
C = TypeVar("C")
D = TypeVar("D")

_LAST_WORDS = 1.0
"""Seconds that links have to send what waits when a life ends."""
_FRAME_ROOM = 64 * 1024
"""What a frame may need beside a view."""
_BROADCAST = ""
"""The link that reaches all peers."""
_EVERYONE = (_BROADCAST,)

_log = logging.getLogger("perdure.replication")


class Node:
    """One member of a cluster, with its part of some replicated states. Use it in `async with`.

    Entering begins a life: an incarnation is claimed and stored, states are loaded, the cluster is joined. Leaving it
    waits for mutations that are being stored, says goodbye, and closes transport, membership and persistence.
    """

    def __init__(
        self,
        name: str,
        states: Iterable[type[ReplicatedState[Any, Any]] | ReplicatedState[Any, Any]],
        *,
        transport: Transport,
        membership: Membership,
        persistence: StatePersistence | None = None,
        cluster: str = "perdure",
        settings: Settings = DEFAULTS,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        """Raise `InvalidNode` and `InvalidState` for what cannot be right. Nothing is opened yet.

        Without `persistence` states begin anew in each life. `clock` and `seed` are for tests.
        """
        self.name = name
        self.clock: Clock = clock or SystemClock()
        definitions = [state() if isinstance(state, type) else state for state in states]
        self._states = {definition.name: definition for definition in definitions}
        self._transport = transport
        self._membership = membership
        self._persistence = persistence
        self._cluster = cluster
        self._settings = settings
        self._seed = SystemRandom().getrandbits(64) if seed is None else seed
        self._engine: Engine | None = None
        self._tokens = count(1)
        self._mutations: dict[int, asyncio.Future[Generation]] = {}
        self._queries: dict[int, asyncio.Future[Freshness]] = {}
        self._followers: dict[str, set[Changes[Any]]] = {}
        self._lines: dict[str, Line] = {}
        self.exchange: Exchange | None = None
        self._links = Links(self._send_frame)
        self._turns = Turns()
        self._retained: dict[str, Link] = {}
        self._lobby = Lobby(self.clock, self._tell_safely)
        self._tasks: set[asyncio.Task[None]] = set()
        self._saves: set[asyncio.Task[None]] = set()
        self._timer: Any = None
        self._address = ""
        self._stack = AsyncExitStack()
        self._check(len(definitions))

    def _check(self, count: int) -> None:
        if not 1 <= len(self.name) <= MAX_NAME or not 1 <= len(self._cluster) <= MAX_NAME:
            raise InvalidNode(self.name, f"the names of node and cluster have 1 to {MAX_NAME} characters")
        if len(self._states) > MAX_STATES:
            raise InvalidNode(self.name, f"it has {len(self._states):,} states, over {MAX_STATES:,}")
        if count != len(self._states):
            raise InvalidNode(self.name, f"two of its states have one name; there are {', '.join(self._states)}")
        if self._settings.limits.view_bytes + _FRAME_ROOM > self._transport.max_frame_bytes:
            raise InvalidNode(
                self.name,
                f"its transport takes frames of {self._transport.max_frame_bytes:,} bytes, and views may have "
                f"{self._settings.limits.view_bytes:,}: lower Limits.view_bytes by what is over, and {_FRAME_ROOM:,}",
            )

    # A life

    async def __aenter__(self) -> Node:
        """Begin a life. Raises what the ports raise; then everything is closed again."""
        if self._engine is not None:
            raise InvalidNode(self.name, "it was opened before: make a new one for another life")
        try:
            await self._open()
        except BaseException:
            await self._release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End this life: store what is being stored, say goodbye, let go of everything. May be called again."""
        if self._engine is not None and not self._engine.left:
            while self._saves:
                await asyncio.wait(set(self._saves))
            self._tell(Leave())
            await self._links.flush(_LAST_WORDS)
            await self._leave_cluster()
        await self._release()

    async def _open(self) -> None:
        self._stack.push_async_callback(self._transport.close)
        self._stack.push_async_callback(self._membership.close)
        if self._persistence is not None:
            self._stack.push_async_callback(self._persistence.close)
        incarnation = await self._claimed(self._wall())
        shards = [await self._restored(definition, incarnation) for definition in self._states.values()]
        self._engine = Engine(
            self.name,
            incarnation,
            shards,
            cluster=self._cluster,
            settings=self._settings,
            seed=self._seed,
            max_frame_bytes=self._transport.max_frame_bytes,
            retains=self._transport.retains,
            overheard=self._transport.retains or self._transport.broadcasts,
        )
        self._address = await self._transport.start(Member(self.name, incarnation), self._receive)
        self._tell(Start())
        if self._transport.retains:
            for peer, frame in await self._transport.retained():
                if peer != self.name:
                    self._tell(Recalled(peer, frame))
                    self._let_in(peer)
        await self._membership.join(self._member, self._report)

    async def _claimed(self, at_least: int) -> int:
        """Return an incarnation that both the membership and the store hold to be greater than all before."""
        incarnation = await self._membership.claim(self.name, at_least)
        return incarnation if self._persistence is None else await self._persistence.claim(incarnation)

    async def _restored(self, definition: ReplicatedState[Any, Any], incarnation: int) -> Any:
        found: StateObject | Exception | None = None
        if self._persistence is not None:
            try:
                found = await self._persistence.load(definition.name)
            except Exception as error:  # a node without its state is better than no node: see `restore`
                found = error
        limits, stored = self._settings.limits, self._persistence is not None
        restored = restore(definition, found, incarnation, self._wall(), limits, stored=stored)
        level = logging.WARNING if restored.outcome == "fell_back" else logging.INFO
        text, name = "%s: the state %s begins: %s %s", definition.name
        named = self._fields(state=name, error=found if isinstance(found, Exception) else None)
        _log.log(level, text, self.name, name, restored.outcome, restored.reason, extra=named)
        return restored.shard

    async def _leave_cluster(self) -> None:
        try:
            await self._membership.leave()
        except Exception as error:
            text = "%s: the membership could not be left; others will find out"
            _log.exception(text, self.name, extra=self._fields(error=error))

    async def _release(self) -> None:
        """Let go of everything, in reverse order."""
        if self.exchange is not None:
            await self.exchange.close()
        if self._timer is not None:
            self._timer.cancel()
        self._lobby.close()
        if self._engine is not None:
            self._engine.left = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._links.close()
        for link in self._retained.values():
            await link.close()
        promises: list[asyncio.Future[Any]] = [*self._mutations.values(), *self._queries.values()]
        for future in promises:
            if not future.done():
                future.set_exception(NodeClosed(self.name))
        for followers in self._followers.values():
            for follower in followers:
                follower.end()
        await self._stack.aclose()

    # What a program uses

    @overload
    def replica(self, state: type[DistributedState[S]]) -> Replica[S, S, S]: ...

    @overload
    def replica(self, state: type[DeltaDistributedState[S, V, C, D]]) -> Replica[S, V, tuple[S, C]]: ...

    def replica(self, state: type[ReplicatedState[Any, Any]]) -> Replica[Any, Any, Any]:
        """Return the handle of one of the node's states. Raises `UnknownState` and `NodeClosed`."""
        if state.name not in self._states or not isinstance(self._states[state.name], state):
            raise UnknownState(self.name, state.name, tuple(self._states))
        return Replica(self, self.engine.shard(state.name).name)

    def line(self, name: str, receive: Listen, report: Report = lambda _: None) -> Line:
        """Open a line: send letters to other nodes that have opened one of this name, and receive theirs.

        `receive` takes the peer, its incarnation and the letter. `report` takes who listens from now on, those that do
        already at once, and who does not any more. Both are called in the event loop and return at once. Letters of a
        line that nobody has opened are dropped and counted. Raises `InvalidNode` for a second line of one name, and
        `NodeClosed`.
        """
        if self.engine.left:
            raise NodeClosed(self.name)
        if not 1 <= len(name) <= MAX_NAME or name in self._lines:
            raise InvalidNode(self.name, f"{name[:40]!r} is no name for a line, or there is one already")
        line = self._lines[name] = Line(self, name, receive, report)
        for member in self.engine.audience:
            report(Joined(member))
        return line

    def keyed(
        self,
        state: type[KeyedState[V]] | KeyedState[V],
        *,
        keys: Iterable[str] = (),
        prefixes: Iterable[str] = ("",),
        pace: Pace | None = None,
    ) -> Keyed[V]:
        """Open a keyed state: offer the own keys to all nodes, and follow those of all that open it, too.

        `keys` and `prefixes` say which are followed, as in `Keyed.follow`; all unless they say less. Raises
        `InvalidState`, `InvalidNode` when it is open already, `ValueError`, `NodeClosed`.
        """
        from perdure_replication.keyed import Keyed
        from perdure_replication.topics import Pace, interest

        wanted = interest(keys, prefixes)
        return Keyed(self, state() if isinstance(state, type) else state, wanted, pace or Pace())

    async def stored_keyed(
        self,
        state: type[KeyedState[V]] | KeyedState[V],
        *,
        keys: Iterable[str] = (),
        prefixes: Iterable[str] = ("",),
        pace: Pace | None = None,
    ) -> StoredKeyed[V]:
        """Open a keyed state whose own keys are stored by the node's persistence, and are there in its next life.

        Open it soon: of an earlier life others keep what they hold for 5 s. Raises what `keyed` raises, `InvalidNode`
        for a node without persistence, and what its persistence raises: then it is not open.
        """
        from perdure_replication.keyed import StoredKeyed
        from perdure_replication.topics import Pace, interest

        if self._persistence is None:
            raise InvalidNode(
                self.name, "it has no persistence: give it one, or open what is in memory alone by `keyed`"
            )
        wanted, definition = interest(keys, prefixes), state() if isinstance(state, type) else state
        stored = StoredKeyed(self, definition, self._persistence, wanted, pace or Pace())
        try:
            await stored.load()
        except BaseException:
            await stored.close()
            raise
        return stored

    @property
    def engine(self) -> Engine:
        """The engine of this life. Raises `NodeClosed` before it is opened."""
        if self._engine is None:
            raise NodeClosed(self.name)
        return self._engine

    @property
    def incarnation(self) -> int:
        return self.engine.incarnation

    @property
    def members(self) -> tuple[str, ...]:
        """The other nodes that are known, reachable or not."""
        return self.engine.members

    def metrics(self) -> Metrics:
        """Return what was counted since the node was opened."""
        return self.engine.metrics.copy()

    def health(self, max_staleness: float = 30.0) -> dict[str, Health]:
        """Return how each state stands among the members that are to have it."""
        now = self.clock.monotonic()
        return {state: self.engine.health(state, max_staleness, now) for state in self._states}

    async def _mutate(self, state: str, change: Callable[[Any], Any], urgency: SyncUrgency | None) -> Generation:
        future: asyncio.Future[Generation]
        token, future = self._promise(self._mutations)
        self._tell(Mutate(token, state, change, self._wall(), urgency))
        try:
            return await future
        finally:
            await self._turns.give_way()

    async def _query(self, state: str, max_staleness: float, timeout: float) -> Freshness:
        future: asyncio.Future[Freshness]
        token, future = self._promise(self._queries)
        self._tell(Query(token, state, max_staleness, timeout))
        try:
            return await future
        finally:
            if self._queries.pop(token, None) is not None and not self.engine.left:
                self._tell(Forget(token))

    def _promise(self, promises: dict[int, asyncio.Future[Any]]) -> tuple[int, asyncio.Future[Any]]:
        if self.engine.left:
            raise NodeClosed(self.name)
        token = next(self._tokens)
        promises[token] = asyncio.get_running_loop().create_future()
        return token, promises[token]

    def _follow(
        self, state: str, since: Mapping[str, Generation] | None, fold: Callable[[Any, Any], Any] | None
    ) -> Changes[Any]:
        held = self.engine.views(state, self.clock.monotonic())
        changes: Changes[Any] = Changes(state, held, since, self._unfollow, fold)
        self._followers.setdefault(state, set()).add(changes)
        if self.engine.left:
            changes.end()
        return changes

    def _unfollow(self, changes: Latest[Any]) -> None:
        for followers in self._followers.values():
            followers.discard(changes)

    # What the ports tell

    def _receive(self, peer: str, frame: bytes) -> None:
        if self.engine.knows(peer):
            self._tell_safely(Received(peer, frame))
        else:
            self._lobby.hold(peer, frame)

    def _report(self, event: MembershipEvent) -> None:
        if self.engine.left:
            return
        name = event.member.name if isinstance(event, Joined) else event.name
        if isinstance(event, Joined) and name != self.name:
            self._transport.peer_up(event.member)
        self._tell_safely(event)
        if isinstance(event, Left) and name not in self.engine.members:
            self._transport.peer_down(name)
        self._let_in(name)

    def _let_in(self, peer: str) -> None:
        """Hear what a node has said before it was known."""
        if self.engine.knows(peer):
            self._lobby.let_go(peer)

    def _tell_safely(self, event: Event) -> None:
        """Tell the engine what a port has to say; an error of ours is no matter of the port's."""
        try:
            self._tell(event)
        except Exception as error:
            what = type(event).__name__
            _log.exception("%s: %s could not be handled", self.name, what, extra=self._fields(error=error))

    def _tell(self, event: Event) -> None:
        for action in self.engine.receive(event, self.clock.monotonic()):
            self._perform(action)

    # What the engine wants

    def _perform(self, action: Action) -> None:
        match action:
            case Send(peers, message, incarnation, sent, everyone):
                whom = _EVERYONE if everyone and self._transport.broadcasts else peers
                self._links.put(whom, Outgoing(message, incarnation, sent))
            case Notify(change):
                for follower in self._followers.get(change.state, ()):
                    follower.tell(change)
                if _log.isEnabledFor(logging.DEBUG):  # there is one for each change
                    peer = "" if change.node == self.name else change.node
                    text, named = "%s: %s of %s is at %s", self._fields(peer=peer, state=change.state)
                    _log.debug(text, self.name, change.state, change.node, change.generation, extra=named)
            case Deliver(peer, incarnation, name, body):
                self._deliver(peer, incarnation, name, body)
            case Turnout(event):
                self._turn_out(event)
            case Settled(token, result):
                self._settle(self._mutations, token, result)
            case Answered(token, freshness):
                self._settle(self._queries, token, freshness)
            case Wake(at):
                self._wake(at)
            case Persist():
                self._begin(self._persist(action), self._saves)
            case Claim(at_least):
                self._begin(self._claim(at_least), self._tasks)
            case Retain(message, incarnation, sent):
                link = self._retained.setdefault(message.state, Link(self._retain))
                link.put(Outgoing(message, incarnation, sent))
            case Note(level, text, state, peer):
                about = " of ".join(part for part in (state, peer) if part) or "cluster"
                number = getattr(logging, level.upper())
                _log.log(number, "%s: %s: %s", self.name, about, text, extra=self._fields(peer=peer, state=state))

    def _deliver(self, peer: str, incarnation: int, name: str, body: bytes) -> None:
        if name == TOPICS:
            self._attend_to_topics()
        line = self._lines.get(name)
        if line is None:
            limited = self.engine.metrics.limited
            limited["lines"] = limited.get("lines", 0) + 1
        else:
            line.receive(peer, incarnation, body)

    def _attend_to_topics(self) -> None:
        """Answer those who ask what is offered here, though nothing is."""
        from perdure_replication.topics import exchange_of  # it stands on this floor

        exchange_of(self)

    def _turn_out(self, event: MembershipEvent) -> None:
        for line in list(self._lines.values()):
            line.report(event)
        link = None if isinstance(event, Joined) else self._links.find(event.name)
        if link is not None:
            link.wake()

    async def _send_frame(self, peer: str, outgoing: Outgoing) -> None:
        frame = self._encoded(outgoing)
        try:
            if peer == _BROADCAST:
                await self._transport.broadcast(frame)
            else:
                await self._transport.send(peer, frame)
        except PeerUnreachable as error:
            _log.debug("%s: a frame is lost: %s", self.name, error, extra=self._fields(peer=peer, error=error))
        except Exception as error:
            named = self._fields(peer=peer, error=error)
            _log.exception("%s: the transport failed to send to %s", self.name, peer or "everyone", extra=named)

    async def _retain(self, outgoing: Outgoing) -> None:
        assert isinstance(outgoing.message, Snapshot)
        try:
            await self._transport.retain(outgoing.message.state, self._encoded(outgoing))
        except Exception as error:
            named = self._fields(state=outgoing.message.state, error=error)
            _log.exception("%s: the transport failed to keep a snapshot", self.name, extra=named)

    def _encoded(self, outgoing: Outgoing) -> bytes:
        message, incarnation, sent = outgoing
        return encode_frame(Frame(self._cluster, self.name, incarnation, sent, message))

    def _settle(self, promises: dict[int, asyncio.Future[Any]], token: int, result: Any) -> None:
        future = promises.pop(token, None)
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.clock.call_at(at, lambda: self._tell_safely(Tick()))

    def _begin(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        for kept in (tasks, self._tasks):
            kept.add(task)
            task.add_done_callback(kept.discard)
        return task

    async def _save(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what stores something: leaving waits for it, and where it is fenced so is the node."""
        try:
            await self._begin(work, self._saves)
        except Fenced as error:
            self._tell_safely(FenceOff(error.reason))
            raise

    async def _persist(self, action: Persist) -> None:
        assert self._persistence is not None
        try:
            await self._persistence.save(action.record, action.changes)
        except Exception as error:
            self._tell(PersistFailed(action.token, error, isinstance(error, OutcomeUnknown)))
        else:
            self._tell(Persisted(action.token))

    async def _claim(self, at_least: int) -> None:
        """Get a greater incarnation, however often it takes, and announce it."""
        while True:
            try:
                incarnation = await self._claimed(at_least)
                break
            except Fenced as error:
                self._tell(FenceOff(error.reason))
                return
            except Exception as error:
                text = "%s: no greater incarnation can be claimed, and it is tried again"
                _log.exception(text, self.name, extra=self._fields(error=error))
                await self._pause(self._settings.save_retry)
        self._tell(Claimed(incarnation))
        try:
            await self._membership.announce(self._member)
        except Exception as error:
            text = "%s: the membership did not take the incarnation %d"
            _log.exception(text, self.name, incarnation, extra=self._fields(error=error))

    def _fields(self, *, peer: str = "", state: str = "", error: Exception | None = None) -> dict[str, object]:
        """Return what its log records carry."""
        return fields(cluster=self._cluster, node=self.name, peer=peer, state=state, error=error)

    async def _pause(self, seconds: float) -> None:
        """Return after so many seconds of the node's clock."""
        over = asyncio.Event()
        timer = self.clock.call_at(self.clock.monotonic() + seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    @property
    def _member(self) -> Member:
        return Member(self.name, self.engine.incarnation, self._address)

    def _wall(self) -> int:
        return int(self.clock.time() * 1000)
