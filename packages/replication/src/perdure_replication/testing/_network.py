"""A network that loses, delays, doubles, reorders, damages and parts, all by a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random


class Network:
    """Says of each frame when it arrives, how often, and as what. It has no time of its own."""

    def __init__(
        self,
        seed: int = 0,
        *,
        delay: tuple[float, float] = (0.001, 0.005),
        loss: float = 0.0,
        duplicates: float = 0.0,
        corruption: float = 0.0,
        reorders: bool = False,
    ) -> None:
        """Take the shortest and the longest travel in seconds, and what becomes of which share of the frames.

        Without `reorders` the frames of a link arrive in the order of their sends.
        """
        self.delay = delay
        self.loss = loss
        self.duplicates = duplicates
        self.corruption = corruption
        self.reorders = reorders
        self.sent: Counter[str] = Counter()
        """Frames by sender, also those that were lost."""
        self.bytes = 0
        self._random = Random(seed)
        self._blocked: set[tuple[str, str]] = set()
        self._last: dict[tuple[str, str], float] = {}

    def partition(self, *groups: Iterable[str]) -> None:
        """Let nodes of one group reach only those of the same. Nodes in no group are not touched."""
        sides = [set(group) for group in groups]
        for one in sides:
            for other in sides:
                if one is not other:
                    self._blocked.update((a, b) for a in one for b in other)

    def block(self, source: str, target: str) -> None:
        """Lose what goes from one node to another, in this direction."""
        self._blocked.add((source, target))

    def heal(self) -> None:
        """Part nobody, and lose, double, damage and reorder nothing any more. Delays stay."""
        self._blocked.clear()
        self.loss = self.duplicates = self.corruption = 0.0
        self.reorders = False

    def carry(self, source: str, target: str, frame: bytes, now: float) -> list[tuple[float, bytes]]:
        """Return the moments at which a frame arrives, and with which bytes."""
        self.sent[source] += 1
        self.bytes += len(frame)
        if (source, target) in self._blocked or self._happens(self.loss):
            return []
        copies = 2 if self._happens(self.duplicates) else 1
        return [(self._arrival(source, target, now), self._damaged(frame)) for _ in range(copies)]

    def _arrival(self, source: str, target: str, now: float) -> float:
        at = now + self._random.uniform(*self.delay)
        if not self.reorders:
            at = max(at, self._last.get((source, target), 0.0))
        self._last[source, target] = at
        return at

    def _damaged(self, frame: bytes) -> bytes:
        if not self._happens(self.corruption):
            return frame
        damaged = bytearray(frame)
        damaged[self._random.randrange(len(damaged))] ^= self._random.randrange(1, 256)
        return bytes(damaged)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share
