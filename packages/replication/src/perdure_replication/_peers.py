"""Who is in the cluster, as one node knows it, and who was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from math import inf
from types import MappingProxyType

from perdure_replication._scale import Scale

NOTHING: Mapping[str, tuple[int, ...]] = MappingProxyType({})


class Peer:
    """One other node."""

    __slots__ = (
        "attends",
        "brought",
        "incarnation",
        "least",
        "met",
        "name",
        "reachable",
        "reads",
        "scale",
        "states",
        "told_obsolete",
    )

    def __init__(self, name: str, incarnation: int, *, least: int = 0, reachable: bool = True) -> None:
        self.name = name
        self.incarnation = incarnation
        """Of the life that is known to be the latest."""
        self.least = max(least, incarnation)
        """The incarnation below which nothing is taken: an earlier life had more than the membership gives this one."""
        self.reachable = reachable
        self.scale = Scale()
        self.told_obsolete = -inf
        self.forget_hello()

    def forget_hello(self) -> None:
        """Know nothing of what this life has said."""
        self.attends = False
        """Whether it listens, as far as was told."""
        self.met = False
        """Whether this life has said hello: before, it would not listen."""
        self.reads = NOTHING
        """The versions that it reads, by state. It is never changed in place: most peers share one."""
        self.states: Set[str] | None = None
        """The states that it says it has; likewise."""
        self.brought: dict[str, float] | None = None
        """When it was sent what a hello showed it to lack, for a while."""

    def begin(self, incarnation: int) -> None:
        """Meet a later life."""
        self.incarnation = incarnation
        self.least = max(self.least, incarnation)
        self.scale = Scale()
        self.forget_hello()


class Peers:
    """The members, and those that have departed, both bounded."""

    def __init__(self, most: int, most_departed: int, seconds: float) -> None:
        self._members: dict[str, Peer] = {}
        self._departed: dict[str, tuple[int, float]] = {}
        self._most = most
        self._most_departed = most_departed
        self._seconds = seconds

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._members.values())

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __len__(self) -> int:
        return len(self._members)

    def find(self, name: str) -> Peer | None:
        return self._members.get(name)

    def admit(self, name: str, incarnation: int, *, reachable: bool = True) -> Peer | None:
        """Return a new member, or None where there is no room. What departed under this name must be surpassed."""
        if len(self._members) >= self._most:
            return None
        departed = self.departed(name)
        least = departed + 1 if departed is not None and incarnation < departed else incarnation
        self._departed.pop(name, None)
        peer = self._members[name] = Peer(name, incarnation, least=least, reachable=reachable)
        return peer

    def dismiss(self, name: str, incarnation: int, now: float) -> bool:
        """Forget a member and remember that it departed. Returns whether there was room without forgetting another."""
        peer = self._members.pop(name, None)
        if peer is not None:
            incarnation = max(incarnation, peer.least - 1)
        incarnation = max(incarnation, self.departed(name) or 0)
        self._departed.pop(name, None)
        self._departed[name] = (incarnation, now)
        if len(self._departed) <= self._most_departed:
            return True
        del self._departed[next(iter(self._departed))]
        return False

    def departed(self, name: str) -> int | None:
        """Return the incarnation under which a node departed, as long as that is remembered."""
        found = self._departed.get(name)
        return None if found is None else found[0]

    def expire(self, now: float) -> None:
        """Forget who departed long ago."""
        while self._departed:
            name, (_, at) = next(iter(self._departed.items()))
            if now - at < self._seconds:
                return
            del self._departed[name]
