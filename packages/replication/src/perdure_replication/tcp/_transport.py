"""The transport over TCP: one secured connection for each pair of nodes, that either of them keeps up.

Its parts: `Listener`, where it is called, and `Dialers`, whom it calls; `Connections`, all that are open; `Links`, of
these the one that counts for each peer; `Identity`, how it presents itself; `Pulse`, its time; `Complaints`.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from perdure import Clock, Keyring, SystemClock
from perdure.security import EncryptedKey
from perdure_replication._frames import MAX_FRAME_BYTES
from perdure_replication._member import Member
from perdure_replication._transport import Receive, Transport
from perdure_replication.errors import BadFrame, InvalidTransport, PeerUnreachable
from perdure_replication.tcp._address import Address, address_of
from perdure_replication.tcp._complaints import Complaints
from perdure_replication.tcp._connection import Connection
from perdure_replication.tcp._connections import Connections
from perdure_replication.tcp._dialers import Dialers
from perdure_replication.tcp._greeting import Greeting
from perdure_replication.tcp._identity import Identity
from perdure_replication.tcp._links import Links, Watcher
from perdure_replication.tcp._listener import Listener
from perdure_replication.tcp._metrics import TcpMetrics
from perdure_replication.tcp._pulse import Pulse
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._security import security_of
from perdure_replication.tcp._session import Kind
from perdure_replication.tcp._settings import TcpSettings
from perdure_replication.tcp._tls import Certificates

_SHORT = 1024


class TcpTransport(Transport):
    """Carries frames over TCP. See docs/replication-network.md for what is protected, and how."""

    def __init__(
        self,
        address: str,
        *,
        secret: EncryptedKey | Keyring | None = None,
        certificates: Certificates | None = None,
        insecure: bool | Literal["anywhere"] = False,
        cluster: str = "perdure",
        schema: str = "",
        advertise: str = "",
        max_frame_bytes: int = MAX_FRAME_BYTES,
        settings: TcpSettings | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        """Listen at an address, `HOST:PORT` or `tcp://HOST:PORT`, when started; port 0 is any that is free.

        One of three says how connections are secured: a `secret` that all nodes have, `certificates`, or
        `insecure=True`, not at all, on this machine alone; `"anywhere"` allows others. `advertise` is the address
        under which others reach this node, where that is not the one at which it listens. Nodes of another `cluster`
        are refused, and of another `schema`, where both name one. `clock` and `seed` are for tests.

        Raises `InvalidTransport`.
        """
        self.max_frame_bytes = max_frame_bytes
        place, settings, clock = address_of(address), settings or TcpSettings(), clock or SystemClock()
        security = security_of(place, secret, certificates, insecure)
        linked: dict[str, Connection] = {}
        self._clock = clock
        self._metrics = TcpMetrics()
        self._identity = Identity(place, cluster, schema)
        self._listener = Listener(place, address_of(advertise) if advertise else None)
        self._complaints = Complaints(self._identity, self._metrics, clock)
        self._dialers = Dialers(self._call, linked, self._identity, self._complaints, settings, clock, Random(seed))
        self._links = Links(linked, self._dialers, self._identity, self._complaints, self._metrics, settings.links)
        self._connections = Connections(
            self._links, self._identity, security, self._complaints, self._metrics, settings, clock, max_frame_bytes
        )
        self._pulse = Pulse(clock, settings.heartbeat, self._beat)
        self._closed = False

    # The port

    async def start(self, local: Member, receive: Receive) -> str:
        """Carry frames from now on. Returns the address as `HOST:PORT`. Raises `CannotListen`."""
        if self._closed:
            raise InvalidTransport(str(self._listener.place), "it is closed: make a new one")
        address = await self._listener.open(self._connections.accept)
        self._identity.begin(local, address)
        self._links.receive = receive
        await self._listener.serve()
        self._pulse.begin()
        return address

    async def send(self, peer: str, frame: bytes) -> None:
        """Hand a frame to the link to a peer. Raises `PeerUnreachable`, and `BadFrame` for one that is too large."""
        if len(frame) > self.max_frame_bytes:
            raise BadFrame(f"it has {len(frame):,} bytes, over {self.max_frame_bytes:,}")
        link = self._links.find(peer) or await self._link(peer)
        await link.send(Kind.FRAME, frame)
        self._metrics.frames_sent += 1

    async def _link(self, peer: str) -> Connection:
        """Return the link to a peer, when the attempt that is under way has made one."""
        reason = "no address of it is known" if not self._closed else "this transport is closed"
        for dialer in self._dialers.of(peer):
            await dialer.tried()
            link = self._links.find(peer)
            if link is not None:
                return link
            reason = dialer.reason
        raise PeerUnreachable(peer, reason)

    def peer_up(self, member: Member) -> None:
        """Keep up a link to this member. One whose address is none can but call this node."""
        if self._closed or not member.address or member.name == self._identity.name:
            return
        try:
            address = address_of(member.address)
        except InvalidTransport as error:
            refused = Refused("garbage", f"{member.name[:80]!r} cannot be called: {error}")
            self._complaints.take(refused, "its address")
        else:
            self._dialers.call(member.name, address)

    def peer_down(self, name: str) -> None:
        """Call this member no more. A link that stands is left to it."""
        self._dialers.let_be(name)

    async def close(self) -> None:
        """Say farewell on all links, for a moment, and let go of them."""
        self._closed = True
        self._links.close()
        self._listener.close()
        self._pulse.end()
        await self._dialers.close()
        await self._connections.close()

    async def _call(self, address: Address, expected: str) -> Greeting:
        return await self._connections.call(address, expected)

    def _beat(self, now: float, forgiven: float) -> None:
        self._metrics.stalls += forgiven > 0
        self._connections.pulse(now, forgiven)
        self._links.watcher.pulse(now, forgiven)

    # Beside the port

    def metrics(self) -> TcpMetrics:
        """Return what was counted since the transport began."""
        self._metrics.links = len(self._links.peers)
        return self._metrics.copy()

    @property
    def address(self) -> str:
        """Where others reach this node, once it is started."""
        return self._identity.address

    @property
    def now(self) -> float:
        """The time of the transport's clock, in seconds from anywhere."""
        return self._clock.monotonic()

    @property
    def links(self) -> tuple[str, ...]:
        """The peers that are connected."""
        return self._links.peers

    def watch(self, watcher: Watcher) -> None:
        """Tell a membership what becomes of links. There is one."""
        self._links.watcher = watcher

    def seek(self, address: str) -> None:
        """Keep up a link to whoever is at an address."""
        if not self._closed:
            self._dialers.seek(address_of(address))

    def unseek(self) -> None:
        """Call those no more whom `seek` has named."""
        self._dialers.unseek()

    def tell(self, peer: str, word: bytes) -> None:
        """Send a word of the membership to a peer, if there is a link; a long word only if that has room."""
        link = self._links.find(peer)
        if link is not None and (len(word) <= _SHORT or (link.has_room and len(word) <= self.max_frame_bytes)):
            link.say(Kind.WORD, word)

    def renew(self, incarnation: int) -> None:
        """Present this node with another incarnation from now on."""
        self._identity.incarnation = incarnation
