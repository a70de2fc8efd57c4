"""The ports over TCP keep the contracts of the ports, with real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.security import EncryptedKey
from perdure_replication.tcp import TcpMembership, TcpTransport
from perdure_replication.testing import MembershipContract, NewPorts, NewTransport, TransportContract

from .authorities import Authority
from .wires import SOON, free_port


class TestSharedSecret(TransportContract):
    """With a secret that all have."""

    @pytest.fixture
    def new_transport(self) -> NewTransport:
        secret = EncryptedKey.generate()
        return lambda: TcpTransport("127.0.0.1:0", settings=SOON, secret=secret)


class TestCertificates(TransportContract):
    """With certificates on both sides."""

    @pytest.fixture
    def new_transport(self, tmp_path: Path) -> NewTransport:
        certificates = Authority(tmp_path).certificates("a", "b", "c", "d")
        return lambda: TcpTransport("127.0.0.1:0", settings=SOON, certificates=certificates)


class TestInsecure(TransportContract):
    """Without security."""

    @pytest.fixture
    def new_transport(self) -> NewTransport:
        return lambda: TcpTransport("127.0.0.1:0", settings=SOON, insecure=True)


class TestMembership(MembershipContract):
    """With the first node as the seed of all."""

    @pytest.fixture
    def new_ports(self) -> NewPorts:
        seed, made, secret = f"127.0.0.1:{free_port()}", list[object](), EncryptedKey.generate()

        def make() -> tuple[TcpTransport, TcpMembership]:
            transport = TcpTransport("127.0.0.1:0" if made else seed, settings=SOON, secret=secret)
            made.append(transport)
            return transport, TcpMembership(transport, [seed], settings=SOON)

        return make
