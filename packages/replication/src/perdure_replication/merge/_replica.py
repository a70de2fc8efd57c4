"""One merged state in the hands of a program, and the joining of what others know.

What others know is joined in memory, and not put into this node's own part before there is a reason: its own next
change, the end of the author, or time. Were each join a mutation of the part, every node would store every change of
every other, and be called stale by all for what they know already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import reduce
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from perdure_replication._changes import Changes
from perdure_replication._envelopes import Change
from perdure_replication._fields import fields
from perdure_replication._node import Node
from perdure_replication._replica import Replica
from perdure_replication._seldom import is_worth_a_line
from perdure_replication._strategy import SyncUrgency
from perdure_replication.errors import ClockDrift, Fenced, MergedClosed, MutationRefused, NodeClosed
from perdure_replication.merge._alarm import Alarm
from perdure_replication.merge._clock import HybridClock
from perdure_replication.merge._knowledge import Knowledge
from perdure_replication.merge._pen import Pen
from perdure_replication.merge._state import MergedState

T = TypeVar("T")

_AGAIN = 1.0
"""Seconds after which what could not be taken over, or not be stored, is tried again."""
_LATER = 30.0
"""The longest that it waits so: it may be this node's clock that is wrong, and is set right."""
_SOON = 0.5
"""Within so many seconds of an author's end its last words are passed on; who is first does it for all."""

_log = logging.getLogger("perdure.replication")


class MergeMetrics(msgspec.Struct, frozen=True):
    """What a merged replica has counted since it was opened, and how large its bookkeeping is."""

    joined: int
    """Views of others that brought something new."""
    relayed: int
    """How often what was joined was passed on without a change of this node's."""
    refused: int
    """Views that were not taken over because of a stamp from too far ahead. They are tried again."""
    failed: int
    """How often what was joined could not be stored. It is tried again."""
    writers: int
    """Lives of nodes that ever wrote."""
    ranges: int
    """Into how many ranges the dots fall that were seen; as many as writers, where nothing is missing."""


class _NothingNew(Exception):
    """Ends a mutation that would change nothing."""


class MergedReplica(Generic[T]):
    """A value that all nodes may change. Get it by `merged`, on every node that has the state, inside `async with`.

    While it is open, what other nodes know is joined into what this one knows, in memory. It becomes part of what this
    node stores and sends with its next change; soon, when it is in nobody's part any more; and at the latest after
    `MergedState.relay_after`, unless it is in all parts by then.
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
        self._joined: Knowledge[T] = Knowledge()
        """What is known of others beyond the own part, or was: it is trimmed when that changes."""
        self._taken: dict[str, Change[Knowledge[T]]] = {}
        """The views that are joined already, by node."""
        self._refused: dict[str, Change[Knowledge[T]]] = {}
        """Views that are tried again."""
        self._refusals: dict[str, int] = {}
        """How often they were, in a row."""
        self._due = Alarm(node.clock)
        """When what was joined is to be passed on."""
        self._orphaned = False
        """Whether that is because an author is gone."""
        self._counts = dict.fromkeys(("joined", "relayed", "refused", "failed"), 0)
        self._bytes = 0
        """How large the own part is at most, when it is sent whole."""
        self._shown: tuple[Knowledge[T], Knowledge[T], T] | None = None
        self._followers: set[asyncio.Event] = set()
        self._changes: Changes[Knowledge[T]] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> MergedReplica[T]:
        """Begin to join what others know."""
        own = self._definition.latest(self._replica.state)
        if own is not None:
            self._clock.resume(own)
        self._changes = self._replica.changes(since={}, fold=Knowledge.merge)
        self._bytes = len(self._encoded(self._replica.state))
        self._tasks = [asyncio.create_task(self._follow(self._changes)), asyncio.create_task(self._relay_when_due())]
        try:
            await asyncio.sleep(0)  # what is held of others is joined before anybody looks
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Join no more, and leave what is known in the node's part, as far as it is open and can store."""
        changes, self._changes = self._opened(), None
        await changes.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._refused.clear()
        with suppress(Fenced, NodeClosed):
            await self._relay()
        self._due.cancel()

    @property
    def value(self) -> T:
        """The value as it is known here. It never changes; ask again for a later one."""
        self._opened()
        part, joined = self._replica.state, self._joined
        if self._shown is None or self._shown[0] is not part or self._shown[1] is not joined:
            self._shown = part, joined, self._definition.read(part.merge(joined))
        return self._shown[2]

    async def update(self, change: Callable[[T], object], *, urgency: SyncUrgency | None = None) -> None:
        """Change the value: `change` is given it as it is known here, and may call what changes it, several times.

        Returns when that is stored, where there is a store, and on its way as `urgency` says. What it did is seen as a
        whole. Where it raises, or what it wrote cannot be stored or encoded, nothing has changed, and that is raised,
        as by `Replica.mutate`. The value that it was given cannot be changed after it has returned.
        """
        self._opened()

        def mutation(part: Knowledge[T]) -> tuple[Knowledge[T], Knowledge[T]]:
            after, fragment = self._pen.write(part.merge(self._joined), change)
            if not fragment:
                raise _NothingNew
            delta = self._joined.merge(fragment)
            self._check(after, delta)
            return after, delta

        with suppress(_NothingNew):
            await self._replica.mutate(mutation, urgency=urgency)
            self._trim()

    async def changes(self) -> AsyncIterator[T]:
        """Yield the value, and the new one each time that it changes, until the node closes. A slow one misses some."""
        self._opened()
        came = asyncio.Event()
        came.set()
        self._followers.add(came)
        try:
            while True:
                await came.wait()
                came.clear()
                if self._changes is None or self._tasks[0].done():
                    return
                yield self.value
        finally:
            self._followers.discard(came)

    def _check(self, part: Knowledge[T], delta: Knowledge[T]) -> None:
        """Raise `MutationRefused` for a part that could not be sent whole. To remove from one is no harm.

        What it amounts to is measured only when the deltas since it was measured last might have made it too large.
        """
        most = self._node._settings.limits.view_bytes
        self._bytes += len(self._definition.encode_delta(delta, self._definition.wire))
        if self._bytes <= most or not delta.facts:
            return
        self._bytes = len(self._encoded(part))
        if self._bytes > most:
            reason = f"it would have {self._bytes:,} bytes as a whole, over {most:,}"
            raise MutationRefused(self._replica.name, f"{reason}: remove something, or raise Limits.view_bytes")

    def _encoded(self, part: Knowledge[T]) -> bytes:
        return self._definition.encode_view(part, self._definition.wire)

    def metrics(self) -> MergeMetrics:
        """Return what was counted since it was opened."""
        seen = self._replica.state.merge(self._joined).seen
        return MergeMetrics(**self._counts, writers=len(seen), ranges=sum(len(each) // 2 for each in seen.values()))

    def _opened(self) -> Changes[Knowledge[T]]:
        if self._changes is None:
            raise MergedClosed(self._replica.name)
        return self._changes

    def _changed(self) -> None:
        for follower in self._followers:
            follower.set()

    # What others know

    async def _follow(self, changes: Changes[Knowledge[T]]) -> None:
        try:
            async for change in changes:
                if change.node == self._node.name:
                    self._trim()
                    self._changed()
                else:
                    self._take(change)
        finally:
            self._changed()

    def _trim(self) -> None:
        """Forget what is in the own part by now."""
        if self._joined:
            self._joined = self._joined.beyond(self._replica.state)

    def _take(self, change: Change[Knowledge[T]]) -> None:
        """Join a view, and see whether its author is the one that it was."""
        before = self._taken.get(change.node)
        if change.view is not None:
            try:
                self._join(change.view, _NOTHING if before is None or before.view is None else before.view)
            except ClockDrift as error:
                self._refuse(change, error)
                return
        self._taken[change.node] = change
        self._refusals.pop(change.node, None)
        if change.kind == "removed":
            del self._taken[change.node]
        is_later_life = before is not None and change.generation.incarnation != before.generation.incarnation
        if is_later_life or change.kind == "removed":
            self._orphaned = True
            self._pass_on(_SOON * self._random.random())

    def _join(self, view: Knowledge[T], before: Knowledge[T]) -> None:
        new = view.beyond(before).beyond(self._replica.state).beyond(self._joined)
        if not new:
            return
        latest = self._definition.latest(new)
        if latest is not None:
            self._clock.observe(latest)
        self._joined = self._joined.merge(new)
        self._counts["joined"] += 1
        self._pass_on_in_time()
        self._changed()

    def _refuse(self, change: Change[Knowledge[T]], error: ClockDrift) -> None:
        """Try a view again later, one for each node: what comes until then is put into it."""
        self._counts["refused"] += 1
        waiting = self._refused.get(change.node)
        if waiting is None:
            count = self._refusals[change.node] = self._refusals.get(change.node, 0) + 1
            if is_worth_a_line(count):
                text = "%s: what %s knows of %s waits: %s"
                named = fields(node=self._node.name, peer=change.node, state=change.state, error=error)
                _log.warning(text, self._node.name, change.node, change.state, error, extra=named)
            at = self._node.clock.monotonic() + min(max(error.ahead - error.allowed, _AGAIN), _LATER)
            self._node.clock.call_at(at, lambda: self._try_again(change.node))
        self._refused[change.node] = change if waiting is None else _folded(waiting, change)

    def _try_again(self, node: str) -> None:
        change = self._refused.pop(node, None)
        if change is not None and self._changes is not None:
            self._changes.tell(change)

    # What others lack

    def _pass_on_in_time(self) -> None:
        self._pass_on(self._definition.relay_after * self._random.uniform(0.5, 1.0))

    def _pass_on(self, seconds: float) -> None:
        if self._joined:
            self._due.set(seconds)

    async def _relay_when_due(self) -> None:
        while True:
            await self._due.wait()
            orphaned, self._orphaned = self._orphaned, False
            if orphaned and not self._is_alone():
                self._pass_on_in_time()
                continue
            try:
                await self._relay()
            except (Fenced, NodeClosed):
                return

    def _others(self) -> list[Knowledge[T]]:
        return [view for node, view in self._replica.views.items() if node != self._node.name]

    def _is_alone(self) -> bool:
        """Tell whether something was joined that is in nobody's part any more."""
        return bool(reduce(Knowledge.beyond, self._others(), self._joined))

    async def _relay(self) -> None:
        """Put what was joined into the own part, from where all get it, unless it is in all parts already."""
        joined, others = self._joined, self._others()
        if others and not any(joined.beyond(view) for view in others):
            return

        def mutation(part: Knowledge[T]) -> tuple[Knowledge[T], Knowledge[T]]:
            fragment = joined.beyond(part)
            if not fragment:
                raise _NothingNew
            after = part.merge(fragment)
            self._check(after, fragment)
            return after, fragment

        try:
            with suppress(_NothingNew):
                await self._replica.mutate(mutation)
                self._counts["relayed"] += 1
                self._trim()
        except (Fenced, NodeClosed):
            raise
        except Exception as error:
            self._counts["failed"] += 1
            if is_worth_a_line(self._counts["failed"]):
                text, name = "%s: what others know of %s cannot be stored yet", self._replica.name
                named = fields(node=self._node.name, state=name, error=error)
                _log.exception(text, self._node.name, name, extra=named)
            self._due.set(_LATER if isinstance(error, MutationRefused) else _AGAIN)


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
