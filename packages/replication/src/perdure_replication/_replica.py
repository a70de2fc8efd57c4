"""One replicated state in the hands of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import msgspec

from perdure_replication._changes import Changes
from perdure_replication._envelopes import Freshness, StateView
from perdure_replication._generation import Generation
from perdure_replication._metrics import Health, PeerStatus
from perdure_replication._strategy import SyncUrgency
from perdure_replication.errors import StalePeers

if TYPE_CHECKING:
    from perdure_replication._node import Node

S = TypeVar("S")
V = TypeVar("V")
R = TypeVar("R")


class Answer(msgspec.Struct, Generic[V], frozen=True):
    """The views of a state when a query ended, and whose are not as fresh as asked for."""

    views: dict[str, V]
    freshness: Freshness

    @property
    def is_fresh(self) -> bool:
        return self.freshness.is_fresh


class Replica(Generic[S, V, R]):
    """A node's own part of a state, to change; and its views of everybody's, to read. Get it by `Node.replica`."""

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self.name = name

    @property
    def state(self) -> S:
        """The own part, as the last mutation left it. Do not change it in place."""
        return cast("S", self._node.engine.shard(self.name).state)

    @property
    def generation(self) -> Generation:
        """How far the own part is."""
        return self._node.engine.shard(self.name).generation

    @property
    def views(self) -> Mapping[str, V]:
        """What is held of each node, this one among them: a mapping that shows what holds when it is read.

        A node that was not heard is not in it. Nothing is asked of anybody.
        """
        return self._node.engine.values(self.name)

    def held(self) -> dict[str, StateView[V]]:
        """Return what is held of each node with all that is known of it: generation, version, times, freshness."""
        return self._node.engine.views(self.name, self._node.clock.monotonic())

    async def mutate(self, change: Callable[[S], R], *, urgency: SyncUrgency | None = None) -> Generation:
        """Change the own part: `change` takes the state and returns the new one; of a delta state, also the change.

        Returns the new generation when the new state is stored, if it is, and its message is on its way. A mutable
        state may be changed in place, for it is a copy. Where `change` raises, or what it returns cannot be stored or
        encoded, nothing has changed, and that is raised: its own error, `MutationRefused`, `MutationUnstored`,
        `TooManyMutations`, `Fenced`. A mutation whose caller was cancelled is made nevertheless.

        Mutations that come while another is being stored are stored together. Those that need not wait let the event
        loop turn now and then, after 64 of them or 5 ms, so that a loop that mutates without end starves nobody. What
        peers are sent of all that was mutated within a turn is joined: one delta over a range, or the last value.
        """
        return await self._node._mutate(self.name, change, urgency)

    async def query(self, max_staleness: float, *, timeout: float = 5.0, strict: bool = False) -> Answer[V]:
        """Return the views, after pulling those that may be older than so many seconds, and waiting for them.

        Waits for `timeout` seconds at most; nothing where the strategy does not pull on queries. Whose views are not
        fresh by then the answer says; `strict` raises `StalePeers` instead.
        """
        freshness = await self._node._query(self.name, max_staleness, timeout)
        if strict and not freshness.is_fresh:
            raise StalePeers(self.name, freshness.stale, freshness.missing, freshness.incompatible)
        return Answer(dict(self.views), freshness)

    def freshness(self, max_staleness: float) -> Freshness:
        """Return whose views may be older than so many seconds, without asking anybody."""
        return self._node.engine.freshness(self.name, max_staleness, self._node.clock.monotonic())

    def changes(
        self, since: Mapping[str, Generation] | None = None, *, fold: Callable[[V, V], V] | None = None
    ) -> Changes[V]:
        """Return an async iterator over the changes of all views, the own among them.

        It begins with what changes from now on or, given the generations that are known, with every view that is past
        them; an empty mapping gives all views.

        Of each node it gives the latest. Given a `fold`, a view that was not taken is put into the next of its node:
        `fold(missed, next)`; of a node that is gone, a removal carries it.
        """
        return self._node._follow(self.name, since, fold)

    def health(self, max_staleness: float = 30.0) -> Health:
        """Return how the state stands among the members that are to have it."""
        return self._node.engine.health(self.name, max_staleness, self._node.clock.monotonic())

    def status(self) -> list[PeerStatus]:
        """Return one row for each node that is to have the state, the own first."""
        return self._node.engine.status(self.name)
