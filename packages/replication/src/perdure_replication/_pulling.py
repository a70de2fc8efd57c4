"""Asking owners for what is newer: one pull for each peer and state, and the queries that wait for them."""

from __future__ import annotations

from math import inf

from perdure_replication._actions import Answered
from perdure_replication._agenda import Task
from perdure_replication._core import Core
from perdure_replication._entry import Entry
from perdure_replication._envelopes import ABSENT, Freshness
from perdure_replication._events import Forget, Query
from perdure_replication._frames import Frame
from perdure_replication._generation import Generation
from perdure_replication._messages import Pull
from perdure_replication._metrics import Health, HealthStatus, PeerStatus
from perdure_replication._peers import Peer
from perdure_replication._pulls import Asking, Pending


class Pulling(Core):
    """What an engine asks for, and what it says about freshness."""

    def freshness(self, state: str, max_staleness: float, now: float) -> Freshness:
        """Return whose views are not as fresh as that, without asking anybody."""
        self.shard(state)
        return self._freshness(state, now - max_staleness, inf)

    def health(self, state: str, max_staleness: float, now: float) -> Health:
        """Return how a state stands among the members that are to have it."""
        found = self.freshness(state, max_staleness, now)
        expected = [peer.name for peer in self._peers if self._is_expected(peer, state)]
        failing = tuple(name for name in expected if self._held[state].entry(name).failures)
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
            self._held[state].entry(peer.name).status(reachable=peer.reachable)
            for peer in self._peers
            if self._is_expected(peer, state)
        ]
        return [own, *others]

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
        pending, entry = self._pulls.find(node, state), self._held[state].find(node)
        if pending is None or entry is None:
            return
        if pending.attempt < self._settings.pull_attempts:
            self._send_pull(entry, state, pending.attempt + 1)
            return
        entry.failed(f"{pending.attempt} pulls were not answered")
        self.metrics.sync_failures += 1
        self._note("warning", f"{pending.attempt} pulls were not answered", state, node)
        self._end_pull(entry, state, failed=True)

    def _end_pull_wait(self, task: Task) -> None:
        self._pull_timed_out(task[1], task[2])

    def _moment(self, peer: Peer, state: str, token: int, frame: Frame) -> float:
        """Return when what a frame says was surely true: when it was asked for, or when it must have been sent."""
        moment = peer.scale.moment(frame.sent, self._came)
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
        for state, held in self._held.items():
            if (entry := held.find(name)) is not None:
                self._end_pull(entry, state, failed=True)

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
                self._pull(self._held[event.state].entry(name), event.state)

    def _settle_queries(self, state: str, name: str, moment: float) -> None:
        """Let queries go on that waited for one view, now that it is known as of a moment, or will not be known."""
        if not self._queries:
            return
        for asking in list(self._queries.values()):
            if asking.state != state or name not in asking.waiting:
                continue
            entry = self._held[state].find(name)
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

    def _end_query(self, task: Task) -> None:
        asking = self._queries.get(int(task[1]))
        if asking is not None:
            self._answer(asking)

    def _freshness(self, state: str, bound: float, asked: float) -> Freshness:
        kinds: dict[str, list[str]] = {"stale": [], "missing": [], "incompatible": []}
        unreachable = []
        for peer in self._peers:
            entry = self._held[state].find(peer.name)
            if not self._is_expected(peer, state) or (entry is not None and entry.is_fresh(bound, asked)):
                continue
            kind = "missing" if entry is None or entry.view is ABSENT else "stale"
            kinds["incompatible" if entry is not None and entry.incompatible else kind].append(peer.name)
            if not peer.reachable:
                unreachable.append(peer.name)
        lists = {kind: tuple(names) for kind, names in kinds.items()}
        return Freshness(**lists, unreachable=tuple(unreachable))
