"""What the author of a keyed state says of it."""

from __future__ import annotations

from typing import TypeVar

from perdure_replication._state import ReplicatedState, _type_arguments
from perdure_replication.errors import InvalidState

V = TypeVar("V")


class KeyedState(ReplicatedState[V, V]):
    """A state of many keys, each with a value of its own: `class Sessions(KeyedState[Session])`.

    Its name and its versions are those of a `ReplicatedState`; of these it uses `name`, `version`, `wire_version`,
    `readable`, `upcast_view` and `downcast_view`, for the values. It is opened by `Node.keyed`, in memory, or by
    `Node.stored_keyed`.
    """

    def _take_types(self) -> None:
        (self.state_type,) = _type_arguments(type(self), KeyedState, "VALUE")
        self.view_type = self.state_type

    def initial(self) -> V:
        """Refuse to be given to a `Node`."""
        raise InvalidState(type(self).__name__, "a keyed state is not given to a node, but opened: node.keyed(…)")

    def project(self, state: V) -> V:
        return state
