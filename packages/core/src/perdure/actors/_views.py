"""How a system and its actors are seen from outside: for debuggers, and for those who watch over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from perdure.actors._cell import Cell

Life: TypeAlias = Literal["recovering", "starting", "idle", "queued", "handling", "restarting", "stopping"]


class ActorView(msgspec.Struct, frozen=True, kw_only=True):
    """One live actor, at one moment, and those below it.

    `life`: `recovering` (its state is being read) or `starting`; `idle`; `queued` (it has messages, and waits for its
    turn); `handling` the message of the type `message`; `restarting`, after a failure; `stopping`.
    """

    path: str
    type: str
    life: Life
    message: str | None = None
    """The type of the message that it handles."""
    seconds: float | None = None
    """How long its present turn has been waiting for something; None if it is not."""
    depth: int = 0
    """Messages that wait in its mailbox, or for room there."""
    stashed: int = 0
    persistence_id: str | None = None
    sequence_number: int | None = None
    """Of its last durable event, or the revision of its durable state; None for who has neither, or not yet."""
    state: Any = None
    """What its instance says of itself, if it was asked for."""
    children: tuple[ActorView, ...] = ()


class Census(msgspec.Struct, frozen=True):
    """The live actors of one type: how many, and how many messages wait in their mailboxes."""

    live: int
    depth: int


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """A system at one moment. `str` draws its tree."""

    status: str
    """`new`, `open`, `closing` or `closed`."""
    live: int
    """How many actors are live."""
    passivated: int
    """How often an idle actor was put away."""
    dead_letters: int
    """How many messages could not be handled."""
    types: dict[str, Census]
    """Of each type that has live actors."""
    actors: tuple[ActorView, ...]
    """Those without a parent, or the one that was asked for, by path."""
    omitted: int = 0
    """How many actors would have been too many to show."""

    def json(self) -> bytes:
        """Return it as JSON; what JSON has no form for is shown by its `repr`."""
        return msgspec.json.encode(self, enc_hook=repr)

    def __str__(self) -> str:
        counts = f"{self.live} live, {self.passivated} passivated, {self.dead_letters} dead letters"
        more = [f"… and {self.omitted} more"] if self.omitted else []
        return "\n".join([f"{self.status}: {counts}", *_drawn(self.actors, "  "), *more])


class Looking:
    """Makes views of cells, at most so many."""

    def __init__(self, most: int, now: float, waiting: Iterable[tuple[Cell, float]], *, states: bool) -> None:
        self.omitted = 0
        self._most = most
        self._states = states
        self._seconds = {cell: max(0.0, now - began) for cell, began in waiting}

    def views(self, cells: Iterable[Cell]) -> tuple[ActorView, ...]:
        """Return the views of cells and those below them, by path."""
        return tuple(filter(None, map(self._view, sorted(cells, key=lambda cell: cell.path))))

    def _view(self, cell: Cell) -> ActorView | None:
        if self._most <= 0:
            self.omitted += 1 + sum(1 for _ in _below(cell))
            return None
        self._most -= 1
        message = cell.in_hand
        known = cell.known(states=self._states)
        return ActorView(
            path=str(cell.path),
            type=cell.type_name,
            life=cell.life,
            message=None if message is None else type(message.message).__name__,
            seconds=self._seconds.get(cell),
            depth=cell.depth,
            stashed=cell.stashed,
            persistence_id=known.persistence_id,
            sequence_number=known.sequence_number,
            state=known.state,
            children=self.views(cell.children()),
        )


class Known(msgspec.Struct, frozen=True):
    """What an instance knows of itself."""

    persistence_id: str | None = None
    sequence_number: int | None = None
    state: Any = None


def _below(cell: Cell) -> Iterator[Cell]:
    for child in cell.children():
        yield child
        yield from _below(child)


def _drawn(views: Iterable[ActorView], margin: str) -> Iterator[str]:
    for view in views:
        doing = view.life if view.message is None else f"{view.life} {view.message}"
        facts = [
            doing if view.seconds is None else f"{doing} for {view.seconds:.3g} s",
            *([f"at {view.sequence_number}"] if view.sequence_number is not None else ()),
            *([f"{view.depth} waiting"] if view.depth else ()),
            *([f"{view.stashed} stashed"] if view.stashed else ()),
        ]
        yield f"{margin}{view.path} ({view.type}): {', '.join(facts)}"
        yield from _drawn(view.children, margin + "  ")
