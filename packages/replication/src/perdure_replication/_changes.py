"""Views as they move on, for one who follows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from perdure_replication._envelopes import Change, StateView
from perdure_replication._generation import Generation
from perdure_replication._latest import Latest

V = TypeVar("V")


class Changes(Latest[Change[V]]):
    """An async iterator over the changes of one state's views, which ends when the node closes.

    A slow follower misses values, never views: of each node it gets the latest, into which a `fold` may put those that
    it missed. Its `since` may be passed to `Replica.changes` later, in another life too, to go on from there.
    """

    def __init__(
        self,
        state: str,
        held: Mapping[str, StateView[Any]],
        since: Mapping[str, Generation] | None,
        forget: Callable[[Latest[Any]], None],
        fold: Callable[[V, V], V] | None = None,
    ) -> None:
        super().__init__(forget)
        self.since: dict[str, Generation] = dict(since or {})
        """The generation of each node that was given out."""
        self._fold = fold
        if since is not None:
            self._catch_up(state, held)

    def _catch_up(self, state: str, held: Mapping[str, StateView[Any]]) -> None:
        for node, view in held.items():
            if node not in self.since or self.since[node] < view.generation:
                self.tell(Change(state, node, view.generation, view.view))
        for node in self.since.keys() - held.keys():
            self.tell(Change(state, node, self.since[node], None, "removed"))

    def tell(self, change: Change[V]) -> None:
        """Give out a change, in place of one of the same node that was not taken, or folded into it."""
        missed = self._waiting.get(change.node)
        self.put(change.node, change if missed is None else self._folded(missed, change))

    def _folded(self, missed: Change[V], change: Change[V]) -> Change[V]:
        if self._fold is None or missed.view is None:
            return change
        view = missed.view if change.view is None else self._fold(missed.view, change.view)
        return msgspec.structs.replace(change, view=view)

    async def __anext__(self) -> Change[V]:
        change = await super().__anext__()
        if change.kind == "removed":
            self.since.pop(change.node, None)
        else:
            self.since[change.node] = change.generation
        return change
