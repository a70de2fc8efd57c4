"""The reader's side: what a peer's message does to what is held of it."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from perdure_replication._actions import Notify
from perdure_replication._entry import Entry
from perdure_replication._envelopes import Change, StateView
from perdure_replication._frames import Frame
from perdure_replication._generation import Generation
from perdure_replication._messages import Delta, Digest, Feed, Obsolete, Snapshot, Standings, Unchanged, Withheld
from perdure_replication._peers import Peer
from perdure_replication._pulling import Pulling
from perdure_replication._seldom import is_worth_a_line
from perdure_replication.errors import UnknownVersion


class Following(Pulling):
    """What an engine does about the shards of others."""

    def values(self, state: str) -> Mapping[str, Any]:
        """Return the views by node, the own among them: a mapping that shows what holds when it is read."""
        self.shard(state)
        return self._held[state].views

    def views(self, state: str, now: float) -> dict[str, StateView[Any]]:
        """Return what is held, with all that is known of it, by node, the own among them."""
        own = {self.name: self.shard(state).shown(self.name, now)}
        return own | {entry.node: view for entry in self._held[state] if (view := entry.shown()) is not None}

    def _hear(self, peer: Peer, standings: Standings, frame: Frame, *, pull: bool) -> None:
        """Compare what is held of a peer with what it says that it has."""
        moment = peer.scale.moment(frame.sent, self._came)
        if peer.states != standings.keys():
            peer.states = self._reads.keys() if self._reads.keys() == standings.keys() else frozenset(standings)
        for state in self._shards:
            standing = standings.get(state)
            if standing is None:
                self._remove(state, peer.name)
                continue
            entry, generation = self._held[state].entry(peer.name), standing.generation
            if entry.generation == generation:
                entry.confirm(moment)
                if self._queries:
                    self._settle_queries(state, peer.name, moment)
            elif entry.generation is not None and entry.generation > generation:
                self._tell_obsolete(peer, Obsolete(frame.incarnation, entry.generation, state))
            else:
                entry.overtaken_by(generation)
                pushed = Generation(generation.incarnation, standing.pushed)
                if pull and (entry.generation is None or entry.generation < pushed):
                    self._want(state, entry, pushed)

    def _digest(self, peer: Peer, message: Digest, frame: Frame) -> None:
        self.metrics.digests_received += 1
        self._hear(peer, message.standings, frame, pull=True)

    def _feed_heard(self, peer: Peer, message: Feed, frame: Frame) -> None:
        self.metrics.feeds_received += 1
        for state, generation in message.changes.items():
            if state in self._shards and generation.incarnation == frame.incarnation:
                self._held[state].entry(peer.name).overtaken_by(generation)

    def _tell_obsolete(self, peer: Peer, message: Obsolete) -> None:
        if self._now - peer.told_obsolete >= self._settings.obsolete_interval:
            peer.told_obsolete = self._now
            self._send((peer.name,), message)

    def _snapshot(self, peer: Peer, message: Snapshot, frame: Frame) -> None:
        moment = self._moment(peer, message.state, message.token, frame)
        if self._is_misplaced(peer, message.state, message.generation, frame):
            return
        entry = self._held[message.state].entry(peer.name)
        held = entry.generation
        if held is not None and message.generation < held:
            self.metrics.stale_snapshots_discarded += 1
        elif held == message.generation:
            self._compare(entry, message, moment)
        elif self._take_snapshot(entry, message, moment):
            self._go_ahead(entry, message.state)
        else:
            return
        self._answered(entry, message.state, message.token)

    def _take_snapshot(self, entry: Entry, message: Snapshot, moment: float) -> bool:
        definition = self._shards[message.state].definition
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
        entry = self._held[message.state].entry(peer.name)
        try:
            outcome = entry.follow(self._shards[message.state].definition, message, self._now)
        except Exception as error:
            self._unreadable(entry, message.state, message.token, error)
            return
        if outcome == "applied":
            self.metrics.deltas_received += 1
            self._advanced(entry, message.state, moment)
            if entry.ahead:
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
            if not entry.keep_ahead(message, self._limits.ahead):
                self._limit("ahead")
        entry.overtaken_by(message.generation)
        self._want(message.state, entry, message.generation)

    def _advanced(self, entry: Entry, state: str, moment: float) -> None:
        entry.confirm(moment)
        assert entry.generation is not None
        self._held[state].show(entry.node, entry.view)
        self._out.append(Notify(Change(state, entry.node, entry.generation, entry.view)))
        if self._queries:
            self._settle_queries(state, entry.node, moment)

    def _unreadable(self, entry: Entry, state: str, token: int, error: Exception) -> None:
        """Do what the policy says about an unknown version; ask again for what is damaged."""
        entry.failed(str(error))
        self.metrics.sync_failures += 1
        if is_worth_a_line(entry.failures):
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

    def _unchanged(self, peer: Peer, message: Unchanged, frame: Frame) -> None:
        if self._is_misplaced(peer, message.state, message.generation, frame):
            return
        entry = self._held[message.state].entry(peer.name)
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
        entry = self._held[message.state].entry(peer.name)
        if message.reason == "unknown":
            peer.states = peer.states and frozenset(peer.states - {message.state})
            self._remove(message.state, peer.name)
            return
        entry.incompatible = entry.incompatible or message.reason == "version"
        entry.failed(f"it withholds its view: {message.reason}")
        self.metrics.sync_failures += 1
        self._end_pull(entry, message.state, failed=True)

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
        self._held[state].hide(entry.node)

    def _remove(self, state: str, name: str) -> None:
        entry = self._held[state].find(name)
        if entry is not None:
            self._forget(entry, state)
            self._end_pull(entry, state, failed=True)
            self._held[state].remove(name)
