"""Who watches whom. By path, so that a watch outlives passivation and needs no live cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from perdure.actors._cell import Cell

K = TypeVar("K")
V = TypeVar("V")


class Watches:
    """The watchers of each path, and the paths that each watches."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[Cell]] = {}
        self._watched: dict[Cell, set[str]] = {}

    def add(self, watcher: Cell, path: str) -> None:
        self._watchers.setdefault(path, set()).add(watcher)
        self._watched.setdefault(watcher, set()).add(path)

    def remove(self, watcher: Cell, path: str) -> None:
        _remove(self._watchers, path, watcher)
        _remove(self._watched, watcher, path)

    def over(self, path: str) -> list[Cell]:
        """Return the watchers of a path, who watch it no more."""
        watchers = list(self._watchers.get(path, ()))
        for watcher in watchers:
            self.remove(watcher, path)
        return watchers

    def forget(self, watcher: Cell) -> None:
        """Drop all that an actor watches."""
        for path in list(self._watched.get(watcher, ())):
            self.remove(watcher, path)

    def watches(self, watcher: Cell) -> bool:
        """Tell whether an actor watches anything."""
        return watcher in self._watched


def _remove(index: dict[K, set[V]], key: K, value: V) -> None:
    values = index.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del index[key]
