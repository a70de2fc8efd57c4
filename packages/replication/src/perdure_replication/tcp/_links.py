"""Of all connections to a peer, the one that counts.

Either node may call the other, so two connections may cross. Both ends choose alike, by what both know: of two
connections of the same two processes the one that the smaller name dialled counts, and of one dialler's the later. The
other one is parted from: nothing more is said on it, and what was said is heard to the end. Of two processes with one
name the one with the greater incarnation counts, and the other is told.
"""

from __future__ import annotations

import logging

from perdure_replication._fields import fields
from perdure_replication._transport import Receive
from perdure_replication.tcp._complaints import Complaints
from perdure_replication.tcp._connection import Connection
from perdure_replication.tcp._dialers import Dialers
from perdure_replication.tcp._farewell import farewell, read_farewell
from perdure_replication.tcp._greeting import Greeting
from perdure_replication.tcp._identity import Identity
from perdure_replication.tcp._metrics import TcpMetrics
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._session import Kind

_log = logging.getLogger("perdure.replication.tcp")


class Watcher:
    """Whoever is told what becomes of links; this one takes no notice. Each of its methods returns at once."""

    def linked(self, name: str) -> None:
        """Learn that there is a link with a peer, which is a new one perhaps."""

    def unlinked(self, name: str) -> None:
        """Learn that there is none any more."""

    def heard(self, name: str, word: bytes) -> None:
        """Take a word that a peer has for its kind."""

    def superseded(self, incarnation: int) -> None:
        """Learn that a later process has this node's name."""

    def pulse(self, now: float, forgiven: float) -> None:
        """Let time pass. `forgiven` are the seconds in which this process did not run."""


class Links:
    """A connection for each peer, and what comes on it."""

    def __init__(
        self,
        connections: dict[str, Connection],
        dialers: Dialers,
        identity: Identity,
        complaints: Complaints,
        metrics: TcpMetrics,
        most: int,
    ) -> None:
        """Keep the links in `connections`, by the name of the peer, and at most so many."""
        self.receive: Receive = nobody
        """Takes the frames of peers."""
        self.watcher = Watcher()
        self._connections = connections
        self._dialers = dialers
        self._identity = identity
        self._complaints = complaints
        self._metrics = metrics
        self._most = most
        self._closed = False

    @property
    def peers(self) -> tuple[str, ...]:
        """The names of those that are linked."""
        return tuple(self._connections)

    def find(self, peer: str) -> Connection | None:
        return self._connections.get(peer)

    def close(self) -> None:
        """Take no connection and hear nobody any more."""
        self._closed = True
        self.receive = nobody

    # What connections tell

    def established(self, connection: Connection) -> None:
        peer = connection.peer
        assert peer is not None
        current = self._connections.get(peer.name)
        if self._closed:
            connection.part(farewell("closing"))
        elif current is None or current.peer is None:
            self._take(connection, peer)
        elif current.peer.instance == peer.instance:
            self._choose(current, connection, peer)
        elif peer.incarnation > current.peer.incarnation:
            current.welcome = False
            current.part(farewell("superseded", peer.incarnation))
            self._take(connection, peer)
        else:
            text = f"another process has the name {peer.shown}, of incarnation {current.peer.incarnation}"
            self._complaints.take(Refused("taken", text), connection.place)
            connection.part(farewell("taken", current.peer.incarnation))

    def heard(self, connection: Connection, kind: Kind, data: bytes) -> None:
        peer = connection.peer
        assert peer is not None
        if kind is Kind.BYE:
            self._hear_farewell(connection, data)
        elif not connection.welcome:
            pass
        elif kind is Kind.FRAME:
            self._metrics.frames_received += 1
            self.receive(peer.name, data)
        else:
            self.watcher.heard(peer.name, data)

    def ended(self, connection: Connection) -> None:
        """Let go of a connection, if it is a link."""
        name = connection.peer.name if connection.peer is not None else ""
        if self._connections.get(name) is not connection:
            return
        del self._connections[name]
        _log.info("%s: no link with %r any more", self._identity.name, name, extra=self._fields(connection))
        self._dialers.wake(name, str(connection.refused or ""))
        self.watcher.unlinked(name)

    def _take(self, connection: Connection, peer: Greeting) -> None:
        is_new = peer.name not in self._connections
        if is_new and len(self._connections) >= self._most:
            connection.refuse("crowded", f"{len(self._connections):,} peers are connected")
            return
        connection.welcome = True
        self._connections[peer.name] = connection
        self._metrics.connected += 1
        self._dialers.rest(peer.name)
        if is_new:
            text, named = "%s: linked with %s at %s", self._fields(connection)
            _log.info(text, self._identity.name, peer.shown, connection.place, extra=named)
        self.watcher.linked(peer.name)

    def _choose(self, current: Connection, new: Connection, peer: Greeting) -> None:
        """Keep one of two connections to one process."""
        own = self._identity.name
        if rank(own, peer.name, new.dials, new.attempt) > rank(own, peer.name, current.dials, current.attempt):
            self._take(new, peer)
            current.part(farewell("linked"))
        else:
            new.welcome = True
            new.part(farewell("linked"))
            current.say(Kind.PING)  # should the peer be right that it is broken, this shows it

    def _hear_farewell(self, connection: Connection, data: bytes) -> None:
        last = read_farewell(data)
        self.ended(connection)
        if last is None or not connection.welcome or last.incarnation <= self._identity.incarnation:
            return
        if last.why == "superseded":
            text = "%s: %s says that a later process has this name, of incarnation %d"
            _log.error(text, self._identity.name, connection.place, last.incarnation, extra=self._fields(connection))
            self.watcher.superseded(last.incarnation)

    def _fields(self, connection: Connection) -> dict[str, object]:
        peer = connection.peer.name if connection.peer is not None else None
        return fields(cluster=self._identity.cluster, node=self._identity.name, peer=peer)


def rank(own: str, peer: str, dials: bool, attempt: int) -> tuple[bool, int]:
    """Return which of several connections counts: the greatest. `dials`: whether this node has called."""
    return dials == (own < peer), attempt


def nobody(peer: str, frame: bytes) -> None:
    """Take what comes when nobody listens any more, or yet."""
