"""One merged state in the hands of a program, and the joining of what others know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from perdure_replication._changes import Changes
from perdure_replication._envelopes import Change
from perdure_replication._node import Node
from perdure_replication._replica import Replica
from perdure_replication._strategy import SyncUrgency
from perdure_replication.errors import ClockDrift, Fenced, NodeClosed
from perdure_replication.merge._clock import HybridClock
from perdure_replication.merge._knowledge import Knowledge
from perdure_replication.merge._pen import Pen
from perdure_replication.merge._state import MergedState

T = TypeVar("T")

_AGAIN = 1.0
"""Seconds after which what could not be joined is tried again."""

_log = logging.getLogger("perdure.replication")


class MergeMetrics(msgspec.Struct, frozen=True):
    """What a merged replica has counted since it was opened, and how large its bookkeeping is."""

    joined: int
    """Fragments of others that brought something new."""
    refused: int
    """Those that were not taken over because of a stamp from too far ahead. They are tried again."""
    failed: int
    """Those that could not be stored. They are tried again."""
    writers: int
    """Lives of nodes that ever wrote."""
    ranges: int
    """Into how many ranges the dots fall that were seen; as many as writers, where nothing is missing."""


class _NothingNew(Exception):
    """Ends a mutation that would change nothing."""


class MergedReplica(Generic[T]):
    """A value that all nodes may change. Get it by `merged`, on every node that has the state, inside `async with`.

    While it is open, what other nodes know is joined into what this one knows, in memory and in its store. It is pushed
    with this node's next change, or after `MergedState.relay_after`: each change reaches everyone from who made it.
    """

    def __init__(self, node: Node, state: type[MergedState[T]], seed: int | None = None) -> None:
        self._node = node
        self._replica: Replica[Knowledge[T], Knowledge[T], tuple[Knowledge[T], Knowledge[T]]] = node.replica(state)
        definition = node.engine.shard(state.name).definition
        assert isinstance(definition, MergedState)
        self._definition: MergedState[T] = definition
        self._random = SystemRandom() if seed is None else Random(seed)
        self._clock = HybridClock(node.clock, definition.max_drift)
        self._pen = Pen(definition, self._random.getrandbits(63), self._clock)
        self._changes: Changes[Knowledge[T]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._taken: dict[str, Knowledge[T]] = {}
        """The views that are joined already, by node."""
        self._later: dict[str, Change[Knowledge[T]]] = {}
        """What is to be tried again."""
        self._counts = dict.fromkeys(("joined", "refused", "failed"), 0)
        self._shown: tuple[Knowledge[T], T] | None = None

    async def __aenter__(self) -> MergedReplica[T]:
        """Begin to join what others know."""
        own = self._definition.latest(self._replica.state)
        if own is not None:
            self._clock.resume(own)
        self._changes = self._replica.changes(since={}, fold=Knowledge.merge)
        self._task = asyncio.create_task(self._join_all(self._changes))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Join no more. What is known stays in the node's part."""
        assert self._changes is not None
        assert self._task is not None
        await self._changes.aclose()
        self._later.clear()
        self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def value(self) -> T:
        """The value as it is known here. It never changes; ask again for a later one."""
        known = self._replica.state
        if self._shown is None or self._shown[0] is not known:
            self._shown = known, self._definition.read(known)
        return self._shown[1]

    async def update(self, change: Callable[[T], object], *, urgency: SyncUrgency | None = None) -> None:
        """Change the value: `change` is given it as it is known here, and may call what changes it, several times.

        Returns when that is stored, where there is a store, and on its way as `urgency` says. What it did is seen as a
        whole. Where it raises, or what it wrote cannot be stored or encoded, nothing has changed, and that is raised,
        as by `Replica.mutate`. The value that it was given cannot be changed after it has returned.
        """

        def mutation(known: Knowledge[T]) -> tuple[Knowledge[T], Knowledge[T]]:
            after, fragment = self._pen.write(known, change)
            if not fragment:
                raise _NothingNew
            return after, fragment

        with suppress(_NothingNew):
            await self._replica.mutate(mutation, urgency=urgency)

    async def changes(self) -> AsyncIterator[T]:
        """Yield the value, and the new one each time that it changes, until the node closes. A slow one misses some."""
        changes = self._replica.changes(since={})
        try:
            async for change in changes:
                if change.node == self._node.name:
                    yield self.value
        finally:
            await changes.aclose()

    def metrics(self) -> MergeMetrics:
        """Return what was counted since it was opened."""
        seen = self._replica.state.seen
        return MergeMetrics(**self._counts, writers=len(seen), ranges=sum(len(each) // 2 for each in seen.values()))

    # What others know

    async def _join_all(self, changes: Changes[Knowledge[T]]) -> None:
        async for change in changes:
            if change.node != self._node.name:
                try:
                    await self._join(change)
                except (Fenced, NodeClosed):
                    return

    async def _join(self, change: Change[Knowledge[T]]) -> None:
        try:
            if change.view is not None:
                await self._take(change.node, change.view)
        except ClockDrift as error:
            self._counts["refused"] += 1
            self._try_again(change, error.ahead - error.allowed, str(error))
        except (Fenced, NodeClosed):
            raise
        except Exception as error:
            self._counts["failed"] += 1
            self._try_again(change, _AGAIN, f"{type(error).__name__}: {error}")
        else:
            if change.kind == "removed":
                self._taken.pop(change.node, None)

    async def _take(self, node: str, view: Knowledge[T]) -> None:
        new = view.beyond(self._taken.get(node, _NOTHING))

        def mutation(known: Knowledge[T]) -> tuple[Knowledge[T], Knowledge[T]]:
            fragment = new.beyond(known)
            latest = self._definition.latest(fragment)
            if latest is not None:
                self._clock.observe(latest)
            if not fragment:
                raise _NothingNew
            return known.merge(fragment), fragment

        delay = self._definition.relay_after * self._random.uniform(0.5, 1.0)
        with suppress(_NothingNew):
            await self._replica.mutate(mutation, urgency=SyncUrgency.delayed(delay))
            self._counts["joined"] += 1
        self._taken[node] = view

    def _try_again(self, change: Change[Knowledge[T]], seconds: float, reason: str) -> None:
        """Put a change back later, one for each node: what comes until then is folded into it."""
        waiting = self._later.get(change.node)
        if waiting is None:
            _log.warning("%s: what %s knows of %s waits: %s", self._node.name, change.node, change.state, reason)
            at = self._node.clock.monotonic() + max(seconds, _AGAIN)
            self._node.clock.call_at(at, lambda: self._put_back(change.node))
        self._later[change.node] = change if waiting is None else _folded(waiting, change)

    def _put_back(self, node: str) -> None:
        change = self._later.pop(node, None)
        if change is not None and self._changes is not None:
            self._changes.put(change)


_NOTHING: Knowledge[Any] = Knowledge()


def _folded(waiting: Change[Knowledge[T]], change: Change[Knowledge[T]]) -> Change[Knowledge[T]]:
    assert waiting.view is not None
    assert change.view is not None
    return msgspec.structs.replace(change, view=waiting.view.merge(change.view))


def merged(node: Node, state: type[MergedState[T]], *, seed: int | None = None) -> MergedReplica[T]:
    """Return the value of a merged state of a node, to be opened by `async with`. `seed` is for tests.

    Raises `UnknownState` and `NodeClosed`. It writes under a number of its own, which is drawn anew each time: a node
    that has lost its store, or was set back to an older one, can never give out a dot again.
    """
    return MergedReplica(node, state, seed)
