"""What tests over sockets stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perdure.security import EncryptedKey
from perdure_replication.tcp import TcpTransport
from perdure_replication.testing import Guest

from .authorities import Authority
from .wires import PATIENCE, SOON, Start

SECURITY = ("secret", "certificates", "insecure")


@pytest.fixture
def secret() -> EncryptedKey:
    """Return the secret of a test's cluster."""
    return EncryptedKey.generate()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def start(secret: EncryptedKey) -> AsyncIterator[Start]:
    """Return what starts nodes that have a transport alone, by default with a secret, and close them at the end."""
    started: list[Guest] = []

    async def start(name: str, incarnation: int = 1, **options: Any) -> Guest:
        if not options.keys() & SECURITY:
            options["secret"] = secret
        transport = TcpTransport(**{"address": "127.0.0.1:0", "settings": SOON, "seed": 1} | options)
        guest = Guest(name, transport, None, PATIENCE)
        started.append(guest)
        await guest.start(incarnation)
        return guest

    yield start
    for guest in started:
        await guest.close()
