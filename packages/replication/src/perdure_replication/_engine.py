"""The engine of a node: it is told what has happened, and says what is to be done.

It owns no clock, no socket and no task; `now` comes with each event, in seconds of a clock that never goes back, and
its only randomness (when to repeat, when to send the first digest) is a seed. One event is handled at a time, to its
end. It raises nothing for whatever a peer sends.

What holds, and why, is in the project's decision 19. In short: every message speaks of its sender's own shards, as they
are committed; a digest says now and then how far each shard is and how much of it was pushed; who is behind what was
pushed pulls. So a loss costs time and never truth, and no message needs an acknowledgement.

It is long because it is one idea: the table of what each message does to each state of knowledge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from random import Random
from types import MappingProxyType
from typing import Any

from perdure_replication._actions import (
    Action,
    Answered,
    Claim,
    Note,
    Notify,
    Persist,
    Retain,
    Send,
    Settled,
    Wake,
)
from perdure_replication._agenda import Agenda, Task
from perdure_replication._entry import Entry
from perdure_replication._envelopes import ABSENT, Change, Freshness, StateView
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
from perdure_replication._frames import MAX_FRAME_BYTES, Frame, decode_frame
from perdure_replication._generation import MAX_NUMBER, Generation
from perdure_replication._member import Joined, Left, Unreachable
from perdure_replication._messages import (
    Delta,
    Digest,
    Feed,
    Goodbye,
    Hello,
    Message,
    Obsolete,
    Pull,
    Snapshot,
    Standings,
    Unchanged,
    Withheld,
)
from perdure_replication._metrics import Health, HealthStatus, Metrics, PeerStatus
from perdure_replication._peers import Peer, Peers
from perdure_replication._pulls import Asking, Pending, Pulls
from perdure_replication._settings import DEFAULTS, Settings
from perdure_replication._shard import Prepared, Shard
from perdure_replication.errors import (
    BadFrame,
    Fenced,
    MutationUnstored,
    TooManyMutations,
    UnknownState,
    UnknownVersion,
)


class Engine:
    """All that one node knows and decides about replicated state."""

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
    ) -> None:
        """Begin a life. The shards are as they were restored, or new, in that incarnation."""
        self.name = name
        self.cluster = cluster
        self.incarnation = incarnation
        self.fenced: str | None = None
        """Why this node may not speak any more."""
        self.left = False
        self.metrics = Metrics()
        self._settings = settings
        self._limits = settings.limits
        self._max_frame_bytes = max_frame_bytes
        self._retains = retains
        self._random = Random(seed)
        self._shards = {shard.name: shard for shard in shards}
        self._reads = {shard.name: shard.definition.reads for shard in self._shards.values()}
        self._peers = Peers(self._limits.members, self._limits.departed, self._limits.departed_seconds)
        self._entries: dict[str, dict[str, Entry]] = {name: {} for name in self._shards}
        self._values: dict[str, dict[str, Any]] = {each.name: {name: each.view} for each in self._shards.values()}
        self._views = {name: MappingProxyType(values) for name, values in self._values.items()}
        self._audiences: dict[str, dict[int, tuple[str, ...]]] = {}
        """What `_audience` returned, until something changes about a peer."""
        self._pulls = Pulls()
        self._queries: dict[int, Asking] = {}
        self._feed: dict[str, Generation] = {}
        self._served: set[str] = set()
        """Peers that were sent something in this incarnation: what others hold of it is an earlier life's."""
        self._claiming = 0
        self._claimed_at = -inf
        self._tokens = 0
        self._agenda = Agenda()
        self._waking: float | None = None
        self._now = 0.0
        self._out: list[Action] = []

    # What is told

    def receive(self, event: Event, now: float) -> list[Action]:
        """Handle one event, and all that is due by now. Returns what is to be done, in order."""
        self._now = now
        out: list[Action] = []
        self._out = out
        self._EVENTS[type(event)](self, event)
        self._do_what_is_due()
        at = self._agenda.next()
        if at is not None and at != self._waking and not self._is_silent:
            self._waking = at
            out.append(Wake(at))
        return out

    # What is asked

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self._shards)

    def shard(self, state: str) -> Shard:
        """Return the own part of a state. Raises `UnknownState`."""
        try:
            return self._shards[state]
        except KeyError:
            raise UnknownState(self.name, state, self.states) from None

    def values(self, state: str) -> Mapping[str, Any]:
        """Return the views by node, the own among them: a mapping that shows what holds when it is read."""
        self.shard(state)
        return self._views[state]

    def views(self, state: str, now: float) -> dict[str, StateView[Any]]:
        """Return what is held, with all that is known of it, by node, the own among them."""
        held = {self.name: self.shard(state).shown(self.name, now)}
        shown = {name: entry.shown() for name, entry in self._entries[state].items()}
        return held | {name: view for name, view in shown.items() if view is not None}

    def freshness(self, state: str, max_staleness: float, now: float) -> Freshness:
        """Return whose views are not as fresh as that, without asking anybody."""
        self.shard(state)
        return self._freshness(state, now - max_staleness, inf)

    def health(self, state: str, max_staleness: float, now: float) -> Health:
        """Return how a state stands among the members that are to have it."""
        found = self.freshness(state, max_staleness, now)
        expected = [peer.name for peer in self._peers if self._is_expected(peer, state)]
        failing = tuple(name for name in expected if self._entry(state, name).failures)
        well = len({*expected} - {*found.stale, *found.missing, *found.incompatible, *failing})
        status: HealthStatus = "healthy"
        if well < len(expected):
            status = "degraded" if 2 * well > len(expected) else "unhealthy"
        return Health(status, len(expected), found.stale, found.missing, found.incompatible, failing)

    def status(self, state: str) -> list[PeerStatus]:
        """Return one row for each node that is to have the state, the own first."""
        age = self.shard(state).generation.age
        own = PeerStatus(self.name, True, age, age, 0, 0, "", None, None, None)
        others = [
            self._entry(state, peer.name).status(reachable=peer.reachable)
            for peer in self._peers
            if self._is_expected(peer, state)
        ]
        return [own, *others]

    @property
    def members(self) -> tuple[str, ...]:
        """The other nodes that are known, reachable or not."""
        return tuple(peer.name for peer in self._peers)

    # The own shards

    def _start(self, event: Start) -> None:
        for shard in self._shards.values():
            strategy = shard.definition.strategy
            if not strategy.reaches:
                self._note(
                    "warning", "its strategy neither pushes nor pulls: peers learn what is urgent alone", shard.name
                )
            if strategy.periodic is not None:
                self._agenda.set(("period", shard.name), self._now + strategy.periodic)
            self._retain_soon(shard)
        self._agenda.set(("digest",), self._now + self._settings.digest_interval * self._random.random())

    def _mutate(self, event: Mutate) -> None:
        try:
            shard = self.shard(event.state)
        except UnknownState as error:
            self._fail([event.token], error)
            return
        if self._is_silent:
            self._fail([event.token], Fenced(self.name, self.fenced or "it has left the cluster"))
        elif not shard.saving:
            self._make(shard, [event])
        elif len(shard.waiting) < self._limits.waiting:
            shard.waiting.append(event)
        else:
            self._limit("waiting")
            text = f"{len(shard.waiting):,} mutations wait for the store: await some of them"
            self._fail([event.token], TooManyMutations(shard.name, text))

    def _make(self, shard: Shard, mutations: Iterable[Mutate]) -> None:
        """Prepare mutations, one on top of the other, and store or commit them."""
        prepared: list[Prepared] = []
        state, view = shard.state, shard.view
        for mutation in mutations:
            try:
                made = shard.prepare(mutation, state, view)
            except Exception as error:  # of the author's function, for whoever awaits it
                self._fail([mutation.token], error)
                continue
            state, view = made.state, made.view
            prepared.append(made)
        if prepared and shard.stored:
            shard.saving = prepared
            self._persist(shard)
        elif prepared:
            self._commit(shard, prepared)

    def _persist(self, shard: Shard) -> None:
        changes = tuple(each.change for each in shard.saving if each.delta is not None)
        self._do(Persist(shard.saving[0].token, shard.record(shard.saving), changes))

    def _persisted(self, event: Persisted) -> None:
        shard = self._saving(event.token)
        if shard is not None:
            prepared, shard.saving = shard.saving, []
            self._commit(shard, prepared)
            self._make_waiting(shard)

    def _persist_failed(self, event: PersistFailed) -> None:
        shard = self._saving(event.token)
        if shard is None:
            return
        if event.unknown and not self._is_silent:
            self._note("warning", f"it may or may not be stored, and is stored again: {event.error}", shard.name)
            self._agenda.set(("save", shard.name), self._now + self._settings.save_retry)
            return
        failed, shard.saving = shard.saving, []
        error = event.error if isinstance(event.error, Fenced) else MutationUnstored(shard.name, str(event.error))
        error.__cause__ = event.error if error is not event.error else event.error.__cause__
        self._fail([each.token for each in failed], error)
        self._make_waiting(shard)

    def _make_waiting(self, shard: Shard) -> None:
        waiting, shard.waiting = list(shard.waiting), type(shard.waiting)()
        if self._is_silent:
            self._fail([each.token for each in waiting], Fenced(self.name, self.fenced or "it has left the cluster"))
        else:
            self._make(shard, waiting)

    def _saving(self, token: int) -> Shard | None:
        return next((each for each in self._shards.values() if each.saving and each.saving[0].token == token), None)

    def _commit(self, shard: Shard, prepared: list[Prepared]) -> None:
        """Make stored mutations current: from here on they may be seen, here and elsewhere."""
        for each in prepared:
            generation = shard.commit(each)
            self._do(Settled(each.token, generation))
        self.metrics.total_mutations += len(prepared)
        self._show_own(shard)
        self._retain_soon(shard)
        self._spread(shard, prepared)

    def _spread(self, shard: Shard, prepared: list[Prepared]) -> None:
        """Let peers know as urgently as the most urgent of some mutations wants."""
        push = shard.definition.strategy.push
        now = False
        for kind, seconds in ((each.urgency.kind, each.urgency.seconds) for each in prepared):
            if kind == "immediate" or (kind == "default" and push == "active"):
                now = True
                self.metrics.deltas_immediate += kind == "immediate"
            elif kind == "delayed":
                self._agenda.bring_forward(("delayed", shard.name), self._now + seconds)
            elif kind == "default" and push == "feed":
                self._feed[shard.name] = shard.generation
                self._agenda.bring_forward(("feed",), self._now + self._settings.feed_interval)
            else:
                self.metrics.deltas_suppressed += 1
        if now:
            self._push(shard)

    def _push(self, shard: Shard, *, whole: bool = False) -> None:
        """Send all that peers were not sent of a shard: one message for each version that they read."""
        self._agenda.cancel(("delayed", shard.name))
        self._feed.pop(shard.name, None)
        base, shard.pushed = shard.pushed, shard.generation.age
        audience = self._audiences.get(shard.name)
        if audience is None:
            audience = self._audiences[shard.name] = self._audience(shard)
        for version, peers in audience.items():
            message = self._encoded(shard, None if whole else base, version)
            if message is not None:
                self._serve(peers, message, everyone=len(audience) == 1)

    def _audience(self, shard: Shard) -> dict[int, tuple[str, ...]]:
        """Return who is to have a shard, by the version that is sent to them."""
        listening: dict[int, list[str]] = {}
        for peer in self._peers:
            if peer.met and peer.reachable and shard.name in peer.reads:
                listening.setdefault(self._version_for(peer, shard), []).append(peer.name)
        return {version: tuple(names) for version, names in listening.items()}

    def _encoded(self, shard: Shard, base: int | None, version: int, token: int = 0) -> Snapshot | Delta | None:
        """Return what leads from an age to the present, or from nothing, or None where it cannot be sent."""
        try:
            delta = None if base is None else shard.delta(base, version, token)
            message = delta or shard.snapshot(version, token)
        except Exception as error:  # of the author's encoding
            self._note("error", f"its view cannot be encoded as version {version}: {error!r}", shard.name)
            return None
        if message is None:
            self._limit("view_bytes")
            self._note("error", f"its view has more than {self._limits.view_bytes:,} bytes and is not sent", shard.name)
        return message

    def _serve(self, peers: tuple[str, ...], message: Snapshot | Delta, *, everyone: bool = False) -> None:
        if len(self._served) > 4 * self._limits.members:
            self._served.clear()
        self._served.update(peers)
        if isinstance(message, Snapshot):
            self.metrics.snapshots_sent += 1
        else:
            self.metrics.deltas_sent += 1
        self._send(peers, message, everyone=everyone)

    def _has_served(self, peer: Peer) -> bool:
        """Tell whether a peer may hold something of this incarnation: else an earlier life had the same."""
        return self._retains or peer.name in self._served

    def _version_for(self, peer: Peer, shard: Shard) -> int:
        """Return the version to send: the usual one, or else the best that the peer reads."""
        wire, reads = shard.definition.wire, peer.reads.get(shard.name, ())
        if wire in reads:
            return wire
        return max((version for version in shard.definition.writes if version in reads), default=wire)

    def _show_own(self, shard: Shard) -> None:
        self._values[shard.name][self.name] = shard.view
        self._do(Notify(Change(shard.name, self.name, shard.generation, shard.view)))

    def _retain_soon(self, shard: Shard) -> None:
        if self._retains:
            self._agenda.bring_forward(("retain", shard.name), self._now + self._settings.retain_interval)

    # The own incarnation

    def _claim(self, at_least: int) -> None:
        """Begin a greater life: peers hold more of an earlier one than this one has."""
        lead = at_least - self.incarnation
        if lead > self._limits.incarnation_lead or at_least > MAX_NUMBER:
            self._limit("incarnation_lead")
        elif not self._claiming and self._now - self._claimed_at >= self._settings.obsolete_interval:
            self._claiming, self._claimed_at = at_least, self._now
            self.metrics.refutations += 1
            self._note("info", f"peers hold more of an earlier life: an incarnation of at least {at_least} is claimed")
            self._do(Claim(at_least))

    def _claimed(self, event: Claimed) -> None:
        self._claiming = 0
        if event.incarnation <= self.incarnation:
            return
        self.incarnation = event.incarnation
        self._served.clear()
        for shard in self._shards.values():
            shard.begin(event.incarnation)
            self._show_own(shard)
            self._retain_soon(shard)
        for peer in self._peers:
            peer.brought.clear()
            if peer.reachable:
                self._say_hello(peer, answer=True)

    def _fence_off(self, event: FenceOff) -> None:
        if self.fenced is None:
            self.fenced = event.reason
            self._note("error", str(Fenced(self.name, event.reason)))
            self._end_queries()

    def _leave(self, event: Leave) -> None:
        peers = tuple(peer.name for peer in self._peers if peer.reachable)
        self._send(peers, Goodbye(), everyone=True)
        self.left = True
        self._end_queries()

    @property
    def _is_silent(self) -> bool:
        return self.left or self.fenced is not None

    # Members

    def _joined(self, event: Joined) -> None:
        self._audiences.clear()
        name, incarnation = event.member.name, event.member.incarnation
        if name == self.name:
            if incarnation > self.incarnation and not self._claiming:
                self._fence_off(FenceOff(f"the membership knows another of this name, of incarnation {incarnation}"))
            return
        peer = self._peers.find(name)
        if peer is None:
            peer = self._peers.admit(name, incarnation)
            if peer is None:
                self._limit("members")
                return
        elif incarnation > peer.incarnation:
            peer.begin(incarnation)
        elif peer.reachable and peer.met:
            return
        peer.reachable = True
        self._say_hello(peer, answer=True)

    def _unreachable(self, event: Unreachable) -> None:
        self._audiences.clear()
        peer = self._peers.find(event.name)
        if peer is not None and event.incarnation >= peer.incarnation:
            peer.reachable = False
            self._drop_pulls(peer.name)

    def _left(self, event: Left) -> None:
        self._audiences.clear()
        peer = self._peers.find(event.name)
        if event.name == self.name or (peer is not None and event.incarnation < peer.incarnation):
            return  # a late word about an earlier life
        if not self._peers.dismiss(event.name, event.incarnation, self._now):
            self._limit("departed")
        self._drop_pulls(event.name)
        for state in self._shards:
            self._remove(state, event.name)

    def _goodbye(self, peer: Peer, message: Goodbye, frame: Frame) -> None:
        self._left(Left(peer.name, frame.incarnation))

    def _say_hello(self, peer: Peer, *, answer: bool) -> None:
        holds = {
            state: entries[peer.name].generation for state, entries in self._entries.items() if peer.name in entries
        }
        known = {state: generation for state, generation in holds.items() if generation is not None}
        self._send((peer.name,), Hello(self._standings(), self._reads, known, answer))

    def _standings(self) -> Standings:
        return {name: shard.standing for name, shard in self._shards.items()}

    # Frames

    def _received(self, event: Received) -> None:
        if self._is_silent:
            return
        frame = self._open(event.peer, event.frame)
        if frame is not None and (peer := self._sender(frame)) is not None:
            self._MESSAGES[type(frame.message)](self, peer, frame.message, frame)

    def _open(self, peer: str, data: bytes) -> Frame | None:
        """Return a frame that is whole, and from the peer that it names."""
        try:
            frame = decode_frame(data, self._max_frame_bytes)
        except BadFrame as error:
            self._refuse("damaged", str(error), peer)
            return None
        if frame.cluster != self.cluster:
            self._refuse("foreign", f"it sent a frame of the cluster {frame.cluster!r}", peer)
        elif frame.source != peer or peer == self.name:
            self._refuse("forged", f"it sent a frame in the name of {frame.source!r}", peer)
        else:
            return frame
        return None

    def _sender(self, frame: Frame) -> Peer | None:
        """Return the member that sent a frame in its present life, or learn from the frame that this is a later one."""
        peer, incarnation = self._peers.find(frame.source), frame.incarnation
        if peer is None:
            departed = self._peers.departed(frame.source)
            if departed is None:
                self._refuse("stranger", "the membership has not named it", frame.source)
                return None
            if incarnation <= departed:
                self._refuse("departed", "it has left", frame.source)
                self._send((frame.source,), Obsolete(incarnation, Generation(departed, MAX_NUMBER)))
                return None
            peer = self._peers.admit(frame.source, incarnation)
            if peer is None:
                self._limit("members")
            else:
                self._say_hello(peer, answer=True)
        elif incarnation < peer.least:
            self._refuse("outdated", f"a later life than {incarnation} is known", frame.source)
            self._tell_obsolete(peer, Obsolete(incarnation, Generation(peer.least, 0)))
            return None
        elif incarnation > peer.incarnation:
            self._audiences.clear()
            peer.begin(incarnation)
            self._say_hello(peer, answer=True)
        return peer

    def _recalled(self, event: Recalled) -> None:
        """Take over what a node had kept that may be down: it is known from then on, and surely not fresh."""
        frame = self._open(event.peer, event.frame)
        if frame is None or not isinstance(frame.message, Snapshot) or frame.message.state not in self._shards:
            return
        is_of_its_frame = frame.message.generation.incarnation == frame.incarnation
        if self._peers.departed(frame.source) is not None or not is_of_its_frame:
            return
        if frame.source not in self._peers and self._peers.admit(frame.source, 0, reachable=False) is None:
            self._limit("members")
        elif self._entry(frame.message.state, frame.source).is_behind(frame.message.generation):
            self._take_snapshot(frame.message, frame.source, -inf)

    # What peers own

    def _hello(self, peer: Peer, message: Hello, frame: Frame) -> None:
        self._audiences.clear()
        peer.met, peer.reads = True, message.reads
        if message.answer:
            self._say_hello(peer, answer=False)
        self._hear(peer, message.standings, frame, pull=False)
        for name, shard in self._shards.items():
            if name in message.reads:
                self._bring_up(peer, shard, message.holds.get(name))

    def _bring_up(self, peer: Peer, shard: Shard, held: Generation | None) -> None:
        """Send a peer what it lacks, or learn that it holds more of an earlier life of this node."""
        own = shard.generation
        foreign = held is not None and held.incarnation == own.incarnation and not self._has_served(peer)
        if held is not None and (held > own or foreign):
            self._claim(held.incarnation + 1)
        elif held != own and self._now - peer.brought.get(shard.name, -inf) >= self._settings.pull_timeout:
            base = held.age if held is not None and held.incarnation == own.incarnation else None
            message = self._encoded(shard, base, self._version_for(peer, shard))
            if message is not None:
                peer.brought[shard.name] = self._now
                self._serve((peer.name,), message)

    def _digest(self, peer: Peer, message: Digest, frame: Frame) -> None:
        self.metrics.digests_received += 1
        self._hear(peer, message.standings, frame, pull=True)

    def _hear(self, peer: Peer, standings: Standings, frame: Frame, *, pull: bool) -> None:
        """Compare what is held of a peer with what it says that it has."""
        moment = peer.scale.moment(frame.sent, self._now)
        if peer.states is None or peer.states != standings.keys():
            peer.states = frozenset(standings)
        for state in self._shards:
            standing = standings.get(state)
            if standing is None:
                self._remove(state, peer.name)
                continue
            entry, generation = self._entry(state, peer.name), standing.generation
            if entry.generation == generation:
                entry.confirm(moment)
                self._settle_queries(state, peer.name, moment)
            elif entry.generation is not None and entry.generation > generation:
                self._tell_obsolete(peer, Obsolete(frame.incarnation, entry.generation, state))
            else:
                entry.overtaken_by(generation)
                pushed = Generation(generation.incarnation, standing.pushed)
                if pull and (entry.generation is None or entry.generation < pushed):
                    self._want(state, entry, pushed)

    def _tell_obsolete(self, peer: Peer, message: Obsolete) -> None:
        if self._now - peer.told_obsolete >= self._settings.obsolete_interval:
            peer.told_obsolete = self._now
            self._send((peer.name,), message)

    def _obsolete(self, peer: Peer, message: Obsolete, frame: Frame) -> None:
        if message.said != self.incarnation:
            return
        if not message.state or (
            message.state in self._shards and message.generation > self._shards[message.state].generation
        ):
            self._claim(message.generation.incarnation + 1)

    def _feed_heard(self, peer: Peer, message: Feed, frame: Frame) -> None:
        self.metrics.feeds_received += 1
        for state, generation in message.changes.items():
            if state in self._shards and generation.incarnation == frame.incarnation:
                self._entry(state, peer.name).overtaken_by(generation)

    def _snapshot(self, peer: Peer, message: Snapshot, frame: Frame) -> None:
        moment = self._moment(peer, message.state, message.token, frame)
        if self._is_misplaced(peer, message.state, message.generation, frame):
            return
        entry, held = self._entry(message.state, peer.name), self._entry(message.state, peer.name).generation
        if held is not None and message.generation < held:
            self.metrics.stale_snapshots_discarded += 1
        elif held == message.generation:
            self._compare(entry, message, moment)
        elif self._take_snapshot(message, peer.name, moment):
            self._go_ahead(entry, message.state)
        else:
            return
        self._answered(entry, message.state, message.token)

    def _take_snapshot(self, message: Snapshot, source: str, moment: float) -> bool:
        entry, definition = self._entry(message.state, source), self._shards[message.state].definition
        try:
            view = definition.decode_view(message.view, message.version)
        except Exception as error:
            self._unreadable(entry, message.state, message.token, error)
            return False
        entry.adopt(message, view, self._now)
        self.metrics.snapshots_received += 1
        self._advanced(entry, message.state, moment)
        return True

    def _compare(self, entry: Entry, message: Snapshot, moment: float) -> None:
        """Hold a snapshot against a view of its own generation. The owner is right, whatever made them differ."""
        definition = self._shards[message.state].definition
        entry.confirm(moment)
        self._settle_queries(message.state, entry.node, moment)
        try:
            view = definition.decode_view(message.view, message.version)
            wire = definition.wire
            if definition.encode_view(view, wire) == definition.encode_view(entry.view, wire):
                entry.succeeded(self._now)
                self.metrics.stale_snapshots_discarded += not message.token
                return
        except Exception as error:
            entry.failed(str(error))
            return
        self.metrics.divergences += 1
        self._note("warning", f"its view at {message.generation} was not its owner's", message.state, entry.node)
        entry.adopt(message, view, self._now)
        self._advanced(entry, message.state, moment)

    def _delta(self, peer: Peer, message: Delta, frame: Frame) -> None:
        moment = self._moment(peer, message.state, message.token, frame)
        if self._is_misplaced(peer, message.state, message.generation, frame):
            return
        entry = self._entry(message.state, peer.name)
        try:
            outcome = entry.follow(self._shards[message.state].definition, message, self._now)
        except Exception as error:
            self._unreadable(entry, message.state, message.token, error)
            return
        if outcome == "applied":
            self.metrics.deltas_received += 1
            self._advanced(entry, message.state, moment)
            self._go_ahead(entry, message.state)
        elif outcome == "stale":
            self.metrics.stale_deltas_discarded += 1
            if entry.generation == message.generation:
                entry.confirm(moment)
        else:
            self._fill_gap(entry, message)
        self._answered(entry, message.state, message.token)

    def _go_ahead(self, entry: Entry, state: str) -> None:
        """Apply the deltas that came too early, as far as they follow now."""
        while (ahead := entry.next_ahead()) is not None:
            try:
                outcome = entry.follow(self._shards[state].definition, ahead, self._now)
            except Exception as error:
                self._unreadable(entry, state, 0, error)
                return
            if outcome == "applied":
                self.metrics.deltas_received += 1
                self._advanced(entry, state, -inf)

    def _fill_gap(self, entry: Entry, message: Delta) -> None:
        if entry.generation is not None:
            entry.gaps += 1
            self.metrics.age_gaps_detected += 1
            if len(entry.ahead) < self._limits.ahead or message.base in entry.ahead:
                entry.ahead[message.base] = message
            else:
                self._limit("ahead")
        entry.overtaken_by(message.generation)
        self._want(message.state, entry, message.generation)

    def _advanced(self, entry: Entry, state: str, moment: float) -> None:
        entry.confirm(moment)
        assert entry.generation is not None
        self._values[state][entry.node] = entry.view
        self._do(Notify(Change(state, entry.node, entry.generation, entry.view)))
        self._settle_queries(state, entry.node, moment)

    def _unreadable(self, entry: Entry, state: str, token: int, error: Exception) -> None:
        """Do what the policy says about an unknown version; ask again for what is damaged."""
        entry.failed(str(error))
        self.metrics.sync_failures += 1
        if entry.failures & (entry.failures - 1) == 0:
            text = f"its message cannot be used, {entry.failures} times in turn: {error}"
            self._note("warning", text, state, entry.node)
        if not isinstance(error, UnknownVersion):
            self._pull(entry, state)
            return
        entry.incompatible = True
        policy = self._shards[state].definition.on_unreadable
        if policy == "drop_and_wait":
            self._forget(entry, state)
        if policy == "request_reserialization" and not token:
            self._pull(entry, state)
        else:
            self._end_pull(entry, state, failed=True)

    def _is_misplaced(self, peer: Peer, state: str, generation: Generation, frame: Frame) -> bool:
        """Tell whether a value is of a state that is not here, or of another life than the frame's."""
        if state not in self._shards:
            self._refuse("unknown_state", f"it sent the state {state[:40]!r}", peer.name)
            return True
        if generation.incarnation != frame.incarnation:
            self._refuse("outdated", f"it sent {generation} in incarnation {frame.incarnation}", peer.name)
            return True
        return False

    def _forget(self, entry: Entry, state: str) -> None:
        if entry.generation is not None:
            self._do(Notify(Change(state, entry.node, entry.generation, None, "removed")))
        entry.forget()
        self._values[state].pop(entry.node, None)

    def _remove(self, state: str, name: str) -> None:
        entry = self._entries[state].get(name)
        if entry is not None:
            self._forget(entry, state)
            self._end_pull(entry, state, failed=True)
            del self._entries[state][name]

    def _entry(self, state: str, name: str) -> Entry:
        entries = self._entries[state]
        entry = entries.get(name)
        if entry is None:
            entry = entries[name] = Entry(name)
        return entry

    # Pulls

    def _want(self, state: str, entry: Entry, generation: Generation) -> None:
        """Pull until a generation is reached."""
        if entry.wanted is None or entry.wanted < generation:
            entry.wanted = generation
        self._pull(entry, state)

    def _pull(self, entry: Entry, state: str) -> None:
        """Ask the owner for what is newer, unless that is under way."""
        peer = self._peers.find(entry.node)
        if peer is not None and peer.reachable and self._pulls.find(entry.node, state) is None:
            self._send_pull(entry, state, 1)

    def _send_pull(self, entry: Entry, state: str, attempt: int) -> None:
        self._tokens += 1
        self._pulls.begin(entry.node, state, Pending(self._tokens, self._now, attempt, entry.generation))
        entry.attempted = self._now
        self.metrics.pulls_sent += 1
        delay = self._settings.pull_timeout * 2 ** (attempt - 1) * (0.75 + 0.5 * self._random.random())
        self._agenda.set(("pull", entry.node, state), self._now + delay)
        known = None if entry.failures else entry.generation  # after what could not be used, begin anew
        reads = self._shards[state].definition.reads
        self._send((entry.node,), Pull(state, known, reads, self._tokens))

    def _pull_timed_out(self, node: str, state: str) -> None:
        pending, entry = self._pulls.find(node, state), self._entries[state].get(node)
        if pending is None or entry is None:
            return
        if pending.attempt < self._settings.pull_attempts:
            self._send_pull(entry, state, pending.attempt + 1)
            return
        entry.failed(f"{pending.attempt} pulls were not answered")
        self.metrics.sync_failures += 1
        self._note("warning", f"{pending.attempt} pulls were not answered", state, node)
        self._end_pull(entry, state, failed=True)

    def _pulled(self, peer: Peer, message: Pull, frame: Frame) -> None:
        """Answer a pull with what is newer than it knows, in a version that it reads."""
        shard = self._shards.get(message.state)
        if shard is None:
            self._send((peer.name,), Withheld(message.state, "unknown", message.token))
            return
        if peer.reads.get(message.state) != message.reads:
            self._audiences.clear()
            peer.reads = {**peer.reads, message.state: message.reads}
        version, known, own = self._version_for(peer, shard), message.known, shard.generation
        if known is not None and known > own:
            self._claim(known.incarnation + 1)
        elif known == own and self._has_served(peer):
            self._send((peer.name,), Unchanged(message.state, own, message.token))
        elif version not in message.reads:
            self._send((peer.name,), Withheld(message.state, "version", message.token))
        else:
            follows = known is not None and known.incarnation == own.incarnation and self._has_served(peer)
            answer = self._encoded(shard, known.age if known and follows else None, version, message.token)
            if answer is None:
                self._send((peer.name,), Withheld(message.state, "size", message.token))
            else:
                self._serve((peer.name,), answer)

    def _unchanged(self, peer: Peer, message: Unchanged, frame: Frame) -> None:
        if self._is_misplaced(peer, message.state, message.generation, frame):
            return
        entry = self._entry(message.state, peer.name)
        self.metrics.unchanged_received += 1
        moment = self._moment(peer, message.state, message.token, frame)
        if entry.generation == message.generation:
            entry.confirm(moment)
            entry.succeeded(self._now)
            self._settle_queries(message.state, peer.name, moment)
        self._answered(entry, message.state, message.token)

    def _withheld(self, peer: Peer, message: Withheld, frame: Frame) -> None:
        if message.state not in self._shards or not self._pulls.is_of(peer.name, message.state, message.token):
            return
        entry = self._entry(message.state, peer.name)
        if message.reason == "unknown":
            peer.states = peer.states and peer.states - {message.state}
            self._remove(message.state, peer.name)
            return
        entry.incompatible = entry.incompatible or message.reason == "version"
        entry.failed(f"it withholds its view: {message.reason}")
        self.metrics.sync_failures += 1
        self._end_pull(entry, message.state, failed=True)

    def _moment(self, peer: Peer, state: str, token: int, frame: Frame) -> float:
        """Return when what a frame says was surely true: when it was asked for, or when it must have been sent."""
        moment = peer.scale.moment(frame.sent, self._now)
        pending = self._pulls.find(peer.name, state) if token else None
        return pending.sent if pending is not None and pending.token == token else moment

    def _answered(self, entry: Entry, state: str, token: int) -> None:
        """End the pull that was answered, and go on where something is still missing that was pushed."""
        if token and self._pulls.is_of(entry.node, state, token):
            pending = self._end_pull(entry, state)
            if pending is not None and entry.wanted is not None and pending.knew != entry.generation:
                self._pull(entry, state)

    def _end_pull(self, entry: Entry, state: str, *, failed: bool = False) -> Pending | None:
        pending = self._pulls.end(entry.node, state)
        self._agenda.cancel(("pull", entry.node, state))
        if pending is not None and not failed:
            entry.latency = self._now - pending.sent
            self.metrics.pulls_answered += 1
        self._settle_queries(state, entry.node, inf if failed else pending.sent if pending else -inf)
        return pending

    def _drop_pulls(self, name: str) -> None:
        for state, entries in self._entries.items():
            if name in entries:
                self._end_pull(entries[name], state, failed=True)

    # Queries

    def _query(self, event: Query) -> None:
        shard = self.shard(event.state)
        bound = self._now - event.max_staleness
        found = self._freshness(event.state, bound, inf)
        lacking = (*found.stale, *found.missing, *found.incompatible)
        waiting = {name for name in lacking if name not in found.unreachable}
        if not waiting or not shard.definition.strategy.pull_on_query or event.timeout <= 0 or self._is_silent:
            self._do(Answered(event.token, found))
        elif len(self._queries) >= self._limits.queries:
            self._limit("queries")
            self._do(Answered(event.token, found))
        else:
            self._queries[event.token] = Asking(event.token, event.state, bound, self._now, waiting)
            self._agenda.set(("query", str(event.token)), self._now + event.timeout)
            for name in sorted(waiting):
                self._pull(self._entry(event.state, name), event.state)

    def _settle_queries(self, state: str, name: str, moment: float) -> None:
        """Let queries go on that waited for one view, now that it is known as of a moment, or will not be known."""
        if not self._queries:
            return
        for asking in list(self._queries.values()):
            if asking.state != state or name not in asking.waiting:
                continue
            entry = self._entries[state].get(name)
            if entry is None or moment >= asking.asked or entry.is_fresh(asking.bound, asking.asked):
                asking.waiting.discard(name)
                if not asking.waiting:
                    self._answer(asking)
            elif self._pulls.find(name, state) is None:
                self._pull(entry, state)

    def _answer(self, asking: Asking) -> None:
        self._queries.pop(asking.token, None)
        self._agenda.cancel(("query", str(asking.token)))
        self._do(Answered(asking.token, self._freshness(asking.state, asking.bound, asking.asked)))

    def _forget_query(self, event: Forget) -> None:
        self._queries.pop(event.token, None)
        self._agenda.cancel(("query", str(event.token)))

    def _end_queries(self) -> None:
        for asking in list(self._queries.values()):
            self._answer(asking)

    def _freshness(self, state: str, bound: float, asked: float) -> Freshness:
        kinds: dict[str, list[str]] = {"stale": [], "missing": [], "incompatible": []}
        unreachable = []
        for peer in self._peers:
            entry = self._entries[state].get(peer.name)
            if not self._is_expected(peer, state) or (entry is not None and entry.is_fresh(bound, asked)):
                continue
            kind = "missing" if entry is None or entry.view is ABSENT else "stale"
            kinds["incompatible" if entry is not None and entry.incompatible else kind].append(peer.name)
            if not peer.reachable:
                unreachable.append(peer.name)
        lists = {kind: tuple(names) for kind, names in kinds.items()}
        return Freshness(**lists, unreachable=tuple(unreachable))

    def _is_expected(self, peer: Peer, state: str) -> bool:
        """Tell whether a member has a state, as far as it is known: until it was heard it may."""
        return peer.states is None or state in peer.states

    # Time

    def _tick(self, event: Tick) -> None:
        self._waking = None

    def _do_what_is_due(self) -> None:
        for task in self._agenda.due(self._now):
            if not self._is_silent:
                self._TASKS[task[0]](self, task)

    def _send_digest(self, task: Task) -> None:
        self._peers.expire(self._now)
        interval = self._settings.digest_interval * (0.9 + 0.2 * self._random.random())
        self._agenda.set(task, self._now + interval)
        for peer in self._peers:
            if peer.reachable and not peer.met:
                self._say_hello(peer, answer=True)
        met = tuple(peer.name for peer in self._peers if peer.reachable and peer.met)
        if met:
            self.metrics.digests_sent += 1
            self._send(met, Digest(self._standings()), everyone=True)

    def _send_feed(self, task: Task) -> None:
        changes, self._feed = self._feed, {}
        met = tuple(peer.name for peer in self._peers if peer.reachable and peer.met)
        if changes and met:
            self.metrics.feeds_sent += 1
            self._send(met, Feed({name: self._shards[name].generation for name in changes}), everyone=True)

    def _end_period(self, task: Task) -> None:
        shard = self._shards[task[1]]
        period = shard.definition.strategy.periodic
        assert period is not None
        self._agenda.set(task, self._now + period)
        if shard.in_period != shard.generation.age:
            shard.in_period = shard.generation.age
            self._push(shard, whole=True)

    def _end_delay(self, task: Task) -> None:
        self._push(self._shards[task[1]])

    def _end_pull_wait(self, task: Task) -> None:
        self._pull_timed_out(task[1], task[2])

    def _end_query(self, task: Task) -> None:
        asking = self._queries.get(int(task[1]))
        if asking is not None:
            self._answer(asking)

    def _save_again(self, task: Task) -> None:
        if self._shards[task[1]].saving:
            self._persist(self._shards[task[1]])

    def _retain(self, task: Task) -> None:
        shard = self._shards[task[1]]
        message = self._encoded(shard, None, shard.definition.wire)
        if isinstance(message, Snapshot):
            self._do(Retain(message, self.incarnation, self._stamp))

    # Doing

    def _do(self, action: Action) -> None:
        self._out.append(action)

    @property
    def _stamp(self) -> int:
        return int(self._now * 1000)

    def _send(self, peers: tuple[str, ...], message: Message, *, everyone: bool = False) -> None:
        if peers and not self._is_silent:
            self._do(Send(peers, message, self.incarnation, self._stamp, everyone))

    def _fail(self, tokens: Iterable[int], error: Exception) -> None:
        for token in tokens:
            self.metrics.mutations_failed += 1
            self._do(Settled(token, error))

    def _note(self, level: Any, text: str, state: str = "", peer: str = "") -> None:
        self._do(Note(level, text, state, peer))

    def _refuse(self, reason: str, text: str, peer: str) -> None:
        count = self.metrics.refused[reason] = self.metrics.refused.get(reason, 0) + 1
        if count & (count - 1) == 0:  # the first, second, fourth, eighth …: nobody can fill a log
            self._note("warning", f"a frame was dropped, the {count:,}. one for this reason: {text}", "", peer)

    def _limit(self, name: str) -> None:
        self.metrics.limited[name] = self.metrics.limited.get(name, 0) + 1

    _EVENTS: Mapping[type[Any], Callable[[Engine, Any], None]] = {
        Start: _start,
        Mutate: _mutate,
        Persisted: _persisted,
        PersistFailed: _persist_failed,
        Received: _received,
        Recalled: _recalled,
        Query: _query,
        Forget: _forget_query,
        Claimed: _claimed,
        FenceOff: _fence_off,
        Leave: _leave,
        Tick: _tick,
        Joined: _joined,
        Unreachable: _unreachable,
        Left: _left,
    }
    _MESSAGES: Mapping[type[Any], Callable[[Engine, Peer, Any, Frame], None]] = {
        Hello: _hello,
        Digest: _digest,
        Snapshot: _snapshot,
        Delta: _delta,
        Feed: _feed_heard,
        Pull: _pulled,
        Unchanged: _unchanged,
        Withheld: _withheld,
        Obsolete: _obsolete,
        Goodbye: _goodbye,
    }
    _TASKS: Mapping[str, Callable[[Engine, Task], None]] = {
        "digest": _send_digest,
        "feed": _send_feed,
        "period": _end_period,
        "delayed": _end_delay,
        "pull": _end_pull_wait,
        "query": _end_query,
        "save": _save_again,
        "retain": _retain,
    }
