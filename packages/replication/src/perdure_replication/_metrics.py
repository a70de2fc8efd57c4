"""What a node counts, and how it is."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

HealthStatus: TypeAlias = Literal["healthy", "degraded", "unhealthy"]


class Metrics(msgspec.Struct):
    """Counts since the node began."""

    total_mutations: int = 0
    mutations_failed: int = 0
    snapshots_sent: int = 0
    snapshots_received: int = 0
    """Those that were taken over."""
    deltas_sent: int = 0
    """Messages; one carries a range."""
    deltas_received: int = 0
    """Messages that were applied."""
    deltas_suppressed: int = 0
    """Mutations that were held back by their urgency."""
    deltas_immediate: int = 0
    """Mutations that were pushed at once because their urgency said so."""
    stale_deltas_discarded: int = 0
    stale_snapshots_discarded: int = 0
    age_gaps_detected: int = 0
    sync_failures: int = 0
    """What came and could not be used, of every kind, and pulls that were given up."""
    pulls_sent: int = 0
    pulls_answered: int = 0
    unchanged_received: int = 0
    digests_sent: int = 0
    digests_received: int = 0
    feeds_sent: int = 0
    feeds_received: int = 0
    refutations: int = 0
    """Greater incarnations that were taken because a peer held more of an earlier life."""
    divergences: int = 0
    """Views that differed from a snapshot of their own generation, and were replaced by it."""
    refused: dict[str, int] = {}
    """Frames that were dropped, by reason: damaged, forged, foreign, stranger, departed, outdated, unknown_state."""
    limited: dict[str, int] = {}
    """How often a limit was met, by its name."""

    def copy(self) -> Metrics:
        """Return the counts as they are now."""
        return msgspec.structs.replace(self, refused=dict(self.refused), limited=dict(self.limited))


class PeerStatus(msgspec.Struct, frozen=True):
    """What is known of one node's part of a state."""

    node: str
    reachable: bool
    local_age: int | None
    """Of the view that is held."""
    remote_age: int | None
    """Of what the owner is known to have."""
    gap_count: int
    consecutive_failures: int
    last_error: str
    last_sync_time: float | None
    """When a message was last taken over, in seconds of the own monotonic clock."""
    last_attempt_time: float | None
    """When it was last pulled, likewise."""
    last_sync_latency: float | None
    """Seconds from the last answered pull to its answer."""


class Health(msgspec.Struct, frozen=True):
    """How a state stands among the members that are to have it."""

    status: HealthStatus
    """`healthy`: every view is fresh and no peer fails. `degraded`: more than half are so. `unhealthy`: the rest."""
    members: int
    """The other nodes that are expected to have the state."""
    stale: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    incompatible: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    """Those whose last message could not be used, or whose last pull was given up."""
