"""Sockets of this machine, for tests."""

from __future__ import annotations

import socket

from perdure_replication.tcp import TcpSettings

SOON = TcpSettings(heartbeat=0.1, silence=1.0, suspicion=0.2, backoff=0.02, backoff_most=0.2, courtesy=0.02)
"""Settings with which things are found out in less than a second or so."""


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
