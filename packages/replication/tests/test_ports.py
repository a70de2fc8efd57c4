"""The ports in memory keep the contracts of the ports."""

from __future__ import annotations

import pytest

from perdure_replication import MemoryHub
from perdure_replication.testing import Guest, MembershipContract, NewPorts, NewTransport, TransportContract


class TestMemoryTransport(TransportContract):
    """That of a hub."""

    @pytest.fixture
    def new_transport(self) -> NewTransport:
        return MemoryHub().transport


class TestMemoryMembership(MembershipContract):
    """That of a hub, in which nobody is lost unless the hub says so."""

    @pytest.fixture
    def new_ports(self) -> NewPorts:
        self.hub = hub = MemoryHub()
        return lambda: (hub.transport(), hub.membership())

    async def lose(self, guest: Guest) -> None:
        self.hub.lose(guest.name)
        await guest.transport.close()
