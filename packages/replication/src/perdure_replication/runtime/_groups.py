"""Groups of actors: each node knows its own members, and says so to the others as replicated state."""

from __future__ import annotations

import msgspec

from perdure_replication._state import DistributedState


class Group(msgspec.Struct, frozen=True, array_like=True):
    """Those of one node who are in a group."""

    name: str
    members: tuple[str, ...]


class ActorGroups(DistributedState[tuple[Group, ...]]):
    """Which actors of a node are in which groups. Pass it to a `Node` on which a runtime is to stand."""

    name = "actor_groups"

    def initial(self) -> tuple[Group, ...]:
        return ()


class Membership:
    """The groups of one runtime's own actors."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, None]] = {}

    def add(self, group: str, actor: str) -> None:
        self._groups.setdefault(group, {})[actor] = None

    def remove(self, group: str, actor: str) -> None:
        members = self._groups.get(group, {})
        members.pop(actor, None)
        if not members:
            self._groups.pop(group, None)

    def forget(self, actor: str) -> bool:
        """Remove an actor from all groups, and tell whether it was in any."""
        groups = [group for group, members in self._groups.items() if actor in members]
        for group in groups:
            self.remove(group, actor)
        return bool(groups)

    def members(self, group: str) -> tuple[str, ...]:
        """Return the members in the order in which they joined."""
        return tuple(self._groups.get(group, ()))

    def as_state(self) -> tuple[Group, ...]:
        return tuple(Group(name, tuple(members)) for name, members in self._groups.items())
