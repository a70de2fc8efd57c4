"""What the persistent actors of a system stand on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from perdure._fields import fields
from perdure.abc import Backend
from perdure.actors import Clock, SystemEvent
from perdure.journal import Format, Journal, RevisionCodec
from perdure.persistence._changes import Watchers
from perdure.persistence._claims import Claims
from perdure.persistence._definition import Definition, revision_codec
from perdure.persistence._following import Followers
from perdure.persistence._health import Probe
from perdure.persistence._notices import SnapshotFailed, SnapshotSaved
from perdure.persistence._recoveries import Recoveries
from perdure.persistence._strategy import Light
from perdure.persistence._warm import WarmStates
from perdure.security import Vault
from perdure.snapshots import Archive, Shelf, SnapshotStore, policy_of
from perdure.telemetry._observation import NOTHING, Observation

if TYPE_CHECKING:
    from perdure.persistence._actor import PersistentActor

_log = logging.getLogger("perdure.persistence")


class Stores:
    """A backend, its journal, where snapshots and old events go, and the writes that nobody waits for.

    `publish` is told of what happens to them.
    """

    def __init__(
        self,
        journal: Journal,
        snapshots: SnapshotStore,
        archive: Archive,
        clock: Clock,
        write: Format,
        max_recoveries: int,
        publish: Callable[[SystemEvent], None],
        vault: Vault,
        warm: WarmStates | None = None,
        owner: str | None = None,
        observed: Observation = NOTHING,
    ) -> None:
        self.backend: Backend = journal.backend
        self.journal = journal
        self.snapshots = snapshots
        self.followers = Followers()
        self.watchers = Watchers()
        self.publish = publish
        self.recoveries = Recoveries(max_recoveries)
        self.archive = archive
        self.vault = vault
        self.observed = observed
        self.claims = None if owner is None else Claims(owner, journal, clock.time)
        self.probe = Probe(journal.backend, clock.monotonic)
        self._warm = warm
        self._clock = clock
        self._write = write
        self._definitions: dict[type[Any], Definition] = {}
        self._shelves: dict[Definition, Shelf] = {}
        self._revisions: dict[type[Any], RevisionCodec[Any]] = {}
        self._background: set[asyncio.Task[None]] = set()

    def definition(self, actor_type: type[Any]) -> Definition:
        """Return what a class says of itself, looked up once. Raises `EventTypeError`."""
        definition = self._definitions.get(actor_type)
        if definition is None:
            definition = self._definitions[actor_type] = Definition(actor_type, self._write)
        return definition

    def revisions(self, actor_type: type[Any]) -> RevisionCodec[Any]:
        """Return the codec of a class's durable states, made once. Raises `EventTypeError`."""
        codec = self._revisions.get(actor_type)
        if codec is None:
            codec = self._revisions[actor_type] = revision_codec(actor_type, self._write)
        return codec

    def warm_state(self, actor_type: type[PersistentActor[Any, Any]], persistence_id: str) -> tuple[Any, int] | None:
        """Return the state that is in memory for an actor, if somebody has it."""
        if self._warm is None:
            return None
        try:
            if (found := self._warm.state(actor_type, persistence_id)) is not None:
                state, number = found
                return state, number
        except Exception:
            text = "%s: no warm state, for the one who was asked for it failed"
            _log.exception(text, persistence_id, extra=fields(persistence_id=persistence_id))
        return None

    def shelf(self, definition: Definition) -> Shelf | None:
        """Return how the actors of a type keep snapshots, or None where the state is stored with each event."""
        strategy = definition.strategy
        if isinstance(strategy, Light):
            return None
        shelf = self._shelves.get(definition)
        if shelf is None:
            shelf = self._shelves[definition] = Shelf(
                self.snapshots,
                self.journal,
                self.archive,
                policy_of(strategy.snapshot),
                strategy.compression,
                keep=strategy.keep_snapshots,
                keep_for=strategy.keep_snapshots_for,
                compact=strategy.compact,
                time=self._clock.time,
                monotonic=self._clock.monotonic,
                in_background=self.in_background,
                saved=self._saved,
                failed=self._failed,
            )
        return shelf

    def _saved(self, persistence_id: str, sequence_number: int, size: int, seconds: float) -> None:
        self.publish(SnapshotSaved(persistence_id, sequence_number, size, seconds))

    def _failed(self, persistence_id: str, sequence_number: int, error: Exception) -> None:
        self.publish(SnapshotFailed(persistence_id, sequence_number, error))

    def timestamp(self) -> int:
        """Return the wall clock in microseconds since 1970."""
        return int(self._clock.time() * 1_000_000)

    def in_background(self, write: Coroutine[Any, Any, None]) -> None:
        """Run a write that reports its own failure."""
        task = asyncio.get_running_loop().create_task(write)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def settle(self) -> None:
        """Return when nothing is written in the background."""
        while self._background:
            await asyncio.wait(self._background)

    async def close(self) -> None:
        """Let everything that was begun be settled."""
        await self.settle()
        await self.probe.close()
        await self.journal.close()
