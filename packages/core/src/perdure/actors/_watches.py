"""Who watches whom. By path on both sides, so that a watch outlives passivation and needs no live cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from perdure.actors._cell import Cell
    from perdure.actors._ref import ActorRef

K = TypeVar("K")


class Watches:
    """The watchers of each path, in the order of their coming, and the paths that each watches."""

    def __init__(self) -> None:
        self._watchers: dict[str, dict[ActorRef, None]] = {}
        self._watched: dict[str, dict[str, None]] = {}

    def add(self, watcher: Cell, path: str) -> None:
        self._watchers.setdefault(path, {})[watcher.ref()] = None
        self._watched.setdefault(watcher.path, {})[path] = None

    def remove(self, watcher: Cell, path: str) -> None:
        self._remove(watcher.ref(), path)

    def over(self, path: str) -> list[ActorRef]:
        """Return the watchers of a path, who watch it no more."""
        watchers = list(self._watchers.get(path, ()))
        for watcher in watchers:
            self._remove(watcher, path)
        return watchers

    def forget(self, watcher: Cell) -> None:
        """Drop all that an actor watches."""
        for path in list(self._watched.get(watcher.path, ())):
            self.remove(watcher, path)

    def _remove(self, watcher: ActorRef, path: str) -> None:
        _remove(self._watchers, path, watcher)
        _remove(self._watched, watcher.path, path)


def _remove(index: dict[str, dict[K, None]], key: str, value: K) -> None:
    values = index.get(key)
    if values is not None:
        values.pop(value, None)
        if not values:
            del index[key]
