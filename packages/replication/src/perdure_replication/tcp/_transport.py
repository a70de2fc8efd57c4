"""The transport over TCP: one secured connection for each pair of nodes, that either of them keeps up.

*Which connection.* Either node may call the other, so two connections may cross. Both ends choose alike, by what both
know: of two connections of the same two processes the one that the smaller name dialled counts, and of one dialler's
the later. The other one is parted from: nothing more is said on it, and what was said is heard to the end. Of two
processes with one name the one with the greater incarnation counts, and the other is told.

*What it costs.* Each connection holds at most `send_buffer` bytes and one frame to be sent, and one frame that is being
received, which no peer can begin that has not proved itself.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Literal, Protocol

import msgspec

from perdure import Clock, Keyring, SystemClock
from perdure.security import EncryptedKey
from perdure_replication._frames import MAX_FRAME_BYTES
from perdure_replication._generation import Number
from perdure_replication._member import Member
from perdure_replication._messages import MAX_NAME
from perdure_replication._transport import Receive, Transport
from perdure_replication.errors import BadFrame, CannotListen, InvalidTransport, PeerUnreachable
from perdure_replication.tcp._address import Address, address_of, is_loopback
from perdure_replication.tcp._connection import Connection
from perdure_replication.tcp._dialer import Dialer
from perdure_replication.tcp._greeting import Greeting
from perdure_replication.tcp._metrics import TcpMetrics
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._security import Plaintext, Security, SharedSecret, Tls
from perdure_replication.tcp._session import Kind, Session
from perdure_replication.tcp._settings import TcpSettings
from perdure_replication.tcp._tls import Certificates

_log = logging.getLogger("perdure.replication.tcp")
_SHORT = 1024
_COMPLAINTS = 1.0
"""Seconds between two warnings for one reason: who knocks all the time fills no disk."""


class Farewell(msgspec.Struct, frozen=True, array_like=True):
    """The last word on a connection."""

    why: Literal["closing", "linked", "superseded", "taken"]
    incarnation: Number = 0
    """Of the process that has the name now."""


class Watcher(Protocol):
    """Whoever is told what becomes of links. Each of its methods returns at once."""

    def linked(self, name: str) -> None: ...

    def unlinked(self, name: str) -> None: ...

    def heard(self, name: str, word: bytes) -> None: ...

    def superseded(self, incarnation: int) -> None: ...

    def pulse(self, now: float, forgiven: float) -> None: ...


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
        self._place = address_of(address)
        self._security = _security(address, secret, certificates, insecure)
        self._advertised = address_of(advertise) if advertise else None
        self._check(cluster, schema)
        self._cluster = cluster
        self._schema = schema
        self._settings = settings or TcpSettings()
        self._clock: Clock = clock or SystemClock()
        self._random = Random(seed)
        self._metrics = TcpMetrics()
        self._local = Member("", 0)
        self._instance = b""
        self._receive: Receive = _nobody
        self._watcher: Watcher | None = None
        self._server: asyncio.Server | None = None
        self._address = ""
        self._attempts = 0
        self._connections: dict[Connection, None] = {}
        self._links: dict[str, Connection] = {}
        self._dialers: dict[Address, Dialer] = {}
        self._stopping: set[Dialer] = set()
        self._complained: dict[str, float] = {}
        self._timer: object = None
        self._due = 0.0
        self._closed = False

    def _check(self, cluster: str, schema: str) -> None:
        if not 1 <= len(cluster) <= MAX_NAME or len(schema) > MAX_NAME:
            raise InvalidTransport(
                str(self._place), f"the name of a cluster has 1 to {MAX_NAME} characters, a schema at most as many"
            )
        if self._place.is_wildcard and self._advertised is None:
            raise InvalidTransport(
                str(self._place), "these are all addresses of this machine: say in advertise= which one others use"
            )
        if not self._security.anywhere and not is_loopback(self._place.host):
            raise InvalidTransport(
                str(self._place),
                "without security a node listens on loopback alone: give it a secret or certificates; where nobody "
                'else can reach the network, say insecure="anywhere"',
            )

    # The port

    async def start(self, local: Member, receive: Receive) -> str:
        """Carry frames from now on. Returns the address as `HOST:PORT`. Raises `CannotListen`."""
        if self._server is not None or self._closed:
            raise InvalidTransport(str(self._place), "a transport is started once: make a new one")
        self._local, self._receive = local, receive
        self._instance = secrets.token_bytes(16)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, *self._place, start_serving=False)
        except OSError as error:
            raise CannotListen(str(self._place), error.strerror or str(error)) from error
        port = self._server.sockets[0].getsockname()[1]
        advertised = self._advertised or self._place
        self._address = str(advertised._replace(port=advertised.port or port))
        await self._server.start_serving()
        self._beat_later()
        return self._address

    async def send(self, peer: str, frame: bytes) -> None:
        """Hand a frame to the link to a peer. Raises `PeerUnreachable`, and `BadFrame` for one that is too large."""
        if len(frame) > self.max_frame_bytes:
            raise BadFrame(f"it has {len(frame):,} bytes, over {self.max_frame_bytes:,}")
        link = self._links.get(peer) or await self._link(peer)
        await link.send(Kind.FRAME, frame)
        self._metrics.frames_sent += 1

    def peer_up(self, member: Member) -> None:
        """Keep up a link to this member. One whose address is none can but call this node."""
        if self._closed or not member.address or member.name == self._local.name:
            return
        try:
            address = address_of(member.address)
        except InvalidTransport as error:
            self._complain(Refused("garbage", f"{member.name[:80]!r} cannot be called: {error}"), "its address")
            return
        for dialer in self._calling(member.name):
            if dialer.address != address and not dialer.seed:
                self._drop(dialer)
        dialer = self._dialer(address, name=member.name)
        dialer.hurry()
        self._wake(dialer)

    def peer_down(self, name: str) -> None:
        """Call this member no more. A link that stands is left to it."""
        for dialer in self._calling(name):
            if dialer.seed:
                dialer.name = ""
                self._wake(dialer)
            else:
                self._drop(dialer)

    async def close(self) -> None:
        """Say farewell on all links, for a moment, and let go of them."""
        self._closed = True
        self._receive = _nobody
        if self._server is not None:
            self._server.close()
        if self._timer is not None:
            self._timer.cancel()  # type: ignore[attr-defined]
        for dialer in list(self._dialers.values()):
            self._drop(dialer)
        for dialer in list(self._stopping):
            await dialer.close()
        for connection in list(self._connections):
            if connection.peer is None:
                connection.abort()
            else:
                connection.part(_farewell("closing"))
        await self._end()

    async def _end(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.farewell):
                for connection in list(self._connections):
                    await connection.over.wait()
        for connection in list(self._connections):
            connection.abort()
        for connection in list(self._connections):
            await connection.over.wait()

    # Beside the port

    def metrics(self) -> TcpMetrics:
        """Return what was counted since the transport began."""
        self._metrics.links = len(self._links)
        return self._metrics.copy()

    @property
    def address(self) -> str:
        """Where others reach this node, once it is started."""
        return self._address

    @property
    def now(self) -> float:
        """The time of the transport's clock, in seconds from anywhere."""
        return self._clock.monotonic()

    @property
    def links(self) -> tuple[str, ...]:
        """The peers that are connected."""
        return tuple(self._links)

    def watch(self, watcher: Watcher) -> None:
        """Tell a membership what becomes of links. There is one."""
        self._watcher = watcher

    def seek(self, address: str) -> None:
        """Keep up a link to whoever is at an address."""
        if not self._closed:
            dialer = self._dialer(address_of(address), seed=True)
            dialer.seed = True
            self._wake(dialer)

    def unseek(self) -> None:
        """Call those no more whom `seek` has named."""
        for dialer in [dialer for dialer in self._dialers.values() if dialer.seed]:
            self._drop(dialer)

    def tell(self, peer: str, word: bytes) -> None:
        """Send a word of the membership to a peer, if there is a link; a long word only if that has room."""
        link = self._links.get(peer)
        if link is not None and (len(word) <= _SHORT or (link.has_room and len(word) <= self.max_frame_bytes)):
            link.say(Kind.WORD, word)

    def renew(self, incarnation: int) -> None:
        """Present this node with another incarnation from now on."""
        self._local = msgspec.structs.replace(self._local, incarnation=incarnation)

    # Links

    async def _link(self, peer: str) -> Connection:
        """Return the link to a peer, when the attempt that is under way has made one."""
        reason = "no address of it is known" if not self._closed else "this transport is closed"
        for dialer in self._calling(peer):
            await dialer.tried()
            reason = dialer.reason
            if peer in self._links:
                break
        try:
            return self._links[peer]
        except KeyError:
            raise PeerUnreachable(peer, reason) from None

    def established(self, connection: Connection) -> None:
        peer = connection.peer
        assert peer is not None
        current = self._links.get(peer.name)
        if self._closed:
            connection.part(_farewell("closing"))
        elif current is None or current.peer is None:
            self._take(connection, peer)
        elif current.peer.instance == peer.instance:
            self._choose(current, connection, peer)
        elif peer.incarnation > current.peer.incarnation:
            current.welcome = False
            current.part(_farewell("superseded", peer.incarnation))
            self._take(connection, peer)
        else:
            text = f"another process has the name {peer.shown}, of incarnation {current.peer.incarnation}"
            self._complain(Refused("taken", text), connection.place)
            connection.part(_farewell("taken", current.peer.incarnation))

    def _take(self, connection: Connection, peer: Greeting) -> None:
        if peer.name not in self._links and len(self._links) >= self._settings.links:
            connection.refuse("crowded", f"{len(self._links):,} peers are connected")
            return
        is_new = peer.name not in self._links
        connection.welcome = True
        self._links[peer.name] = connection
        self._metrics.connected += 1
        for dialer in self._calling(peer.name):
            dialer.rest()
        if is_new:
            _log.info("%s: linked with %s at %s", self._local.name, peer.shown, connection.place)
        if self._watcher is not None:
            self._watcher.linked(peer.name)

    def _choose(self, current: Connection, new: Connection, peer: Greeting) -> None:
        """Keep one of two connections to one process."""
        if self._rank(new, peer.name) > self._rank(current, peer.name):
            self._take(new, peer)
            current.part(_farewell("linked"))
        else:
            new.welcome = True
            new.part(_farewell("linked"))
            current.say(Kind.PING)  # should the peer be right that it is broken, this shows it

    def _rank(self, connection: Connection, peer: str) -> tuple[bool, int]:
        by_smaller = connection.dials == (self._local.name < peer)
        return by_smaller, connection.attempt

    def heard(self, connection: Connection, kind: Kind, data: bytes) -> None:
        peer = connection.peer
        assert peer is not None
        if kind is Kind.BYE:
            self._hear_farewell(connection, data)
        elif not connection.welcome:
            pass
        elif kind is Kind.FRAME:
            self._metrics.frames_received += 1
            self._receive(peer.name, data)
        elif self._watcher is not None:
            self._watcher.heard(peer.name, data)

    def _hear_farewell(self, connection: Connection, data: bytes) -> None:
        farewell = _read_farewell(data)
        self._unlink(connection)
        if farewell is None or not connection.welcome or farewell.incarnation <= self._local.incarnation:
            return
        if farewell.why == "superseded":
            text = "%s: %s says that a later process has this name, of incarnation %d"
            _log.error(text, self._local.name, connection.place, farewell.incarnation)
            if self._watcher is not None:
                self._watcher.superseded(farewell.incarnation)

    def ended(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        refused = connection.refused
        if refused is not None and connection.peer is not None:
            self._metrics.lost += 1
        if refused is not None and (connection.peer is not None or not connection.dials):
            self._complain(refused, connection.place)  # whoever dials says it of an attempt
        self._unlink(connection)

    def _unlink(self, connection: Connection) -> None:
        name = connection.peer.name if connection.peer is not None else ""
        if self._links.get(name) is not connection:
            return
        del self._links[name]
        _log.info("%s: no link with %r any more", self._local.name, name)
        for dialer in self._calling(name):
            if connection.refused is not None:
                dialer.reason = str(connection.refused)
            self._wake(dialer)
        if self._watcher is not None:
            self._watcher.unlinked(name)

    def passed(self, received: int, sent: int) -> None:
        self._metrics.bytes_received += received
        self._metrics.bytes_sent += sent

    # Calling and being called

    def _accept(self) -> Connection:
        unproved = [each for each in self._connections if each.peer is None and not each.dials]
        if len(unproved) >= self._settings.handshakes:
            unproved[0].refuse("crowded", f"{len(unproved)} others knock, and it was the first of them")
            unproved[0].abort()
        connection = self._connection(dials=False)
        if self._closed:
            connection.abort()
        return connection

    async def _dial(self, dialer: Dialer) -> None:
        try:
            dialer.name = (await self._called(dialer)).name
            dialer.reason = "there is no link now"
            self._wake(dialer)
        except Refused as refused:
            dialer.reason = str(refused)
            self._complain(refused, str(dialer.address))

    async def _called(self, dialer: Dialer) -> Greeting:
        """Return who answers at an address, when the connection stands. Raises `Refused`."""
        connection = self._connection(dials=True, expected="" if dialer.seed else dialer.name)
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await asyncio.get_running_loop().create_connection(lambda: connection, *dialer.address)
            return await connection.standing
        except (OSError, TimeoutError, UnicodeError) as error:
            raise Refused("unreachable", _reason(error)) from error
        finally:
            if connection.peer is None:
                self._connections.pop(connection, None)
                connection.abort()

    def _connection(self, *, dials: bool, expected: str = "") -> Connection:
        if dials:
            self._attempts += 1
        greeting = Greeting(
            self._cluster,
            self._local.name,
            self._local.incarnation,
            self._instance,
            self._attempts if dials else 0,
            self._address,
            self._schema,
        )
        session = Session(
            greeting, self._security, dials=dials, max_frame_bytes=self.max_frame_bytes, expected=expected
        )
        connection = Connection(
            self, session, self._settings, self._clock, dials=dials, anywhere=self._security.anywhere
        )
        connection.attempt = greeting.attempt
        self._connections[connection] = None
        return connection

    def _dialer(self, address: Address, *, name: str = "", seed: bool = False) -> Dialer:
        dialer = self._dialers.get(address)
        if dialer is None:
            dialer = Dialer(address, self._dial, self._settings, self._clock, self._random, name=name, seed=seed)
            self._dialers[address] = dialer
        elif name:
            dialer.name = name
        return dialer

    def _wake(self, dialer: Dialer) -> None:
        if dialer.name in self._links:
            dialer.rest()
        elif not self._closed:
            is_courteous = dialer.name and self._local.name > dialer.name
            dialer.wake(self._settings.courtesy if is_courteous else 0.0)

    def _calling(self, name: str) -> list[Dialer]:
        return [dialer for dialer in self._dialers.values() if dialer.name == name]

    def _drop(self, dialer: Dialer) -> None:
        self._dialers.pop(dialer.address, None)
        dialer.stop()
        self._stopping = {each for each in self._stopping if not each.is_over} | {dialer}

    # Time

    def _beat_later(self) -> None:
        self._due = self._clock.monotonic() + self._settings.heartbeat / 2
        self._timer = self._clock.call_at(self._due, self._beat)

    def _beat(self) -> None:
        """Let each connection see whether its peer lives.

        Time in which this process stood still does not count; but each beat counts for something, so that a process
        that is always late finds out as well.
        """
        now = self._clock.monotonic()
        forgiven = max(0.0, now - self._due - self._settings.heartbeat)
        self._metrics.stalls += forgiven > 0
        for connection in list(self._connections):
            connection.pulse(now, forgiven)
        if self._watcher is not None:
            self._watcher.pulse(now, forgiven)
        self._beat_later()

    def _complain(self, refused: Refused, place: str) -> None:
        """Count why a connection ended, and log it, not too often."""
        counts = self._metrics.refused
        counts[refused.reason] = counts.get(refused.reason, 0) + 1
        now = self._clock.monotonic()
        if now - self._complained.get(refused.reason, -_COMPLAINTS) >= _COMPLAINTS:
            self._complained[refused.reason] = now
            level = logging.INFO if refused.reason in ("broken", "unreachable", "itself") else logging.WARNING
            _log.log(level, "%s: %s: %s: %s", self._local.name, place, refused.reason, refused.text)


def _security(
    address: str,
    secret: EncryptedKey | Keyring | None,
    certificates: Certificates | None,
    insecure: bool | Literal["anywhere"],
) -> Security:
    if Counter([secret is not None, certificates is not None, bool(insecure)])[True] != 1:
        raise InvalidTransport(
            address,
            "say how connections are secured: one of secret=, certificates= and insecure=True, which is for tests",
        )
    if secret is not None:
        return SharedSecret(secret)
    return Tls(certificates) if certificates is not None else Plaintext(anywhere=insecure == "anywhere")


_encode_farewell = msgspec.msgpack.Encoder().encode
_decode_farewell = msgspec.msgpack.Decoder(Farewell).decode


def _farewell(why: Literal["closing", "linked", "superseded", "taken"], incarnation: int = 0) -> bytes:
    return _encode_farewell(Farewell(why, incarnation))


def _read_farewell(data: bytes) -> Farewell | None:
    try:
        return _decode_farewell(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # the answer to a farewell has no content


def _reason(error: OSError | UnicodeError) -> str:
    return f"it cannot be reached: {getattr(error, 'strerror', None) or str(error) or 'it does not answer'}"


def _nobody(peer: str, frame: bytes) -> None:
    """Take what comes when nobody listens any more, or yet."""
