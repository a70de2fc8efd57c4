"""The ports on a broker keep the contracts of the ports, with a real server."""

from __future__ import annotations

from typing import Any

import pytest

from perdure_replication.testing import Guest, MembershipContract, NewPorts, NewTransport, TransportContract


class TestSealed(TransportContract):
    """With a secret."""

    @pytest.fixture
    def new_transport(self, ports: Any) -> NewTransport:
        make: NewTransport = ports.transport
        return make


class TestInsecure(TransportContract):
    """Without one."""

    @pytest.fixture
    def new_transport(self, ports: Any) -> NewTransport:
        return lambda: ports.transport(insecure=True)


class TestMembership(MembershipContract):
    """With beats each 50 ms."""

    @pytest.fixture
    def new_ports(self, ports: Any) -> NewPorts:
        return lambda: (ports.transport(), ports.membership())

    async def lose(self, guest: Guest) -> None:
        """Close without leaving."""
        assert guest.membership is not None
        await guest.membership.close()
        await guest.transport.close()
