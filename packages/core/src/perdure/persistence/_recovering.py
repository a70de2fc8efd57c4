"""Actors whose state is read from the store before their first message, and again whenever it came into doubt."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine
from typing import Any, ClassVar, Generic, Literal, TypeVar

from perdure.actors import Actor, Context, Subscription
from perdure.actors._cell import Cell
from perdure.actors._path import unescaped
from perdure.actors._props import Props
from perdure.actors._views import Known, Life
from perdure.errors import PerdureError
from perdure.evolution import Evolution
from perdure.persistence._head import Head
from perdure.persistence._stores import Stores
from perdure.security import Keyring, Sealing
from perdure.telemetry._observation import until

S = TypeVar("S")
H = TypeVar("H", bound=Head)


class Recovering(Actor, ABC, Generic[S, H]):
    """An actor with a durable state of type `S`, which it knows by a head of type `H`."""

    initial_state: S
    """The state while nothing is stored. Each actor begins with a deep copy of it."""

    evolution: ClassVar[Evolution | None] = None
    """How events and states that were stored in the past are read today; None as long as nothing has changed."""

    sealing: ClassVar[Sealing | Keyring | Literal["system", "none"]] = "system"
    """With what it is sealed that is stored: as the system seals, with a sealing of its own, or not at all."""

    _FIRST: ClassVar[Life] = "recovering"

    _entity: H | None = None

    @property
    def state(self) -> S:
        """The state that is durable. Raises `StateUnknown` after a write that failed half-way."""
        state: S = (self._entity or self._durable()).state
        return state

    @property
    def persistence_id(self) -> str:
        """The name of this actor's log: `TYPE/KEY` when reached by `ref`, the full path when spawned."""
        return self._durable().identity

    @classmethod
    def subject(cls, persistence_id: str) -> str | None:  # noqa: ARG003
        """Return whose data an actor holds, such as a person's number; None, as by default, for nobody's.

        What it stores is then sealed with a key of the subject's own, until `ActorSystem.forget` destroys that. Must
        depend on the id alone: it is asked before anything is read.
        """
        return None

    @classmethod
    @abstractmethod
    def _head(cls, persistence_id: str, stores: Stores) -> H:
        """Return the head of a log, which nobody has read yet. Raises `EventTypeError`."""

    @classmethod
    @abstractmethod
    def _follow(cls, persistence_id: str, after: int, capacity: int, stores: Stores) -> Subscription[Any]:
        """Return what a log of this type holds after a number, and whatever is added."""

    @abstractmethod
    async def _recover(self) -> None:
        """Read the state."""

    def _durable(self) -> H:
        if self._entity is None:
            raise PerdureError(f"{type(self).__name__} has no durable state before its system starts it")
        return self._entity

    async def _prepare(self, context: Context) -> None:
        stores: Stores | None = getattr(context.system, "_stores", None)
        if stores is None:
            raise PerdureError(f"{context.path} is a persistent actor: its system needs a store")
        cell = context._cell
        self._entity = self._head(persistence_id_of(cell.path, cell.props), stores)
        self._entity.path = str(cell.path)
        await self._recover_observed(cell)

    def _initial(self) -> S:
        return copy.deepcopy(self.initial_state)

    def _known(self, *, states: bool) -> Known:
        head = self._durable()
        state = None
        if states:
            state = "unknown until it is read again" if head.is_unknown else head.state
        return Known(head.identity, head.sequence_number, state)

    def _receive(self, message: Any, context: Context) -> Coroutine[Any, Any, Any]:
        if (self._entity or self._durable()).is_ready:
            return self.handle(message, context)
        return self._recover_and_handle(message, context)

    def _recover_observed(self, cell: Cell) -> Awaitable[None]:
        recovering = self._durable().stores.observed.recovering
        ended = None if recovering is None else recovering(cell)
        return self._recover() if ended is None else until(self._recover(), ended)

    async def _recover_and_handle(self, message: Any, context: Context) -> Any:
        head = self._durable()
        if head.in_doubt:
            await self._recover_observed(context._cell)
        else:
            await head.unlock()
        return await self.handle(message, context)


def persistence_id_of(path: str, props: Props) -> str:
    """Return the name of an actor's log: the one given to it, or `TYPE/KEY`, or the full path."""
    if props.identity is not None:
        return props.identity
    return unescaped(path[1:]) if props.virtual else str(path)
