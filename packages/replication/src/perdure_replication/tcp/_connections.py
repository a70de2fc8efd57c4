"""All connections of a node, those of strangers among them.

Each holds at most `send_buffer` bytes and one frame to be sent, and one frame that is being received, which no peer can
begin that has not proved itself. Of those who have not, there are at most `handshakes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from perdure import Clock
from perdure_replication.tcp._address import Address
from perdure_replication.tcp._complaints import Complaints
from perdure_replication.tcp._connection import Connection
from perdure_replication.tcp._farewell import farewell
from perdure_replication.tcp._greeting import Greeting
from perdure_replication.tcp._identity import Identity
from perdure_replication.tcp._links import Links
from perdure_replication.tcp._metrics import TcpMetrics
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._security import Security
from perdure_replication.tcp._session import Kind, Session
from perdure_replication.tcp._settings import TcpSettings


class Connections:
    """Makes them, counts them, and ends them. What is proved goes to the links."""

    def __init__(
        self,
        links: Links,
        identity: Identity,
        security: Security,
        complaints: Complaints,
        metrics: TcpMetrics,
        settings: TcpSettings,
        clock: Clock,
        max_frame_bytes: int,
    ) -> None:
        self._links = links
        self._identity = identity
        self._security = security
        self._complaints = complaints
        self._metrics = metrics
        self._settings = settings
        self._clock = clock
        self._max_frame_bytes = max_frame_bytes
        self._connections: dict[Connection, None] = {}
        self._closed = False

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections))

    def __len__(self) -> int:
        return len(self._connections)

    def accept(self) -> Connection:
        """Return a connection for somebody who has called."""
        unproved = [each for each in self if each.peer is None and not each.dials]
        if len(unproved) >= self._settings.handshakes:
            unproved[0].refuse("crowded", f"{len(unproved)} others knock, and it was the first of them")
            unproved[0].abort()
        connection = self._made(dials=False)
        if self._closed:
            connection.abort()
        return connection

    async def call(self, address: Address, expected: str) -> Greeting:
        """Return who answers at an address, when the connection stands. Raises `Refused`."""
        connection = self._made(dials=True, expected=expected)
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await asyncio.get_running_loop().create_connection(lambda: connection, *address)
            return await connection.standing
        except (OSError, TimeoutError, UnicodeError) as error:
            raise Refused("unreachable", _reason(error)) from error
        finally:
            if connection.peer is None:
                self._connections.pop(connection, None)
                connection.abort()

    def pulse(self, now: float, forgiven: float) -> None:
        """Let each connection see whether its peer lives."""
        for connection in self:
            connection.pulse(now, forgiven)

    async def close(self) -> None:
        """Say farewell on all of them, for a moment, and end them. May be called again."""
        self._closed = True
        for connection in self:
            if connection.peer is None:
                connection.abort()
            else:
                connection.part(farewell("closing"))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.farewell):
                await self._over()
        for connection in self:
            connection.abort()
        await self._over()

    async def _over(self) -> None:
        for connection in self:
            await connection.over.wait()

    def _made(self, *, dials: bool, expected: str = "") -> Connection:
        greeting, most = self._identity.greeting(dials=dials), self._max_frame_bytes
        session = Session(greeting, self._security, dials=dials, max_frame_bytes=most, expected=expected)
        anywhere = self._security.anywhere
        connection = Connection(self, session, self._settings, self._clock, dials=dials, anywhere=anywhere)
        connection.attempt = greeting.attempt
        self._connections[connection] = None
        return connection

    # What connections tell

    def established(self, connection: Connection) -> None:
        self._links.established(connection)

    def heard(self, connection: Connection, kind: Kind, data: bytes) -> None:
        self._links.heard(connection, kind, data)

    def ended(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        refused = connection.refused
        if refused is not None and connection.peer is not None:
            self._metrics.lost += 1
        if refused is not None and (connection.peer is not None or not connection.dials):
            self._complaints.take(refused, connection.place)  # whoever dials says it of an attempt
        self._links.ended(connection)

    def passed(self, received: int, sent: int) -> None:
        self._metrics.bytes_received += received
        self._metrics.bytes_sent += sent


def _reason(error: OSError | UnicodeError) -> str:
    return f"it cannot be reached: {getattr(error, 'strerror', None) or str(error) or 'it does not answer'}"
