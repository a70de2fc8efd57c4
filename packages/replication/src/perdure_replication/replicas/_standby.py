"""Views from which actors come to life."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from perdure import ActorSystem, PersistentActor
from perdure_replication.errors import InvalidState
from perdure_replication.replicas._log import log_of
from perdure_replication.replicas._views import Replicas

S = TypeVar("S")


class HotStandby:
    """Has actors recovered from the views that a node holds of them: `ActorSystem(store=…, warm=HotStandby(accounts))`.

    The views are those of `replicate(Account)` without a projection. What the store has beyond a view is read from it,
    so a view may be as old as it likes. `attach` tells of which store the views are to be: before it, none is used.
    """

    def __init__(self, *replicas: Replicas[Any]) -> None:
        """Raise `InvalidState` for projections."""
        self._log = ""
        self._replicas: dict[type[Any], Replicas[Any]] = {}
        for each in replicas:
            if each.is_projected:
                raise InvalidState(each.topic, "an actor cannot be recovered from a projection: replicate it without")
            self._replicas[each.actor_type] = each

    async def attach(self, system: ActorSystem) -> None:
        """Use the views of this system's store from now on.

        Raises `RuntimeError` for a system that is not entered, `StoreError`.
        """
        self._log = (await log_of(system.backend)).name

    def state(self, actor_type: type[PersistentActor[S, Any]], persistence_id: str, /) -> tuple[S, int] | None:
        """Return the state and the sequence number of an actor, None where there is no view of it."""
        replicas = self._replicas.get(actor_type)
        beginning = f"{actor_type.type_name}/"
        if replicas is None or not persistence_id.startswith(beginning):
            return None
        return cast("tuple[S, int] | None", replicas.of_log(self._log, persistence_id[len(beginning) :]))
