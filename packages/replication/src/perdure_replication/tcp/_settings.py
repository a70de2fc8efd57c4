"""How connections behave in time, and what bounds them."""

from __future__ import annotations

import msgspec


class TcpSettings(msgspec.Struct, frozen=True):
    """Times are in seconds."""

    heartbeat: float = 1.0
    """After so long without a word something is sent, so that the peer knows that this node lives."""
    silence: float = 5.0
    """A peer from which nothing came for so long is not connected any more."""
    connect_timeout: float = 5.0
    handshake_timeout: float = 5.0
    """From the first byte until both ends are proved."""
    frame_timeout: float = 30.0
    """From the first byte of a frame to its last."""
    backoff: float = 0.1
    """Before a failed connection is tried again; each failure doubles it, and a random part is left out."""
    backoff_most: float = 10.0
    courtesy: float = 0.1
    """How long the greater of two names waits for the other to call first."""
    farewell: float = 1.0
    """How long closing waits for what is under way."""
    send_buffer: int = 256 * 1024
    """Bytes that wait for the network on each connection, before `send` waits; one frame may be over it."""
    handshakes: int = 64
    """Connections that came in and are not proved; the oldest makes room for one more."""
    links: int = 4096
    """Peers that are connected at once."""
    suspicion: float = 3.0
    """How long a member may be without a connection before it is reported as unreachable."""
    forget_after: float = 3600.0
    """How long it may be unreachable before it is reported as left. It may come back all the same."""
    introduction: float = 5.0
    """Between two introductions of the members to each other."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"TcpSettings.{name} is greater than 0, not {getattr(self, name)}")
        if self.silence <= self.heartbeat:
            raise ValueError("TcpSettings.silence is greater than heartbeat: else every peer falls silent")
