"""A replicated state in the hands of a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure_replication._generation import Generation
from perdure_replication._replica import Answer, Replica
from perdure_replication._strategy import SyncUrgency
from perdure_replication.runtime._bridge import Bridge


class HeldReplica:
    """A `Replica` for threads other than the event loop's: what it does, the calling thread waits for.

    All of it raises what `Replica` raises, and what `Bridge.wait` does.
    """

    def __init__(self, replica: Replica[Any, Any, Any], bridge: Bridge) -> None:
        self._replica = replica
        self._bridge = bridge
        self.name = replica.name

    @property
    def state(self) -> Any:
        """The own part, as the last mutation left it."""
        return self._bridge.call(lambda: self._replica.state)

    @property
    def generation(self) -> Generation:
        """How far the own part is."""
        return self._bridge.call(lambda: self._replica.generation)

    @property
    def views(self) -> dict[str, Any]:
        """What is held of each node now: a copy."""
        return self._bridge.call(lambda: dict(self._replica.views))

    def mutate(self, change: Callable[[Any], Any], *, urgency: SyncUrgency | None = None) -> Generation:
        """Change the own part, as `Replica.mutate` does. `change` is called in the event loop's thread."""
        return self._bridge.wait(self._replica.mutate(change, urgency=urgency))

    def query(self, max_staleness: float, *, timeout: float = 5.0, strict: bool = False) -> Answer[Any]:
        """Return the views when they are fresh, or time is up, as `Replica.query` does."""
        return self._bridge.wait(self._replica.query(max_staleness, timeout=timeout, strict=strict))
