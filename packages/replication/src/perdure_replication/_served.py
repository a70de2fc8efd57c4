"""To whom a life of a node has sent something of its own."""

from __future__ import annotations


class Served:
    """Peers that were sent something in this incarnation: what others hold of it is an earlier life's. Bounded."""

    __slots__ = ("_last", "_most", "_names")

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: set[str] = set()
        self._last: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, peers: tuple[str, ...]) -> None:
        """Remember some peers. The same tuple again, as mutations have it one after the other, costs nothing."""
        if peers is self._last:
            return
        if len(self._names) > self._most:
            self._names.clear()
        self._names.update(peers)
        self._last = peers

    def clear(self) -> None:
        self._names.clear()
        self._last = ()
