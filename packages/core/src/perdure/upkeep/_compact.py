"""Removing the events that snapshots cover, without the actors whose they are.

What is removed is what the actors' own compaction would remove (see `_covered`), in the same order, and in steps each
of which leaves an actor that can be recovered: so it can be killed at any moment, and the next call does what is left.
Each step expects that the newest snapshot is still the one that was found, so actors may be at work beside it: where
one has gone on meanwhile, its log is looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, ClassVar

import msgspec

from perdure.abc import Backend, DeleteRange, Write, WriteGroup
from perdure.actors import Clock, SystemClock
from perdure.errors import CorruptionError, EntryNotFound, SubjectForgotten
from perdure.journal import EVENTS, pages
from perdure.journal._commit import CommitQueue
from perdure.persistence import PersistentActor
from perdure.persistence._custody import own_sealing
from perdure.persistence._definition import Definition
from perdure.security import Keyring, Sealing, Vault, sealing_of
from perdure.snapshots import SNAPSHOTS, Archive, CollectionArchive, CollectionSnapshots, SnapshotStore
from perdure.upkeep._covered import Covered, Superfluous
from perdure.upkeep._names import stored_names
from perdure.upkeep._opened import elsewhere, opened

_MOST = 1000


class Compacted(msgspec.Struct, frozen=True):
    """What was removed of one actor, or, with `dry_run`, would be."""

    persistence_id: str
    below: int
    """All events and snapshots with lesser numbers; the event of this number stays."""
    events: int
    snapshots: int


class Compaction(msgspec.Struct, kw_only=True):
    """What was looked at and removed, or, with `dry_run`, would be."""

    logs: int = 0
    """Logs that were looked at."""
    compacted: int = 0
    """Logs of which something was removed."""
    events: int = 0
    snapshots: int = 0
    forgotten: int = 0
    """Logs of forgotten subjects, which are left alone."""
    busy: int = 0
    """Logs that changed each time when something was to be removed; their actors are at work: try again later."""
    problem_count: int = 0
    problems: list[CorruptionError] = msgspec.field(default_factory=list)
    """Snapshots that cannot be read, and so cover nothing: the first thousand of them."""


async def compact(
    store: str | Backend,
    persistence_ids: Iterable[str] | None = None,
    *,
    sealing: Sealing | Keyring | None = None,
    actor_types: Iterable[type[PersistentActor[Any, Any]]] = (),
    keep_snapshots: int = 2,
    keep_snapshots_for: float | None = None,
    snapshots: str | SnapshotStore | None = None,
    archive: bool | str | Archive = False,
    dry_run: bool = False,
    found: Callable[[CorruptionError], object] | None = None,
    compacted: Callable[[Compacted], object] | None = None,
    progress: Callable[[Compaction], object] | None = None,
    clock: Clock | None = None,
) -> Compaction:
    """Remove the events that snapshots cover, of these actors or all; when this returns, that is durable.

    The newest `keep_snapshots` of each actor are kept, 1 or more, and those that are not older than
    `keep_snapshots_for` seconds; older ones are removed, and the events below the oldest that is kept. With `archive`
    they are moved: into the store's own archive (True), or into another one, or that of a URL. Where the state is
    stored with each event, all but the last event are superfluous. `snapshots` are those of the system, where they are
    elsewhere.

    A snapshot of an actor type that is named in `actor_types` counts only if that type can decode it: name those whose
    state has ever changed. `found` is told of each snapshot that cannot be read, `compacted` of each actor of which
    something is removed, `progress` of the counts, after each log. With `dry_run` nothing is written.

    When it is cancelled or killed, the next call does what is left. Raises `EntryNotFound` for an actor without events,
    `SealedStore` or `SealError` when the sealing is not that of the store, `StoreError`.
    """
    if keep_snapshots < 1:
        raise ValueError(f"keep_snapshots is 1 or more, not {keep_snapshots}")
    if keep_snapshots_for is not None and not keep_snapshots_for > 0:
        raise ValueError(f"keep_snapshots_for is more than 0 seconds, not {keep_snapshots_for}")
    types = list(actor_types)
    past = None if isinstance(archive, bool) else archive
    async with opened(store) as backend, elsewhere(snapshots, past) as (shelf, other), _queue(backend) as queue:
        vault = Vault(backend, sealing_of(sealing))
        await vault.open()
        for actor_type in types:
            own_sealing(vault, actor_type)
        news = _News(found, compacted, progress)
        covered = Covered(
            backend,
            vault,
            shelf or CollectionSnapshots(backend),
            {actor_type.type_name: Definition(actor_type, "msgpack").states for actor_type in types},
            news.problem,
            keep=keep_snapshots,
            since=None if keep_snapshots_for is None else (clock or SystemClock()).time() - keep_snapshots_for,
            in_store=shelf is None,
        )
        if archive is True:
            other = CollectionArchive(backend, partial(_write, queue))
        names = stored_names(backend, EVENTS) if persistence_ids is None else _named(backend, vault, persistence_ids)
        await _Compactor(covered, None if dry_run else _Remover(backend, queue, shelf, other), news).run(names)
        return news.result


@asynccontextmanager
async def _queue(backend: Backend) -> AsyncIterator[CommitQueue]:
    queue = CommitQueue(backend)
    try:
        yield queue
    finally:
        await queue.close()


async def _named(backend: Backend, vault: Vault, persistence_ids: Iterable[str]) -> AsyncGenerator[str, None]:
    """Yield the stored names of actors. Raises `EntryNotFound` for one without events."""
    for persistence_id in persistence_ids:
        name = vault.stored_name(persistence_id)
        if not await backend.last(EVENTS, name):
            raise EntryNotFound(f"{EVENTS}/{persistence_id}")
        yield name


async def _write(queue: CommitQueue, writes: Sequence[Write], size: int) -> None:
    """Write what expects nothing."""
    await queue.submit(WriteGroup(tuple(writes)), size)


class _News:
    """Counts what happens, and tells those who want to know."""

    def __init__(
        self,
        found: Callable[[CorruptionError], object] | None,
        compacted: Callable[[Compacted], object] | None,
        progress: Callable[[Compaction], object] | None,
    ) -> None:
        self.result = Compaction()
        self._found = found
        self._compacted = compacted
        self._progress = progress

    def problem(self, problem: CorruptionError) -> None:
        self.result.problem_count += 1
        if len(self.result.problems) < _MOST:
            self.result.problems.append(problem.with_traceback(None))
        if self._found is not None:
            self._found(problem)

    def compacted(self, found: Superfluous) -> None:
        self.result.compacted += 1
        self.result.events += found.events
        self.result.snapshots += found.snapshots
        if self._compacted is not None:
            self._compacted(Compacted(found.persistence_id, found.below, found.events, found.snapshots))

    def log_is_done(self) -> None:
        self.result.logs += 1
        if self._progress is not None:
            self._progress(self.result)


class _Compactor:
    """Compacts logs, a few at a time, so that they share commits; without a remover it only tells of them."""

    _AT_ONCE: ClassVar[int] = 32
    _TRIES: ClassVar[int] = 8

    def __init__(self, covered: Covered, remover: _Remover | None, news: _News) -> None:
        self._covered = covered
        self._remover = remover
        self._news = news

    async def run(self, names: AsyncGenerator[str, None]) -> None:
        some: list[str] = []
        async with aclosing(names):
            async for name in names:
                some.append(name)
                if len(some) == self._AT_ONCE:
                    await self._together(some)
                    some = []
        await self._together(some)

    async def _together(self, names: list[str]) -> None:
        tasks = [asyncio.ensure_future(self._log(name)) for name in names]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _log(self, name: str) -> None:
        try:
            await self._compact(name)
        except SubjectForgotten:
            self._news.result.forgotten += 1
        self._news.log_is_done()

    async def _compact(self, name: str) -> None:
        """Remove what is superfluous in a log, and look again where its actor has gone on meanwhile."""
        for _ in range(self._TRIES):
            found = await self._covered.superfluous(name)
            if found is None:
                return
            if self._remover is None or await self._remover.remove(found):
                self._news.compacted(found)
                return
        self._news.result.busy += 1


class _Remover:
    """Removes what is superfluous, or moves it to an archive."""

    _STEP: ClassVar[int] = 5000

    def __init__(
        self, backend: Backend, queue: CommitQueue, snapshots: SnapshotStore | None, archive: Archive | None
    ) -> None:
        self._backend = backend
        self._queue = queue
        self._snapshots = snapshots
        self._archive = archive

    async def remove(self, found: Superfluous) -> bool:
        """Remove snapshots, then events from the first on; return False when the log has changed, and stop there."""
        if not await self._remove_snapshots(found):
            return False
        for start in range(found.first, found.below, self._STEP):
            stop = min(start + self._STEP, found.below)
            await self._add_to_archive(found.name, start, stop)
            if not await self._commit(found, DeleteRange(EVENTS, found.name, 1, stop)):
                return False
        return True

    async def _remove_snapshots(self, found: Superfluous) -> bool:
        if not found.snapshots:
            return True
        if self._snapshots is None:
            return await self._commit(found, DeleteRange(SNAPSHOTS, found.name, 1, found.below))
        await self._snapshots.delete(found.name, found.below)
        return True

    async def _add_to_archive(self, name: str, start: int, stop: int) -> None:
        if self._archive is not None:
            async with aclosing(pages(self._backend, EVENTS, name, start, stop)) as read:
                async for entries in read:
                    if entries:
                        await self._archive.add(name, entries)

    async def _commit(self, found: Superfluous, write: Write) -> bool:
        return await self._queue.submit(WriteGroup((write,), found.guard), 0) is None
