"""What an actor knows of its surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perdure.actors._ref import ActorRef

if TYPE_CHECKING:
    from perdure.actors._cell import Cell
    from perdure.actors._system import ActorSystem


class Context:
    """Passed to every hook and handler of an actor."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    @property
    def path(self) -> str:
        """The actor's path: `/TYPE/KEY` when reached by `ref`, `/user/NAME` when spawned."""
        return self._cell.path

    @property
    def key(self) -> str:
        """The last part of the path: the key given to `ref`, or the name given to `spawn`."""
        return self._cell.key

    @property
    def ref(self) -> ActorRef:
        """A reference to this actor."""
        return self._cell.ref()

    @property
    def system(self) -> ActorSystem:
        """The system in which the actor lives."""
        return self._cell.system
