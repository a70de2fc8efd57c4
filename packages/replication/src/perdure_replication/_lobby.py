"""Where the frames of a node wait until the membership has named it.

Frames and members come by different ways, and neither waits for the other: when many nodes start at once, a node hears
from others of which nobody has told it yet. What they say is as true as it will be a moment later, and so it waits for
that moment. A node that is not named then is a stranger, and the engine refuses what it said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from perdure import Clock
from perdure_replication._events import Received

PATIENCE = 5.0
"""Seconds that a frame waits."""
MOST_BYTES = 4 * 1024 * 1024
"""Of all frames that wait."""
_LEAST_COST = 256
"""Bytes that a frame counts for, however short it is."""


class _Waiting(NamedTuple):
    frame: bytes
    came: float


class Lobby:
    """The frames of nodes that are not named. What it lets go is received in the order in which one node sent it."""

    def __init__(self, clock: Clock, receive: Callable[[Received], None]) -> None:
        """Call `receive` with each frame, when it has waited."""
        self._clock = clock
        self._receive = receive
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._bytes = 0
        self._timer: Any = None

    def hold(self, peer: str, frame: bytes) -> None:
        """Let a frame wait. Where there is no room, those who have waited longest wait no more."""
        self._waiting.setdefault(peer, deque()).append(_Waiting(frame, self._clock.monotonic()))
        self._bytes += _cost(frame)
        while self._bytes > MOST_BYTES:
            self.let_go(next(iter(self._waiting)))
        if self._timer is None:
            self._wake()

    def let_go(self, peer: str) -> None:
        """Receive what a node has said: it is named, or will not be."""
        frames = self._waiting.pop(peer, ())
        self._bytes -= sum(_cost(each.frame) for each in frames)
        for each in frames:
            self._receive(Received(peer, each.frame, self._clock.monotonic() - each.came))

    def close(self) -> None:
        """Forget all that waits."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        """Come back when the one that has waited longest has waited long enough."""
        first = next(iter(self._waiting.values()), None)
        self._timer = None if first is None else self._clock.call_at(first[0].came + PATIENCE, self._end_patience)

    def _end_patience(self) -> None:
        now = self._clock.monotonic()
        for peer in [peer for peer, frames in self._waiting.items() if frames[0].came + PATIENCE <= now]:
            self.let_go(peer)
        self._wake()


def _cost(frame: bytes) -> int:
    return max(len(frame), _LEAST_COST)
