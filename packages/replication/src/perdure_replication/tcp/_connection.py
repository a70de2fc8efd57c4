"""One connection: a session on a socket."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from perdure import Clock
from perdure_replication.errors import PeerUnreachable
from perdure_replication.tcp._address import is_loopback
from perdure_replication.tcp._greeting import Greeting
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._session import Kind, Session
from perdure_replication.tcp._settings import TcpSettings


class Owner(Protocol):
    """Whoever has connections. Each of its methods returns at once."""

    def established(self, connection: Connection) -> None:
        """Take note that a peer is at the other end, and proved."""

    def heard(self, connection: Connection, kind: Kind, data: bytes) -> None:
        """Take a `FRAME`, a `WORD` or the `BYE` of the peer."""

    def ended(self, connection: Connection) -> None:
        """Take note that it is over: `connection.refused` says why, unless it ended as it should."""

    def passed(self, received: int, sent: int) -> None:
        """Count bytes that have come from the network, or go to it."""


class Connection(asyncio.Protocol):
    """It ends by `BYE` from both sides, by `refuse`, or when the network ends it; then `ended` is called, once."""

    def __init__(
        self, owner: Owner, session: Session, settings: TcpSettings, clock: Clock, *, dials: bool, anywhere: bool
    ) -> None:
        self.dials = dials
        self.attempt = 0
        """The dialer's number of this connection."""
        self.peer: Greeting | None = None
        self.refused: Refused | None = None
        self.welcome = False
        """Whether what the peer says on it counts."""
        self.parting = False
        """Whether this side has said `BYE`, or may not say more."""
        self.place = "?"
        """The other end's address."""
        self.standing: asyncio.Future[Greeting] = asyncio.get_running_loop().create_future()
        """The peer, when the connection is established; otherwise what refused it."""
        self.over = asyncio.Event()
        self._owner = owner
        self._session = session
        self._settings = settings
        self._clock = clock
        self._anywhere = anywhere
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._turn = asyncio.Lock()
        self._heard = self._said = clock.monotonic()
        self._begun: float | None = None
        """When a frame began of which not all has come."""
        self._deadline = clock.call_at(clock.monotonic() + settings.handshake_timeout, self._too_late)
        self.standing.add_done_callback(_looked_at)

    # What the socket tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by type
        stream.set_write_buffer_limits(high=self._settings.send_buffer)
        host, port = (stream.get_extra_info("peername") or ("?", 0))[:2]
        self.place = f"{host}:{port}"
        if self.parting:
            stream.abort()
            return
        if not self._anywhere and not is_loopback(host):
            self.refuse("insecure", "without security nobody is talked to but on this machine")
        else:
            self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard = self._clock.monotonic()
        self._owner.passed(len(data), 0)
        try:
            for kind, content in self._session.receive(data):
                self._begun = None
                self._take(kind, content)
                if self.refused is not None or self.over.is_set():
                    return
        except Refused as refused:
            self._flush()
            self.end(refused)
            return
        self._begun = (self._begun or self._heard) if self._session.partial else None
        self._flush()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def eof_received(self) -> None:
        if not self.parting and self.peer is None:
            self.end(Refused("broken", "it closes the connection during the handshake; its log says why"))

    def connection_lost(self, error: Exception | None) -> None:
        if self.refused is None and not self.parting:
            self.refused = Refused("broken", f"the connection is broken: {error or 'it was closed at the other end'}")
        self._deadline.cancel()
        self.parting = True
        self.over.set()
        self._room.set()
        if not self.standing.done():
            self.standing.set_exception(self.refused or Refused("broken", "it was closed"))
        self._owner.ended(self)

    # What is said

    async def send(self, kind: Kind, data: bytes) -> None:
        """Say something, waiting while there is no room. Raises `PeerUnreachable`; it may then be lost."""
        async with self._turn:
            await self._room.wait()
            self._check()
            self.say(kind, data)
            await self._room.wait()
            self._check()

    def say(self, kind: Kind, data: bytes = b"") -> None:
        """Say something small to the peer now, whether there is room or not."""
        if not self.parting:
            self._session.say(kind, data)
            self._flush()

    @property
    def has_room(self) -> bool:
        return self._room.is_set()

    def part(self, word: bytes) -> None:
        """Say nothing after this word; what the peer has said before is still heard."""
        if self.parting:
            return
        self.say(Kind.BYE, word)
        self.parting = True
        self._deadline = self._clock.call_at(self._clock.monotonic() + self._settings.farewell, self.abort)

    def refuse(self, reason: str, text: str) -> None:
        """End it, for this reason."""
        self.end(Refused(reason, text))  # type: ignore[arg-type]

    def end(self, refused: Refused) -> None:
        """End it as soon as what was said is sent, or after the farewell time."""
        if self.refused is not None or self.over.is_set():
            return
        self.refused = refused
        self.parting = True
        self._room.set()
        self._close()

    def abort(self) -> None:
        """End it at once. `ended` is called soon."""
        self.parting = True
        self._deadline.cancel()
        if self._transport is not None:
            self._transport.abort()

    def pulse(self, now: float, forgiven: float) -> None:
        """Find out whether the peer is silent, and show that this side is not.

        `forgiven` are the seconds in which this process did not run.
        """
        self._heard = min(now, self._heard + forgiven)
        if self._begun is not None:
            self._begun += forgiven
        if self.peer is None or self.parting:
            return
        if now - self._heard > self._settings.silence:
            self.refuse("silent", f"nothing came for {now - self._heard:.1f} s")
            self.abort()
        elif self._begun is not None and now - self._begun > self._settings.frame_timeout:
            self.refuse("deadline", f"a frame was not whole after {now - self._begun:.1f} s")
            self.abort()
        elif now - self._said >= self._settings.heartbeat and self.has_room:
            self.say(Kind.PING)

    def _take(self, kind: Kind, content: bytes) -> None:
        if kind is Kind.CONFIRM and self.peer is None:
            self.peer = self._session.peer
            assert self.peer is not None
            self._deadline.cancel()
            if not self.dials:
                self.attempt = self.peer.attempt
            if not self.standing.done():
                self.standing.set_result(self.peer)
            self._owner.established(self)
        elif kind in (Kind.FRAME, Kind.WORD):
            self._owner.heard(self, kind, content)
        elif kind is Kind.BYE:
            self._owner.heard(self, kind, content)
            self.part(b"")
            self._close()

    def _close(self) -> None:
        """Send what was said, and no longer than the farewell time, and close."""
        self._deadline.cancel()
        self._deadline = self._clock.call_at(self._clock.monotonic() + self._settings.farewell, self.abort)
        if self._transport is not None:
            self._transport.close()

    def _too_late(self) -> None:
        self.refuse("deadline", f"the handshake takes longer than {self._settings.handshake_timeout:g} s")
        self.abort()

    def _flush(self) -> None:
        data = self._session.outgoing()
        if data and self._transport is not None and not self._transport.is_closing():
            self._said = self._clock.monotonic()
            self._owner.passed(0, len(data))
            self._transport.write(data)

    def _check(self) -> None:
        if self.parting:
            peer = self.peer.name if self.peer else self.place
            raise PeerUnreachable(peer, str(self.refused or "the connection was closed"))


def _looked_at(standing: asyncio.Future[Greeting]) -> None:
    """Take note of a failure for which nobody may wait."""
    if not standing.cancelled():
        standing.exception()
