"""Who was asked for what, and who waits for it: one pull for each peer and state."""

from __future__ import annotations

import msgspec

from perdure_replication._generation import Generation


class Pending(msgspec.Struct, frozen=True):
    """A pull that is not answered."""

    token: int
    sent: float
    attempt: int
    knew: Generation | None = None
    """What was held when it was sent: an answer that leaves it at that is not asked for again."""


class Asking(msgspec.Struct):
    """A query that waits for views."""

    token: int
    state: str
    bound: float
    """The moment at which views must have been current, unless they were when it was asked."""
    asked: float
    waiting: set[str]


class Pulls:
    """The pulls that are not answered."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str], Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def find(self, peer: str, state: str) -> Pending | None:
        return self._pending.get((peer, state))

    def is_of(self, peer: str, state: str, token: int) -> bool:
        pending = self._pending.get((peer, state))
        return pending is not None and pending.token == token

    def begin(self, peer: str, state: str, pending: Pending) -> None:
        self._pending[peer, state] = pending

    def end(self, peer: str, state: str) -> Pending | None:
        return self._pending.pop((peer, state), None)
