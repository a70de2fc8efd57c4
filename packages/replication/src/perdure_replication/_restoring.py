"""With what a shard begins a life: what was stored, what became of that, or nothing."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from perdure_replication._envelopes import StateObject
from perdure_replication._generation import Generation
from perdure_replication._settings import Limits
from perdure_replication._shard import Shard
from perdure_replication._state import ReplicatedState


class Restored(NamedTuple):
    """A shard, and how it came about."""

    shard: Shard
    outcome: Literal["fresh", "restored", "migrated", "fell_back"]
    reason: str = ""
    """Why it began empty although something may be stored."""


def restore(
    definition: ReplicatedState[Any, Any],
    found: StateObject | Exception | None,
    incarnation: int,
    wall: int,
    limits: Limits,
    *,
    stored: bool,
) -> Restored:
    """Return the shard of a new life from what was loaded, or from the error of the load.

    What is restored keeps its age and its times. What cannot be read is given up: a node that runs with an empty state
    is worth more here than one that does not start, for others own the rest.
    """

    def begun(state: Any, age: int, created: int, modified: int) -> Shard:
        generation = Generation(incarnation, age)
        return Shard(definition, generation, state, created, modified, limits, stored=stored)

    if found is None:
        return Restored(begun(definition.initial(), 0, wall, wall), "fresh")
    if isinstance(found, Exception):
        return Restored(begun(definition.initial(), 0, wall, wall), "fell_back", f"{type(found).__name__}: {found}")
    try:
        state = definition.decode_state(found.value, found.storage_version)
    except Exception as error:
        return Restored(begun(definition.initial(), 0, wall, wall), "fell_back", f"{type(error).__name__}: {error}")
    outcome: Literal["restored", "migrated"] = "restored"
    if found.storage_version != definition.storage_version:
        outcome = "migrated"
    return Restored(begun(state, found.generation.age, found.created, found.modified), outcome)
