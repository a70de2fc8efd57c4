"""States that are in memory before the store is read: what a follower of logs has folded already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from perdure.persistence._actor import PersistentActor

S = TypeVar("S")


class WarmStates(Protocol):
    """What may know the state of an actor when that comes to life. Anything with this method is one."""

    def state(self, actor_type: type[PersistentActor[S, Any]], persistence_id: str, /) -> tuple[S, int] | None:
        """Return a state and its sequence number, None where none is at hand.

        It has to be the fold of the first so many events of this log in this store, as far behind its end as it may be.
        It is asked in the event loop, at each recovery, and must not wait for anything. It keeps its object: the actor
        begins with a copy, as a snapshot would give it.
        """
