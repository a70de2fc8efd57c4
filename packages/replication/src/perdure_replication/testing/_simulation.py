"""Whole clusters of engines in one thread and no real time.

Each node has a clock of its own, that may be off and may drift; saves take time and may fail; nodes crash and come back
with what they had stored. Everything that happens follows from the seed and the calls, so a schedule that failed fails
again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from random import Random
from typing import Any

from perdure_replication._actions import (
    Action,
    Answered,
    Claim,
    Deliver,
    Note,
    Notify,
    Persist,
    Send,
    Settled,
    Turnout,
    Wake,
)
from perdure_replication._engine import Engine
from perdure_replication._envelopes import Change, Freshness, StateObject
from perdure_replication._events import Claimed, Event, Leave, Mutate, Persisted, PersistFailed, Query, Received, Start
from perdure_replication._events import Tick as _Tick
from perdure_replication._frames import Frame, encode_frame
from perdure_replication._generation import Generation
from perdure_replication._member import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication._messages import Message
from perdure_replication._restoring import Restored, restore
from perdure_replication._settings import DEFAULTS, Settings
from perdure_replication._state import ReplicatedState
from perdure_replication._strategy import SyncUrgency
from perdure_replication.testing._network import Network
from perdure_replication.testing._timeline import Happening, Timeline


class SimulatedNode:
    """One node: what it stores, which outlives its crashes, and the engine of its present life."""

    def __init__(
        self,
        simulation: Simulation,
        name: str,
        states: Sequence[type[ReplicatedState[Any, Any]]],
        *,
        stored: bool,
        offset: float,
        drift: float,
        settings: Settings,
        cluster: str,
        remembers: bool,
    ) -> None:
        self.name = name
        self.states = list(states)
        self.stored = stored
        self.offset = offset
        """Seconds by which its clocks are off; it may be changed between lives."""
        self.settings = settings
        self.cluster = cluster
        self.records: dict[str, StateObject] = {}
        self.last_incarnation = 0
        self.life = 0
        """How many lives it had; also what tells a late event of an earlier one."""
        self.alive = False
        self.restored: dict[str, Restored] = {}
        self.results: dict[int, Generation | Exception] = {}
        self.answers: dict[int, Freshness] = {}
        self.changes: list[Change[Any]] = []
        self.notes: list[Note] = []
        self.letters: list[Deliver] = []
        self.turnout: list[MembershipEvent] = []
        self.sent: list[tuple[tuple[str, ...], Message]] = []
        """What it sent, to whom, in this life."""
        self.told = 0
        """How many messages it sent in all its lives, each counted once."""
        self.save_delay = 0.002
        self.save_error: Callable[[], PersistFailed | None] | None = None
        """Asked at each save of this node: what it fails with, if it does; its token is filled in."""
        self.reported = 0.0
        """When the last report of the membership reaches it."""
        self._simulation = simulation
        self._waking: float | None = None
        """The moment for which its engine wants to be woken."""
        self._drift = drift
        self._remembers = remembers
        self._tokens = count(1)
        self.engine: Engine

    def clock(self) -> float:
        """Return the time of its own monotonic clock."""
        return 1000.0 + self._simulation.now * (1 + self._drift)

    def wall(self) -> int:
        """Return the time of its own wall clock, in milliseconds."""
        return int((1_700_000_000 + self.offset + self._simulation.now * (1 + self._drift)) * 1000)

    def tell(self, event: Event) -> None:
        """Tell its engine something, and do what it says."""
        for action in self.engine.receive(event, self.clock()):
            self._perform(action)

    def mutate(self, state: str, change: Callable[[Any], Any], urgency: SyncUrgency | None = None) -> int:
        """Begin a mutation. Returns the token under which `results` will have what became of it."""
        token = next(self._tokens)
        self.tell(Mutate(token, state, change, self.wall(), urgency))
        return token

    def query(self, state: str, max_staleness: float = 0.0, timeout: float = 5.0) -> int:
        """Begin a query. Returns the token under which `answers` will have its answer."""
        token = next(self._tokens)
        self.tell(Query(token, state, max_staleness, timeout))
        return token

    def value(self, state: str, node: str) -> Any:
        """Return its view of a node's part of a state, or None."""
        return self.engine.values(state).get(node)

    def generation(self, state: str, node: str) -> Generation | None:
        """Return the generation of that view."""
        held = self.engine.views(state, self.clock()).get(node)
        return None if held is None else held.generation

    def messages(self, kind: type[Any]) -> list[Any]:
        """Return the messages of one kind that it has sent in this life, one for each send."""
        return [message for _, message in self.sent if isinstance(message, kind)]

    def _boot(self) -> Member:
        self.life += 1
        self.alive = True
        self.sent.clear()
        last = self.last_incarnation if self.stored else -1
        incarnation = self.last_incarnation = max(self.wall(), last + 1)
        self.restored = {
            state.name: restore(
                state(),
                self.records.get(state.name) if self.stored else None,
                incarnation,
                self.wall(),
                self.settings.limits,
                stored=self.stored,
            )
            for state in self.states
        }
        self.engine = Engine(
            self.name,
            incarnation,
            [each.shard for each in self.restored.values()],
            cluster=self.cluster,
            settings=self.settings,
            seed=self._simulation.random.getrandbits(32),
        )
        self.tell(Start())
        return Member(self.name, incarnation)

    def _perform(self, action: Action) -> None:
        match action:
            case Send(peers, message, incarnation, sent):
                self.told += 1
                if self._remembers:
                    self.sent.append((peers, message))
                frame = encode_frame(Frame(self.cluster, self.name, incarnation, sent, message))
                self._simulation._carry(self.name, peers, frame)
            case Notify() | Turnout() | Deliver() if not self._remembers:
                pass
            case Notify(change):
                self.changes.append(change)
            case Wake(at):
                self._waking = at
                self._later(max(0.0, (at - self.clock()) / (1 + self._drift)) + 1e-9, partial(self._wake, at))
            case Turnout(event):
                self.turnout.append(event)
            case Deliver():
                self.letters.append(action)
            case Persist():
                self._later(self.save_delay, partial(self._save, action))
            case Claim(at_least):
                self._later(self.save_delay, partial(self._claim, at_least))
            case Settled(token, result):
                self.results[token] = result
            case Answered(token, freshness):
                self.answers[token] = freshness
            case Note():
                self.notes.append(action)

    def _wake(self, at: float) -> None:
        if at == self._waking:
            self.tell(_Tick())

    def _arrive(self, source: str, data: bytes) -> None:
        if self.alive:
            self.tell(Received(source, data))

    def _save(self, action: Persist) -> None:
        failed = self.save_error and self.save_error()
        if failed:
            self.tell(PersistFailed(action.token, failed.error, failed.unknown))
        else:
            self.records[action.record.state] = action.record
            self.tell(Persisted(action.token))

    def _claim(self, at_least: int) -> None:
        self.last_incarnation = max(at_least, self.last_incarnation + 1)
        self.tell(Claimed(self.last_incarnation))
        self._simulation._announce(self)

    def _later(self, seconds: float, action: Happening) -> None:
        """Do something, unless this life has ended by then."""
        self._simulation.after(seconds, partial(self._in_life, self.life, action))

    def _in_life(self, life: int, action: Happening) -> None:
        if self.alive and self.life == life:
            action()


class Simulation:
    """A cluster, its network and its time."""

    def __init__(
        self,
        *states: type[ReplicatedState[Any, Any]],
        seed: int = 0,
        network: Network | None = None,
        settings: Settings = DEFAULTS,
        remembers: bool = True,
    ) -> None:
        """Take the states that each node has unless it is added with others.

        Unless it `remembers`, nodes keep no lists of what they sent, heard and saw change: those of great clusters
        would be long.
        """
        self.now = 0.0
        self.random = Random(seed)
        self.network = network or Network(seed)
        self.nodes: dict[str, SimulatedNode] = {}
        self.steps = 0
        """Things that have happened: arrivals, wake-ups, ends of saves."""
        self._states = states
        self._settings = settings
        self._remembers = remembers
        self._timeline = Timeline()

    def __getitem__(self, name: str) -> SimulatedNode:
        return self.nodes[name]

    def add(
        self,
        name: str,
        *states: type[ReplicatedState[Any, Any]],
        stored: bool = False,
        offset: float = 0.0,
        drift: float = 0.0,
        settings: Settings | None = None,
        cluster: str = "perdure",
    ) -> SimulatedNode:
        """Start a node, and let it and the others join each other."""
        node = self.nodes[name] = SimulatedNode(
            self,
            name,
            states or self._states,
            stored=stored,
            offset=offset,
            drift=drift,
            settings=settings or self._settings,
            cluster=cluster,
            remembers=self._remembers,
        )
        self.start(name)
        return node

    def start(self, name: str) -> None:
        """Begin a life of a node that has none; everybody learns of it."""
        member = self.nodes[name]._boot()
        for other in self.live():
            if other.name != name:
                self._tell_soon(other, Joined(member))
                self._tell_soon(self.nodes[name], Joined(Member(other.name, other.engine.incarnation)))

    def crash(self, name: str, *, noticed: bool = True) -> None:
        """End a node's life at once. Unless `noticed`, nobody learns of it."""
        node = self.nodes[name]
        node.alive = False
        if noticed:
            self.report(Left(name, node.engine.incarnation))

    def leave(self, name: str) -> None:
        """Let a node say goodbye, and end."""
        self.nodes[name].tell(Leave())
        self.crash(name)

    def restart(self, name: str, *, noticed: bool = True) -> SimulatedNode:
        """Crash a node and start it again."""
        self.crash(name, noticed=noticed)
        self.start(name)
        return self.nodes[name]

    def report(self, event: MembershipEvent) -> None:
        """Let all nodes but the one that it is about learn something from the membership."""
        about = event.member.name if isinstance(event, Joined) else event.name
        for other in self.live():
            if other.name != about:
                self._tell_soon(other, event)

    def lose(self, name: str) -> None:
        """Report a node as unreachable."""
        self.report(Unreachable(name, self.nodes[name].engine.incarnation))

    def live(self) -> list[SimulatedNode]:
        return [node for node in self.nodes.values() if node.alive]

    def after(self, seconds: float, action: Happening) -> None:
        """Do something later."""
        self._timeline.add(self.now + seconds, action)

    def run(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due by then."""
        end = self.now + seconds
        for at, happenings in self._timeline.until(end):
            self.now = at
            for happen in happenings:
                happen()
            self.steps += len(happenings)
        self.now = end

    def _tell_soon(self, node: SimulatedNode, event: MembershipEvent) -> None:
        """Report something, after what was reported to this node before."""
        node.reported = at = max(self.now + self.random.uniform(*self.network.delay), node.reported)
        node._later(at - self.now, partial(node.tell, event))

    def _announce(self, node: SimulatedNode) -> None:
        self.report(Joined(Member(node.name, node.engine.incarnation)))

    def _carry(self, source: str, targets: Sequence[str], frame: bytes) -> None:
        for at, target, data in self.network.carry(source, targets, frame, self.now):
            node = self.nodes.get(target)
            if node is not None:
                self._timeline.add(at, partial(node._arrive, source, data))
