"""A network that loses, delays, doubles, reorders, damages and parts, all by a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
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
        tick: float = 0.0,
    ) -> None:
        """Take the shortest and the longest travel in seconds, and what becomes of which share of the frames.

        Without `reorders` the frames of a link arrive in the order of their sends. With a `tick` they arrive at
        multiples of so many seconds, many at a moment, which takes less time to simulate.
        """
        self.delay = delay
        self.loss = loss
        self.duplicates = duplicates
        self.corruption = corruption
        self.reorders = reorders
        self.tick = tick
        self.sent: Counter[str] = Counter()
        """Frames by sender, also those that were lost."""
        self.bytes = 0
        self._random = Random(seed)
        self._blocked: set[tuple[str, str]] = set()
        self._partitions: list[Mapping[str, int]] = []
        """The group of each node that is in one."""
        self._last: dict[tuple[str, str], float] = {}
        """When the last frame of a link arrives, of those that were used lately; and before that."""
        self._before: dict[tuple[str, str], float] = {}
        self._over = self._latest = 0.0
        """When all have arrived of the earlier ones, and of both."""

    def partition(self, *groups: Iterable[str]) -> None:
        """Let nodes of one group reach only those of the same. Nodes in no group are not touched."""
        self._partitions.append({name: number for number, group in enumerate(groups) for name in group})

    def block(self, source: str, target: str) -> None:
        """Lose what goes from one node to another, in this direction."""
        self._blocked.add((source, target))

    def rejoin(self) -> None:
        """Part and block nobody any more."""
        self._blocked.clear()
        self._partitions.clear()

    def heal(self) -> None:
        """Part nobody, and lose, double, damage and reorder nothing any more. Delays stay."""
        self.rejoin()
        self.loss = self.duplicates = self.corruption = 0.0
        self.reorders = False

    def carry(self, source: str, targets: Sequence[str], frame: bytes, now: float) -> list[tuple[float, str, bytes]]:
        """Return the moments at which a frame arrives at some nodes, and with which bytes."""
        self.sent[source] += len(targets)
        self.bytes += len(frame) * len(targets)
        return [
            (self._arrival(source, target, now), target, self._damaged(frame) if self.corruption else frame)
            for target in targets
            for _ in range(self._copies(source, target))
        ]

    def _copies(self, source: str, target: str) -> int:
        if self._is_cut(source, target) or (self.loss and self._happens(self.loss)):
            return 0
        return 2 if self.duplicates and self._happens(self.duplicates) else 1

    def _is_cut(self, source: str, target: str) -> bool:
        for groups in self._partitions:
            here, there = groups.get(source), groups.get(target)
            if here is not None and there is not None and here != there:
                return True
        return (source, target) in self._blocked if self._blocked else False

    def _arrival(self, source: str, target: str, now: float) -> float:
        at = now + self._random.uniform(*self.delay)
        if self.tick:
            at = ceil(at / self.tick) * self.tick
        if not self.reorders:
            if now >= self._over:
                self._last, self._before = {}, self._last
                self._over, self._latest = self._latest, at
            link = (source, target)
            at = max(at, self._last.get(link, 0.0), self._before.get(link, 0.0))
            self._last[link] = at
            self._latest = max(self._latest, at)
        return at

    def _damaged(self, frame: bytes) -> bytes:
        if not self._happens(self.corruption):
            return frame
        damaged = bytearray(frame)
        damaged[self._random.randrange(len(damaged))] ^= self._random.randrange(1, 256)
        return bytes(damaged)

    def _happens(self, share: float) -> bool:
        return self._random.random() < share
