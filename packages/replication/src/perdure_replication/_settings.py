"""How a node behaves in time, and what bounds it."""

from __future__ import annotations

import msgspec

from perdure_replication._messages import MAX_DELTAS


class Limits(msgspec.Struct, frozen=True):
    """What a node holds at most. What meets a limit is counted under its name in `Metrics.limited`."""

    members: int = 4096
    """Other nodes, departed ones aside."""
    departed: int = 1024
    """Nodes that are remembered as departed."""
    departed_seconds: float = 3600.0
    """How long they are."""
    view_bytes: int = 8 * 1024 * 1024
    """The size of an encoded view, and of what one delta message carries."""
    deltas: int = 128
    """Deltas of a shard that are kept for those who are behind, at most 256; older ones are served a snapshot."""
    ahead: int = 16
    """Deltas of a peer's shard that came before those that they build on."""
    waiting: int = 1000
    """Mutations of one state that wait for the store."""
    queries: int = 1000
    """Queries that wait for answers."""
    letters: int = 64
    """Letters of one line that wait for one peer."""
    letter_bytes: int = 1024 * 1024
    """The size of a letter."""
    incarnation_lead: int = 100 * 366 * 86_400_000
    """How much greater than its own incarnation a node takes one at the word of a peer."""

    def __post_init__(self) -> None:
        if not 1 <= self.deltas <= MAX_DELTAS:
            raise ValueError(f"Limits.deltas is 1 to {MAX_DELTAS}, not {self.deltas}")


class Settings(msgspec.Struct, frozen=True):
    """The times of a node, in seconds."""

    digest_interval: float = 5.0
    """Between two digests: what was lost is asked for after so long. Each costs a message to every member."""
    feed_interval: float = 1.0
    """For how long changes are gathered into one feed."""
    pull_timeout: float = 1.0
    """How long a pull waits for its answer, before it is repeated; each repetition waits twice as long, with jitter."""
    pull_attempts: int = 4
    """How often a pull is sent before it is given up until the next digest or query."""
    save_retry: float = 0.5
    """How long after a save of unknown outcome it is repeated."""
    obsolete_interval: float = 1.0
    """Between two words to a peer that it is behind itself, and between two greater incarnations of one's own."""
    retain_interval: float = 1.0
    """Between two snapshots that a transport is given to keep."""
    limits: Limits = Limits()


DEFAULTS = Settings()
