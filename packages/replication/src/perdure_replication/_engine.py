"""The engine of a node: it is told what has happened, and says what is to be done.

It owns no clock, no socket and no task; `now` comes with each event, in seconds of a clock that never goes back, and
its only randomness (when to repeat, when to send the first digest) is a seed. One event is handled at a time, to its
end. It raises nothing for whatever a peer sends.

What holds, and why, is in the project's decision 19. In short: every message speaks of its sender's own shards, as they
are committed; a digest says now and then how far each shard is and how much of it was pushed; who is behind what was
pushed pulls. So a loss costs time and never truth, and no message needs an acknowledgement.

Its parts are classes that know the parts below them: `Core` what the node knows, `Publishing` the owner's side,
`Pulling` what it asks for, `Following` the reader's side. Here are the members, the frames, the time, and the tables of
what an event, a message and a moment lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from perdure_replication._actions import Action, Deliver, Turnout, Wake
from perdure_replication._agenda import Task
from perdure_replication._events import (
    Claimed,
    Event,
    FenceOff,
    Forget,
    Leave,
    Mutate,
    Persisted,
    PersistFailed,
    Post,
    Query,
    Recalled,
    Received,
    Start,
    Tick,
)
from perdure_replication._following import Following
from perdure_replication._frames import Frame, decode_frame
from perdure_replication._generation import MAX_NUMBER, Generation
from perdure_replication._member import Joined, Left, Member, Unreachable
from perdure_replication._messages import (
    Delta,
    Digest,
    Feed,
    Goodbye,
    Hello,
    Letter,
    Obsolete,
    Pull,
    Snapshot,
    Unchanged,
    Withheld,
)
from perdure_replication._peers import Peer
from perdure_replication._publishing import Publishing
from perdure_replication._pulling import Pulling
from perdure_replication.errors import BadFrame, Fenced


class Engine(Publishing, Following):
    """All that one node knows and decides about replicated state."""

    def receive(self, event: Event, now: float) -> list[Action]:
        """Handle one event, and all that is due by now. Returns what is to be done, in order."""
        self._now = now
        out: list[Action] = []
        self._out = out
        self._EVENTS[type(event)](self, event)
        at = self._agenda.next()
        if at is not None and at <= now:
            self._do_what_is_due()
            at = self._agenda.next()
        if at is not None and at != self._waking and not self._is_silent:
            self._waking = at
            out.append(Wake(at))
        return out

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

    def _save_failed(self, event: PersistFailed) -> None:
        """Fail what was to be stored; where the store says that a later life has begun, this one is over."""
        if isinstance(event.error, Fenced):
            self._fence_off(FenceOff(event.error.reason))
        self._persist_failed(event)

    def _fence_off(self, event: FenceOff) -> None:
        if self.fenced is None:
            self.fenced = event.reason
            self._note("error", str(Fenced(self.name, event.reason)))
            self._give_up_saves()
            self._end_queries()

    def _leave(self, event: Leave) -> None:
        peers = tuple(peer.name for peer in self._peers if peer.reachable)
        self._send(peers, Goodbye(), everyone=True)
        self.left = True
        self._give_up_saves()
        self._end_queries()

    def _joined(self, event: Joined) -> None:
        name, incarnation = event.member.name, event.member.incarnation
        if name == self.name:
            if incarnation > self.incarnation and not self._claims.under_way:
                self._fence_off(FenceOff(f"the membership knows another of this name, of incarnation {incarnation}"))
            return
        peer = self._peers.find(name)
        if peer is None:
            peer = self._peers.admit(name, incarnation)
            if peer is None:
                self._limit("members")
                return
        elif incarnation > peer.incarnation:
            self._begin_life(peer, incarnation)
        elif peer.reachable and peer.met:
            return
        peer.reachable = True
        self._turn_out(peer)
        self._say_hello(peer, answer=True)

    def _unreachable(self, event: Unreachable) -> None:
        peer = self._peers.find(event.name)
        if peer is not None and event.incarnation >= peer.incarnation:
            peer.reachable = False
            peer.brought = None
            self._drop_pulls(peer.name)
            self._turn_out(peer)

    def _left(self, event: Left) -> None:
        self._audiences.clear()
        peer = self._peers.find(event.name)
        if event.name == self.name or (peer is not None and event.incarnation < peer.incarnation):
            return  # a late word about an earlier life
        if not self._peers.dismiss(event.name, event.incarnation, self._now):
            self._limit("departed")
        if peer is not None:
            self._do(Turnout(Left(peer.name, peer.incarnation)))
        self._drop_pulls(event.name)
        for state in self._shards:
            self._remove(state, event.name)

    def _goodbye(self, peer: Peer, message: Goodbye, frame: Frame) -> None:
        self._left(Left(peer.name, frame.incarnation))

    def _received(self, event: Received) -> None:
        if self._is_silent:
            return
        self._came = self._now - event.waited
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
                self._hear_departed(frame, departed)
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
            self._begin_life(peer, incarnation)
            self._say_hello(peer, answer=True)
        return peer

    def _hear_departed(self, frame: Frame, departed: int) -> None:
        """Tell a node that it is held to have left, unless that is what it says. It may be a frame that came late."""
        if not isinstance(frame.message, Goodbye):
            self._refuse("departed", "it has left", frame.source, "info")
            self._send((frame.source,), Obsolete(frame.incarnation, Generation(departed, MAX_NUMBER)))

    def _begin_life(self, peer: Peer, incarnation: int) -> None:
        self._audiences.clear()
        peer.begin(incarnation)

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
        elif (entry := self._held[frame.message.state].entry(frame.source)).is_behind(frame.message.generation):
            self._take_snapshot(entry, frame.message, -inf)

    def _hello(self, peer: Peer, message: Hello, frame: Frame) -> None:
        if message.reads != peer.reads:
            self._audiences.clear()
            peer.reads = self._reads if message.reads == self._reads else message.reads
        peer.met = True
        self._turn_out(peer)
        if message.answer:
            self._say_hello(peer, answer=False)
        self._hear(peer, message.standings, frame, pull=False)
        for name, shard in self._shards.items():
            if name in message.reads:
                self._bring_up(peer, shard, message.holds.get(name), again=message.answer)

    def _turn_out(self, peer: Peer) -> None:
        """Tell whether a member listens, where that has changed: from its hello on, while it can be reached."""
        attends = peer.reachable and peer.met
        if attends != peer.attends:
            self._audiences.clear()
            peer.attends = attends
            about = Member(peer.name, peer.incarnation)
            self._do(Turnout(Joined(about) if attends else Unreachable(about.name, about.incarnation)))

    def _post(self, event: Post) -> None:
        self._send(event.peers, Letter(event.line, event.body))

    def _letter(self, peer: Peer, message: Letter, frame: Frame) -> None:
        self._do(Deliver(peer.name, frame.incarnation, message.line, message.body))

    def _obsolete(self, peer: Peer, message: Obsolete, frame: Frame) -> None:
        if message.said != self.incarnation:
            return
        if not message.state or (
            message.state in self._shards and message.generation > self._shards[message.state].generation
        ):
            self._claim(message.generation.incarnation + 1)

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
            if peer.brought and max(peer.brought.values()) <= self._now - self._settings.pull_timeout:
                peer.brought = None
            if peer.reachable and not peer.met:
                self._say_hello(peer, answer=True)
        met = tuple(peer.name for peer in self._peers if peer.reachable and peer.met)
        if met:
            self.metrics.digests_sent += 1
            self._send(met, Digest(self._standings()), everyone=True)

    _EVENTS: Mapping[type[Any], Callable[[Engine, Any], None]] = {
        Start: _start,
        Mutate: Publishing._mutate,
        Persisted: Publishing._persisted,
        PersistFailed: _save_failed,
        Received: _received,
        Recalled: _recalled,
        Query: Pulling._query,
        Forget: Pulling._forget_query,
        Post: _post,
        Claimed: Publishing._claimed,
        FenceOff: _fence_off,
        Leave: _leave,
        Tick: _tick,
        Joined: _joined,
        Unreachable: _unreachable,
        Left: _left,
    }
    _MESSAGES: Mapping[type[Any], Callable[[Engine, Peer, Any, Frame], None]] = {
        Hello: _hello,
        Digest: Following._digest,
        Snapshot: Following._snapshot,
        Delta: Following._delta,
        Feed: Following._feed_heard,
        Pull: Publishing._pulled,
        Unchanged: Following._unchanged,
        Withheld: Following._withheld,
        Obsolete: _obsolete,
        Letter: _letter,
        Goodbye: _goodbye,
    }
    _TASKS: Mapping[str, Callable[[Engine, Task], None]] = {
        "digest": _send_digest,
        "feed": Publishing._send_feed,
        "period": Publishing._end_period,
        "delayed": Publishing._end_delay,
        "pull": Pulling._end_pull_wait,
        "query": Pulling._end_query,
        "save": Publishing._save_again,
        "retain": Publishing._retain,
    }
