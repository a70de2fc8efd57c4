"""Whom a node calls: the members of which it knows an address, and the addresses that it was given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterator
from random import Random

from perdure import Clock
from perdure_replication.tcp._address import Address
from perdure_replication.tcp._complaints import Complaints
from perdure_replication.tcp._dialer import Dialer
from perdure_replication.tcp._greeting import Greeting
from perdure_replication.tcp._identity import Identity
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._settings import TcpSettings

Call = Callable[[Address, str], Awaitable[Greeting]]
"""Calls an address, where this name is expected, or anybody for none. Returns who answers; raises `Refused`."""


class Dialers:
    """One dialer for each address, which rests while whoever is there is linked."""

    def __init__(
        self,
        call: Call,
        linked: Container[str],
        identity: Identity,
        complaints: Complaints,
        settings: TcpSettings,
        clock: Clock,
        random: Random,
    ) -> None:
        self._call = call
        self._linked = linked
        self._identity = identity
        self._complaints = complaints
        self._settings = settings
        self._clock = clock
        self._random = random
        self._dialers: dict[Address, Dialer] = {}
        self._stopping: set[Dialer] = set()
        self._closed = False

    def __iter__(self) -> Iterator[Dialer]:
        return iter(list(self._dialers.values()))

    def of(self, name: str) -> list[Dialer]:
        """Return those that call a member."""
        return [dialer for dialer in self if dialer.name == name]

    def call(self, name: str, address: Address) -> None:
        """Call a member at this address alone, or at one that was sought, and soon."""
        for dialer in self.of(name):
            if dialer.address != address and not dialer.seed:
                self._drop(dialer)
        dialer = self._at(address)
        dialer.name = name
        dialer.hurry()
        self._wake(dialer)

    def let_be(self, name: str) -> None:
        """Call this member no more. Whoever is at an address that was sought is called all the same."""
        for dialer in self.of(name):
            if dialer.seed:
                dialer.name = ""
                self._wake(dialer)
            else:
                self._drop(dialer)

    def seek(self, address: Address) -> None:
        """Call whoever is at an address."""
        dialer = self._at(address)
        dialer.seed = True
        self._wake(dialer)

    def unseek(self) -> None:
        """Call those addresses no more."""
        for dialer in self:
            if dialer.seed:
                self._drop(dialer)

    def rest(self, name: str) -> None:
        """Call a member no more while it is linked."""
        for dialer in self.of(name):
            dialer.rest()

    def wake(self, name: str, reason: str = "") -> None:
        """Call a member again, with which there is no link any more, for this reason."""
        for dialer in self.of(name):
            dialer.reason = reason or dialer.reason
            self._wake(dialer)

    async def close(self) -> None:
        """Call nobody any more. May be called again."""
        self._closed = True
        for dialer in self:
            self._drop(dialer)
        for dialer in list(self._stopping):
            await dialer.close()

    def _at(self, address: Address) -> Dialer:
        dialer = self._dialers.get(address)
        if dialer is None:
            dialer = Dialer(address, self._dial, self._settings, self._clock, self._random)
            self._dialers[address] = dialer
        return dialer

    async def _dial(self, dialer: Dialer) -> None:
        try:
            greeting = await self._call(dialer.address, "" if dialer.seed else dialer.name)
        except Refused as refused:
            dialer.reason = str(refused)
            self._complaints.take(refused, str(dialer.address))
        else:
            dialer.name = greeting.name
            dialer.reason = "there is no link now"
            self._wake(dialer)

    def _wake(self, dialer: Dialer) -> None:
        if dialer.name in self._linked:
            dialer.rest()
        elif not self._closed:
            is_courteous = dialer.name and self._identity.name > dialer.name
            dialer.wake(self._settings.courtesy if is_courteous else 0.0)

    def _drop(self, dialer: Dialer) -> None:
        self._dialers.pop(dialer.address, None)
        dialer.stop()
        self._stopping = {each for each in self._stopping if not each.is_over} | {dialer}
