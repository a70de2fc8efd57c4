"""Actors whose state is stored whole."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Generic, TypeVar

from perdure.persistence._changes import DURABLE, FollowingState
from perdure.persistence._custody import custody_of
from perdure.persistence._durable_state import DurableState
from perdure.persistence._recovering import Recovering
from perdure.persistence._stores import Stores

S = TypeVar("S")


class DurableStateActor(Recovering[S, DurableState], Generic[S]):
    """An actor with a state of type `S`, of which the store keeps the newest revision and no history.

    Subclasses say the type (`DurableStateActor[Items]`), and write `initial_state` and `handle`. Make a new state and
    `save` it; do not change `state` in place.
    """

    @property
    def revision(self) -> int:
        """How often the state was saved or deleted; 0 before the first time. No revision is used twice."""
        return self._durable().sequence_number

    @property
    def exists(self) -> bool:
        """True while a state is stored, which is from a save to a delete; otherwise `state` is the initial one."""
        return self._durable().exists

    def save(self, state: S, *, expected_revision: int | None = None) -> Awaitable[None]:
        """Store a state; when this returns it is durable, and `state` and `revision` are the new ones.

        `state` is then as a restart would read it: equal to what was given, of the declared type, and no one else's.

        With `expected_revision`, nothing is stored unless `revision` is it: `StaleRevision`, which reaches the asker
        alone; `TypeError` or `ValueError` for what is no revision.

        When it raises, `state` is what it was, or raises `StateUnknown` where it may have been changed in place, and is
        read again from the store before the next message. It raises `EventTypeError` for a state that could not be
        read back; `RecordTooLarge`; `ConflictError` when another process was first; `Superseded`; `StoreError`: nothing
        was stored; `OutcomeUnknown`, or cancellation: it may have been. Raises `PersistInProgress` when called twice at
        once.
        """
        return self._durable().save(state, expected_revision)

    def delete(self, *, expected_revision: int | None = None) -> Awaitable[None]:
        """Delete the state durably: `state` is the initial one again, and the revision goes on.

        Writes nothing when none is stored. `expected_revision` and what is raised are as in `save`.
        """
        return self._durable().delete(self._initial, expected_revision)

    @classmethod
    def _head(cls, persistence_id: str, stores: Stores) -> DurableState:
        custody = custody_of(stores.vault, cls, DURABLE, persistence_id)
        return DurableState(persistence_id, stores.revisions(cls), stores, custody)

    @classmethod
    def _follow(cls, persistence_id: str, after: int, capacity: int, stores: Stores) -> FollowingState:
        custody = custody_of(stores.vault, cls, DURABLE, persistence_id)
        name = persistence_id if custody is None else custody.name
        return stores.watchers.watch(name, after, capacity, stores.backend, stores.revisions(cls), custody)

    async def _recover(self) -> None:
        await self._durable().recover(self._initial)
