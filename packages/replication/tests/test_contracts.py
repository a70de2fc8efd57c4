"""The ports in memory keep the contracts of ports."""

from __future__ import annotations

import pytest

from perdure_replication import MemoryHub
from perdure_replication.testing.contracts import (
    MakeMembership,
    MakeTransport,
    MembershipContract,
    TransportContract,
)


class TestMemoryTransport(TransportContract):
    @pytest.fixture
    def make(self) -> MakeTransport:
        return MemoryHub().transport


class TestMemoryMembership(MembershipContract):
    @pytest.fixture
    def make(self) -> MakeMembership:
        return MemoryHub().membership
