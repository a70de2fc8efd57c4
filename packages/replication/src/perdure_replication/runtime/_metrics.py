"""What a runtime counts."""

from __future__ import annotations

import msgspec


class RuntimeMetrics(msgspec.Struct):
    """Messages that were not handled, by the reason, since the runtime was opened."""

    unknown: int = 0
    """Came from another node for an actor that is not here."""
    full: int = 0
    """Came from another node, a broadcast or a timer, and found no room."""
    unreadable: int = 0
    """Came from another node and are of no type that is known here, or rubbish."""
    unsent: int = 0
    """Were broadcast to a node that cannot be reached, or for which too many wait."""
    late: int = 0
    """Answers for which nobody waits any more."""
