"""Actors whose state is the fold of their events."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import ClassVar, Generic, TypeVar

from perdure.journal import EVENTS, AnyEvent
from perdure.persistence._custody import custody_of
from perdure.persistence._entity import Entity
from perdure.persistence._following import FollowingEvents
from perdure.persistence._recovering import Recovering
from perdure.persistence._recovery import Recovery, recover
from perdure.persistence._stores import Stores
from perdure.persistence._strategy import Full, Strategy

S = TypeVar("S")
E = TypeVar("E", bound=AnyEvent)


class PersistentActor(Recovering[S, Entity], Generic[S, E]):
    """An actor with a state of type `S` that only its events, of type `E`, change.

    Subclasses say their types (`PersistentActor[int, Deposited | Withdrawn]`), and write `initial_state`, `handle`
    and `apply`. `E` is an event type, a union of some, or a base class whose subclasses are all meant. Event types are
    subclasses of `Event`, dataclasses, or pydantic models.
    """

    strategy: ClassVar[Strategy] = Full()
    """What is stored with each event."""

    recovery: ClassVar[Recovery] = Recovery()
    """From what an actor is recovered."""

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
    def sequence_number(self) -> int:
        """The number of the last event; 0 before the first."""
        return self._durable().sequence_number

    def persist(self, *events: E) -> Awaitable[None]:
        """Store events atomically; when this returns they are durable, and `state` is the state after them.

        When it raises, `state` is what it was, or raises `StateUnknown` where `apply` may have changed it in place, and
        is read again from the store before the next message. It raises what `apply` or `tags` raised; `EventTypeError`,
        `InvalidTag`, `RecordTooLarge`, `ConflictError`, `Superseded`, `StoreError`: nothing was stored;
        `OutcomeUnknown`, or cancellation: it may have been. Raises `PersistInProgress` when called twice at once.
        """
        entity = self._entity or self._durable()
        return entity.persist(self.apply, events, self.tags if entity.definition.tagged else None)

    async def save_snapshot(self) -> None:
        """Store a snapshot of the present state; when this returns it is durable.

        Nothing is stored before the first event, or by `Light`, which stores the state with each event. Raises
        `StateUnknown`, `EventTypeError` for a state that cannot be encoded, `RecordTooLarge`, `StoreError`.
        """
        await self._durable().save_snapshot()

    async def delete_events(self, to: int) -> None:
        """Remove durably the events with a sequence number up to `to`; nothing if it is 0 or less.

        The event of the newest snapshot stays, as the head of the log, and where `compact` is "archive" the events are
        archived. Raises `EventsNeeded`, and removes nothing, when no readable snapshot covers them.
        """
        await self._durable().delete_events(to)

    @classmethod
    def _head(cls, persistence_id: str, stores: Stores) -> Entity:
        custody = custody_of(stores.vault, cls, EVENTS, persistence_id)
        return Entity(persistence_id, stores.definition(cls), stores, custody)

    @classmethod
    def _follow(cls, persistence_id: str, after: int, capacity: int, stores: Stores) -> FollowingEvents:
        custody = custody_of(stores.vault, cls, EVENTS, persistence_id)
        name = persistence_id if custody is None else custody.name
        events = stores.definition(cls).events
        return stores.followers.follow(name, after, capacity, stores.journal, events, custody)

    async def _recover(self) -> None:
        await recover(self._durable(), type(self), self._initial, self.apply, self.recovery)

    def _put_away(self) -> None:
        if self._entity is not None:
            self._entity.leave()
