"""The owner's side: mutations, what peers are sent of them, and the life in which they are made."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from perdure_replication._actions import Claim, Notify, Persist, Retain, Settled
from perdure_replication._agenda import Task
from perdure_replication._core import Core
from perdure_replication._envelopes import Change
from perdure_replication._events import Claimed, Mutate, Persisted, PersistFailed
from perdure_replication._frames import Frame
from perdure_replication._generation import MAX_NUMBER, Generation
from perdure_replication._messages import Delta, Feed, Pull, Snapshot, Unchanged, Withheld
from perdure_replication._peers import Peer
from perdure_replication._seldom import is_worth_a_line
from perdure_replication._shard import Prepared, Shard
from perdure_replication.errors import Fenced, MutationUnstored, TooManyMutations, UnknownState


class Publishing(Core):
    """What an engine does about its own shards."""

    def _mutate(self, event: Mutate) -> None:
        try:
            shard = self.shard(event.state)
        except UnknownState as error:
            self._fail([event.token], error)
            return
        if self._is_silent:
            self._fail([event.token], self._silence)
        elif not shard.saving:
            self._make(shard, [event])
        elif len(shard.waiting) < self._limits.waiting:
            shard.waiting.append(event)
        else:
            self._limit("waiting")
            text = f"{len(shard.waiting):,} mutations wait for the store: await some of them"
            self._fail([event.token], TooManyMutations(shard.name, text))

    @property
    def _silence(self) -> Fenced:
        """Why no mutation can be made any more."""
        return Fenced(self.name, self.fenced or "it has left the cluster")

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
        error: Exception = self._silence if self._is_silent else MutationUnstored(shard.name, str(event.error))
        error.__cause__ = event.error
        self._fail([each.token for each in failed], error)
        self._make_waiting(shard)

    def _give_up_saves(self) -> None:
        """Fail what waits for a save that would be repeated: it never will be."""
        for shard in self._shards.values():
            if ("save", shard.name) in self._agenda:
                self._agenda.cancel(("save", shard.name))
                failed, shard.saving = shard.saving, []
                self._fail([each.token for each in failed], self._silence)
                self._make_waiting(shard)

    def _make_waiting(self, shard: Shard) -> None:
        waiting, shard.waiting = list(shard.waiting), type(shard.waiting)()
        if self._is_silent:
            self._fail([each.token for each in waiting], self._silence)
        else:
            self._make(shard, waiting)

    def _saving(self, token: int) -> Shard | None:
        return next((each for each in self._shards.values() if each.saving and each.saving[0].token == token), None)

    def _commit(self, shard: Shard, prepared: list[Prepared]) -> None:
        """Make stored mutations current: from here on they may be seen, here and elsewhere."""
        for each in prepared:
            self._out.append(Settled(each.token, shard.commit(each)))
        self.metrics.total_mutations += len(prepared)
        self._show_own(shard)
        if self._retains:
            self._retain_soon(shard)
        self._spread(shard, prepared)

    def _spread(self, shard: Shard, prepared: list[Prepared]) -> None:
        """Let peers know as urgently as the most urgent of some mutations wants."""
        push = shard.definition.strategy.push
        now = False
        for each in prepared:
            kind = each.urgency.kind
            if kind == "immediate" or (kind == "default" and push == "active"):
                now = True
                self.metrics.deltas_immediate += kind == "immediate"
            elif kind == "delayed":
                self._agenda.bring_forward(("delayed", shard.name), self._now + each.urgency.seconds)
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
            if is_worth_a_line(self.metrics.limited["view_bytes"]):
                text = f"its view has more than {self._limits.view_bytes:,} bytes and is not sent"
                self._note("error", text, shard.name)
        return message

    def _serve(self, peers: tuple[str, ...], message: Snapshot | Delta, *, everyone: bool = False) -> None:
        self._served.add(peers)
        if isinstance(message, Snapshot):
            self.metrics.snapshots_sent += 1
        else:
            self.metrics.deltas_sent += 1
        self._send(peers, message, everyone=everyone)

    def _has_served(self, peer: Peer) -> bool:
        """Tell whether a peer may hold something of this incarnation: else an earlier life had the same."""
        return self._overheard or peer.name in self._served

    def _version_for(self, peer: Peer, shard: Shard) -> int:
        """Return the version to send: the usual one, or else the best that the peer reads."""
        wire, reads = shard.definition.wire, peer.reads.get(shard.name, ())
        if wire in reads:
            return wire
        return max((version for version in shard.definition.writes if version in reads), default=wire)

    def _show_own(self, shard: Shard) -> None:
        self._held[shard.name].show(self.name, shard.view)
        self._out.append(Notify(Change(shard.name, self.name, shard.generation, shard.view)))

    def _retain_soon(self, shard: Shard) -> None:
        if self._retains:
            self._agenda.bring_forward(("retain", shard.name), self._now + self._settings.retain_interval)

    def _bring_up(self, peer: Peer, shard: Shard, held: Generation | None, *, again: bool) -> None:
        """Send a peer what it lacks, or learn that it holds more of an earlier life of this node.

        `again`: also when it was brought up just now, for what was sent then may be lost.
        """
        own = shard.generation
        foreign = held is not None and held.incarnation == own.incarnation and not self._has_served(peer)
        if held is not None and (held > own or foreign):
            self._claim(held.incarnation + 1)
        elif held != own and (again or not self._was_brought(peer, shard)):
            base = held.age if held is not None and held.incarnation == own.incarnation else None
            message = self._encoded(shard, base, self._version_for(peer, shard))
            if message is not None:
                peer.brought = {**(peer.brought or {}), shard.name: self._now}
                self._serve((peer.name,), message)

    def _was_brought(self, peer: Peer, shard: Shard) -> bool:
        """Tell whether a peer was brought up just now: two hellos may cross, and each is answered."""
        at = -inf if peer.brought is None else peer.brought.get(shard.name, -inf)
        return self._now - at < self._settings.pull_timeout

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

    def _claim(self, at_least: int) -> None:
        """Begin a greater life: peers hold more of an earlier one than this one has."""
        lead = at_least - self.incarnation
        if lead > self._limits.incarnation_lead or at_least > MAX_NUMBER:
            self._limit("incarnation_lead")
        elif self._claims.begin(self._now, self._settings.obsolete_interval):
            self.metrics.refutations += 1
            self._note("info", f"peers hold more of an earlier life: an incarnation of at least {at_least} is claimed")
            self._do(Claim(at_least))

    def _claimed(self, event: Claimed) -> None:
        self._claims.end()
        if event.incarnation <= self.incarnation:
            return
        self.incarnation = event.incarnation
        self._served.clear()
        for shard in self._shards.values():
            shard.begin(event.incarnation)
            self._show_own(shard)
            self._retain_soon(shard)
        for peer in self._peers:
            peer.brought = None
            if peer.reachable:
                self._say_hello(peer, answer=True)

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

    def _save_again(self, task: Task) -> None:
        if self._shards[task[1]].saving:
            self._persist(self._shards[task[1]])

    def _retain(self, task: Task) -> None:
        shard = self._shards[task[1]]
        message = self._encoded(shard, None, shard.definition.wire)
        if isinstance(message, Snapshot):
            self._do(Retain(message, self.incarnation, self._stamp))
