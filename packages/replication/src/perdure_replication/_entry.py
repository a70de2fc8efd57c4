"""What a node holds of one peer's part of a state."""

from __future__ import annotations

from math import inf
from typing import Any, Literal, cast

from perdure_replication._envelopes import ABSENT, StateView
from perdure_replication._generation import Generation
from perdure_replication._messages import Delta, Snapshot
from perdure_replication._metrics import PeerStatus
from perdure_replication._state import DeltaDistributedState, ReplicatedState


class Entry:
    """A view and how far it is; nothing, until the owner was heard."""

    __slots__ = (
        "ahead",
        "attempted",
        "confirmed",
        "created",
        "error",
        "failures",
        "gaps",
        "generation",
        "incompatible",
        "latency",
        "modified",
        "node",
        "pending",
        "synced",
        "version",
        "view",
        "wanted",
    )

    def __init__(self, node: str) -> None:
        self.node = node
        self.view: Any = ABSENT
        self.generation: Generation | None = None
        self.version = self.created = self.modified = 0
        self.confirmed = -inf
        """When it was surely current."""
        self.pending: Generation | None = None
        """What the owner has beyond it."""
        self.wanted: Generation | None = None
        """What was pushed, and has not come."""
        self.incompatible = False
        self.ahead: dict[int, Delta] | None = None
        """Deltas that came before those that they build on, by base; seldom there are any."""
        self.gaps = self.failures = 0
        self.error = ""
        self.synced: float | None = None
        self.attempted: float | None = None
        self.latency: float | None = None

    def is_behind(self, generation: Generation) -> bool:
        return self.generation is None or self.generation < generation

    def overtaken_by(self, generation: Generation) -> None:
        """Note what the owner has; never less than was noted."""
        if self.is_behind(generation) and (self.pending is None or self.pending < generation):
            self.pending = generation

    def confirm(self, moment: float) -> None:
        """Note that the view was current at a moment."""
        if moment > self.confirmed:
            self.confirmed = moment

    def is_fresh(self, bound: float, asked: float) -> bool:
        """Tell whether the view was current at `bound` and nothing newer is known, or was current when it was asked."""
        if self.view is ABSENT or self.incompatible:
            return False
        return self.confirmed >= asked or (self.pending is None and self.confirmed >= bound)

    def failed(self, error: str) -> None:
        self.failures += 1
        self.error = error

    def succeeded(self, now: float) -> None:
        """Note that a message was understood."""
        self.synced = now
        self.incompatible = False
        self.failures, self.error = 0, ""

    def adopt(self, snapshot: Snapshot, view: Any, now: float) -> None:
        """Take a snapshot over."""
        self.view, self.version, self.created = view, snapshot.version, snapshot.created
        self._advance(snapshot.generation, snapshot.modified, now)

    def follow(
        self, definition: ReplicatedState[Any, Any], delta: Delta, now: float
    ) -> Literal["applied", "stale", "gap"]:
        """Apply what of a delta is new. Raises what decoding and applying raise, and `ValueError`, changing nothing."""
        held, span = self.generation, delta.generation.age - delta.base
        if span < 1 or len(delta.deltas) not in (1, span):
            raise ValueError(f"{len(delta.deltas)} deltas cannot lead from age {delta.base} to {delta.generation.age}")
        if held is not None and delta.generation <= held:
            return "stale"
        if held is None or held.incarnation != delta.generation.incarnation or held.age < delta.base:
            return "gap"
        skipped = held.age - delta.base
        if skipped and len(delta.deltas) != span:
            return "gap"
        if not definition.has_deltas:
            raise ValueError("a delta of a state that has none here")
        definition = cast("DeltaDistributedState[Any, Any, Any, Any]", definition)
        view = self.view
        for part in [definition.decode_delta(part, delta.version) for part in delta.deltas[skipped:]]:
            view = definition.apply(view, part)
        self.view, self.version = view, delta.version
        self._advance(delta.generation, delta.modified, now)
        return "applied"

    def next_ahead(self) -> Delta | None:
        """Return a delta that came too early and can be applied now, and forget those that came to nothing."""
        here = self.generation
        if not self.ahead or here is None:
            return None
        ahead = {base: delta for base, delta in self.ahead.items() if here < delta.generation}
        self.ahead = ahead or None
        return next((ahead.pop(base) for base in sorted(ahead) if base <= here.age), None)

    def keep_ahead(self, delta: Delta, most: int) -> bool:
        """Keep a delta that came too early. Returns whether there was room."""
        if self.ahead is None:
            self.ahead = {}
        if len(self.ahead) >= most and delta.base not in self.ahead:
            return False
        self.ahead[delta.base] = delta
        return True

    def forget(self) -> None:
        """Hold nothing any more."""
        self.view, self.generation, self.confirmed = ABSENT, None, -inf
        self.ahead = None

    def _advance(self, generation: Generation, modified: int, now: float) -> None:
        self.generation, self.modified = generation, modified
        self.succeeded(now)
        if self.pending is not None and self.pending <= generation:
            self.pending = None
        if self.wanted is not None and self.wanted <= generation:
            self.wanted = None

    def shown(self) -> StateView[Any] | None:
        if self.generation is None:
            return None
        return StateView(
            self.node,
            self.generation,
            self.view,
            self.version,
            self.created,
            self.modified,
            self.confirmed,
            self.pending,
        )

    def status(self, *, reachable: bool) -> PeerStatus:
        known = self.pending or self.generation
        return PeerStatus(
            self.node,
            reachable,
            None if self.generation is None else self.generation.age,
            None if known is None else known.age,
            self.gaps,
            self.failures,
            self.error,
            self.synced,
            self.attempted,
            self.latency,
        )
