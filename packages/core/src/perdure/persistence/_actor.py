"""Actors whose state is the fold of their events."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, ClassVar, Generic, TypeVar

from perdure.actors import Actor, Context
from perdure.actors._path import unescaped
from perdure.actors._props import Props
from perdure.errors import PerdureError
from perdure.journal import Event
from perdure.persistence._entity import Entity
from perdure.persistence._recovery import recover
from perdure.persistence._stores import Stores
from perdure.persistence._strategy import Full, Strategy

S = TypeVar("S")
E = TypeVar("E", bound=Event)


class PersistentActor(Actor, Generic[S, E]):
    """An actor with a state of type `S` that only its events, of type `E`, change.

    Subclasses say their types (`PersistentActor[int, Deposited | Withdrawn]`), and write `initial_state`, `handle`
    and `apply`. `E` is an event type, a union of some, or a base class whose subclasses are all meant.
    """

    initial_state: S
    """The state before the first event. Each actor begins with a deep copy of it."""

    strategy: ClassVar[Strategy] = Full()
    """What is stored with each event."""

    _entity: Entity | None = None

    def apply(self, state: S, event: E, /) -> S | None:
        """Return the state after `event`; or change `state` in place and return None.

        Must depend on nothing but its arguments: it runs at each persist, and again at each recovery. Raise to refuse
        an event: it is not stored then.
        """
        raise NotImplementedError(f"{type(self).__name__} has no apply method")

    def tags(self, event: E, /) -> Iterable[str]:
        """Return words under which `event` is stored, for `Query.tagged` to find it; none by default.

        Asked once for each event, when it is persisted, before it is applied. A tag has 1 to 255 characters, none of
        them a control character; an event has at most 64; duplicates count once. Raise to refuse an event.
        """
        return ()

    @property
    def state(self) -> S:
        """The state after all events that are durable. Raises `StateUnknown` after a persist that failed half-way."""
        state: S = self._durable().state
        return state

    @property
    def sequence_number(self) -> int:
        """The number of the last event; 0 before the first."""
        return self._durable().sequence_number

    @property
    def persistence_id(self) -> str:
        """The name of this actor's log: `TYPE/KEY` when reached by `ref`, the full path when spawned."""
        return self._durable().persistence_id

    def persist(self, *events: E) -> Awaitable[None]:
        """Store events atomically; when this returns they are durable, and `state` is the state after them.

        When it raises, `state` is what it was, or raises `StateUnknown` where `apply` may have changed it in place, and
        is read again from the store before the next message. It raises what `apply` or `tags` raised; `EventTypeError`,
        `InvalidTag`, `RecordTooLarge`, `ConflictError`, `StoreError`: nothing was stored; `OutcomeUnknown`, or
        cancellation: it may have been. Raises `PersistInProgress` when called twice at once.
        """
        entity = self._durable()
        return entity.persist(self.apply, events, self.tags if entity.definition.tagged else None)

    def _durable(self) -> Entity:
        if self._entity is None:
            raise PerdureError(f"{type(self).__name__} has no durable state before its system starts it")
        return self._entity

    async def _prepare(self, context: Context) -> None:
        stores: Stores | None = getattr(context.system, "_stores", None)
        if stores is None:
            raise PerdureError(f"{context.path} is a persistent actor: its system needs a store")
        cell = context._cell
        self._entity = Entity(persistence_id_of(cell.path, cell.props), stores.definition(type(self)), stores)
        await self._recover(stores)

    async def _recover(self, stores: Stores) -> None:
        await recover(self._durable(), stores, self._initial, self.apply)

    def _initial(self) -> S:
        return copy.deepcopy(self.initial_state)

    def _receive(self, message: Any, context: Context) -> Coroutine[Any, Any, Any]:
        if self._durable().in_doubt:
            return self._recover_and_handle(message, context)
        return self.handle(message, context)

    async def _recover_and_handle(self, message: Any, context: Context) -> Any:
        entity = self._durable()
        await self._recover(entity._stores)
        return await self.handle(message, context)


def persistence_id_of(path: str, props: Props) -> str:
    """Return the name of an actor's log: the one given to it, or `TYPE/KEY`, or the full path."""
    if props.identity is not None:
        return props.identity
    return unescaped(path[1:]) if props.virtual else str(path)
