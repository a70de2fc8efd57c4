"""What the parts of an engine share: what a node knows, and how it says what is to be done."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from perdure_replication._actions import Action, Note, Send, Settled
from perdure_replication._agenda import Agenda
from perdure_replication._claims import Claims
from perdure_replication._frames import MAX_FRAME_BYTES
from perdure_replication._generation import Generation
from perdure_replication._held import Held
from perdure_replication._member import Member
from perdure_replication._messages import Hello, Message, Standings
from perdure_replication._metrics import Metrics
from perdure_replication._peers import Peer, Peers
from perdure_replication._pulls import Asking, Pulls
from perdure_replication._seldom import is_worth_a_line
from perdure_replication._served import Served
from perdure_replication._settings import DEFAULTS, Settings
from perdure_replication._shard import Shard
from perdure_replication.errors import UnknownState


class Core:
    """The knowledge of one node. It decides nothing."""

    def __init__(
        self,
        name: str,
        incarnation: int,
        shards: Iterable[Shard],
        *,
        cluster: str = "perdure",
        settings: Settings = DEFAULTS,
        seed: int = 0,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        retains: bool = False,
        overheard: bool = False,
    ) -> None:
        """Begin a life. The shards are as they were restored, or new, in that incarnation.

        `retains`: ask for snapshots to be retained. `overheard`: peers may hold what they were not sent by name, from a
        broadcast or from what was retained, so it is no sign of an earlier life of the same incarnation.
        """
        self.name = name
        self.cluster = cluster
        self.incarnation = incarnation
        self.fenced: str | None = None
        """Why this node may not speak any more."""
        self.left = False
        self.metrics = Metrics()
        # How it behaves.
        self._settings = settings
        self._limits = settings.limits
        self._max_frame_bytes = max_frame_bytes
        self._retains = retains
        self._overheard = overheard
        self._random = Random(seed)
        # What it has, who is there, and what is held of them.
        self._shards = {shard.name: shard for shard in shards}
        self._reads = {shard.name: shard.definition.reads for shard in self._shards.values()}
        self._peers = Peers(self._limits.members, self._limits.departed, self._limits.departed_seconds)
        self._held = {shard.name: Held(name, shard.view) for shard in self._shards.values()}
        # What is under way.
        self._audiences: dict[str, dict[int, tuple[str, ...]]] = {}
        """What `_audience` returned, until something changes about a peer."""
        self._served = Served(4 * self._limits.members)
        self._feed: dict[str, Generation] = {}
        self._pulls = Pulls()
        self._queries: dict[int, Asking] = {}
        self._claims = Claims()
        self._tokens = 0
        self._agenda = Agenda()
        self._waking: float | None = None
        # The event that is being handled.
        self._now = 0.0
        self._came = 0.0
        """When its frame came."""
        self._out: list[Action] = []

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self._shards)

    def shard(self, state: str) -> Shard:
        """Return the own part of a state. Raises `UnknownState`."""
        try:
            return self._shards[state]
        except KeyError:
            raise UnknownState(self.name, state, self.states) from None

    @property
    def members(self) -> tuple[str, ...]:
        """The other nodes that are known, reachable or not."""
        return tuple(peer.name for peer in self._peers)

    def knows(self, name: str) -> bool:
        """Tell whether a node is a member, or was one and has left."""
        return name in self._peers or self._peers.departed(name) is not None

    @property
    def audience(self) -> tuple[Member, ...]:
        """The members that listen."""
        return tuple(Member(peer.name, peer.incarnation) for peer in self._peers if peer.attends)

    def listens(self, name: str) -> bool:
        """Tell whether a node is a member that listens."""
        peer = self._peers.find(name)
        return peer is not None and peer.attends

    @property
    def _is_silent(self) -> bool:
        return self.left or self.fenced is not None

    def _standings(self) -> Standings:
        return {name: shard.standing for name, shard in self._shards.items()}

    def _say_hello(self, peer: Peer, *, answer: bool) -> None:
        entries = {state: held.find(peer.name) for state, held in self._held.items()}
        known = {state: entry.generation for state, entry in entries.items() if entry and entry.generation}
        self._send((peer.name,), Hello(self._standings(), self._reads, known, answer))

    def _is_expected(self, peer: Peer, state: str) -> bool:
        """Tell whether a member has a state, as far as it is known: until it was heard it may."""
        return peer.states is None or state in peer.states

    def _do(self, action: Action) -> None:
        self._out.append(action)

    @property
    def _stamp(self) -> int:
        return int(self._now * 1000)

    def _send(self, peers: tuple[str, ...], message: Message, *, everyone: bool = False) -> None:
        if peers and not self._is_silent:
            self._out.append(Send(peers, message, self.incarnation, self._stamp, everyone))

    def _fail(self, tokens: Iterable[int], error: Exception) -> None:
        for token in tokens:
            self.metrics.mutations_failed += 1
            self._do(Settled(token, error))

    def _note(self, level: Any, text: str, state: str = "", peer: str = "") -> None:
        self._do(Note(level, text, state, peer))

    def _refuse(self, reason: str, text: str, peer: str, level: str = "warning") -> None:
        count = self.metrics.refused[reason] = self.metrics.refused.get(reason, 0) + 1
        if is_worth_a_line(count):
            self._note(level, f"a frame was dropped, the {count:,}. one for this reason: {text}", "", peer)

    def _limit(self, name: str) -> None:
        self.metrics.limited[name] = self.metrics.limited.get(name, 0) + 1
