"""Nodes that are nothing but their ports, for the contracts of these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from perdure_replication._member import Member, MembershipEvent
from perdure_replication._membership import Membership
from perdure_replication._transport import Transport
from perdure_replication.errors import PeerUnreachable

_PROBE = b"probe of the contract "
_AGAIN = 0.1
"""Seconds until a probe that was not received is sent again."""


class Guest:
    """A node: its ports, and what they told it."""

    def __init__(self, name: str, transport: Transport, membership: Membership | None, patience: float) -> None:
        self.name = name
        self.transport = transport
        self.membership = membership
        self.member = Member(name, 0)
        self.events: list[MembershipEvent] = []
        self._frames: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._probes: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._reported = asyncio.Event()
        self._patience = patience

    def receive(self, peer: str, frame: bytes) -> None:
        queue = self._probes if frame.startswith(_PROBE) else self._frames
        queue.put_nowait((peer, frame))

    def report(self, event: MembershipEvent) -> None:
        self.events.append(event)
        self._reported.set()

    async def start(self, incarnation: int) -> None:
        """Start the transport."""
        local = Member(self.name, incarnation)
        self.member = Member(self.name, incarnation, await self.transport.start(local, self.receive))

    async def join(self) -> None:
        """Join the membership."""
        assert self.membership is not None
        await self.membership.join(self.member, self.report)

    async def next(self) -> tuple[str, bytes]:
        """Return the next frame and who sent it. Raises `TimeoutError` when none comes."""
        async with asyncio.timeout(self._patience):
            return await self._frames.get()

    async def frames(self, count: int) -> list[bytes]:
        """Return the next frames, whoever sent them."""
        return [(await self.next())[1] for _ in range(count)]

    async def sees(self, event: MembershipEvent) -> None:
        """Wait until something was reported. Raises `TimeoutError`, with what was, when it never is."""
        try:
            async with asyncio.timeout(self._patience):
                while event not in self.events:
                    self._reported.clear()
                    await self._reported.wait()
        except TimeoutError:
            raise TimeoutError(f"{event} was not reported to {self.name}; these were: {self.events}") from None

    async def reaches(self, other: Guest) -> None:
        """Wait until frames reach a peer. Raises `TimeoutError` when they never do."""
        async with asyncio.timeout(self._patience):
            while True:
                with suppress(PeerUnreachable, TimeoutError):
                    async with asyncio.timeout(_AGAIN):
                        await self.transport.send(other.name, _PROBE + self.name.encode())
                        while await other._probes.get() != (self.name, _PROBE + self.name.encode()):
                            pass
                        return
                await asyncio.sleep(_AGAIN / 10)

    async def close(self) -> None:
        if self.membership is not None:
            await self.membership.close()
        await self.transport.close()


class Party:
    """Some guests, who are closed at the end."""

    def __init__(self, patience: float) -> None:
        self.guests: list[Guest] = []
        self._patience = patience

    async def start(
        self, name: str, transport: Transport, membership: Membership | None = None, incarnation: int = 1
    ) -> Guest:
        """Start a node, and let it and the others know of each other, if no membership does."""
        guest = Guest(name, transport, membership, self._patience)
        self.guests.append(guest)
        await guest.start(incarnation)
        if membership is not None:
            await guest.join()
        else:
            await self._introduce(guest)
        return guest

    async def _introduce(self, guest: Guest) -> None:
        others = [other for other in self.guests if other.name != guest.name]
        for other in others:
            other.transport.peer_up(guest.member)
            guest.transport.peer_up(other.member)
        for other in others:
            await guest.reaches(other)
            await other.reaches(guest)

    async def leave(self, guest: Guest) -> None:
        """Close a node."""
        self.guests.remove(guest)
        await guest.close()


@asynccontextmanager
async def party(patience: float) -> AsyncIterator[Party]:
    """Give a party, and close whoever is still there."""
    given = Party(patience)
    try:
        yield given
    finally:
        for guest in given.guests:
            await guest.close()


NewTransport = Callable[[], Transport]
NewPorts = Callable[[], tuple[Transport, Membership]]
