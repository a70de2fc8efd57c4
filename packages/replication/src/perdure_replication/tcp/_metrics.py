"""What a TCP transport counts."""

from __future__ import annotations

import msgspec


class TcpMetrics(msgspec.Struct):
    """Counts since the transport began."""

    links: int = 0
    """Peers that are connected now."""
    connected: int = 0
    """Connections that were established, from either side."""
    lost: int = 0
    """Of those, the ones that ended without a farewell."""
    frames_sent: int = 0
    frames_received: int = 0
    bytes_sent: int = 0
    """With all that is needed around the frames."""
    bytes_received: int = 0
    stalls: int = 0
    """How often this process did not run for longer than a heartbeat; nobody is blamed for what was not heard then."""
    refused: dict[str, int] = {}
    """Connections that were closed or not made, by reason."""

    def copy(self) -> TcpMetrics:
        """Return the counts as they are now."""
        return msgspec.structs.replace(self, refused=dict(self.refused))
