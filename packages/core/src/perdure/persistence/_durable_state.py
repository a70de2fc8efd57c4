"""The durable part of one live actor with a durable state: the state, its revision, and the one way to change it.

A durable state is stored as a log of which only the last entry is kept. It is the collection `durable` under the
persistence id, its keys the revisions 1, 2, 3, …; a save is one group that puts the next revision, removes those below
it, and expects the log to end at the present one. So compare-and-set, fencing and group commit are those of the
journal, on every backend, and `Backend.feed` is a stream of the changes of all durable states, across processes.

A delete puts a tombstone as the next revision. Removing the entry instead was rejected: the revision would begin again
at 1, and a writer that saw the old revision 1 would take the new one for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from perdure.abc import Conflict, DeleteRange
from perdure.errors import StaleRevision
from perdure.journal import RevisionCodec
from perdure.persistence._changes import DURABLE, Watchers, newest
from perdure.persistence._custody import Custody
from perdure.persistence._head import Head
from perdure.persistence._stores import Stores


class DurableState(Head):
    """A persistence id with its state in memory, and whether one is stored."""

    NUMBER: ClassVar[str] = "revision"

    __slots__ = ("_codec", "exists")

    def __init__(self, persistence_id: str, codec: RevisionCodec[Any], stores: Stores, custody: Custody | None) -> None:
        super().__init__(persistence_id, stores, custody)
        self._codec = codec
        self.exists = False

    @property
    def _audience(self) -> Watchers:
        return self.stores.watchers

    async def recover(self, initial: Callable[[], Any]) -> None:
        """Take what the store has. At most so many recoveries run at a time as the system allows.

        Raises `CorruptionError` naming the revision for a record that cannot be used; `StoreError` when the store
        cannot be read. The state is as it was then.
        """
        async with self.stores.recoveries:
            await self.unlock()
            await self.journal.settled(self.persistence_id)
            await self.claim()
            present = await newest(self.stores.backend, self._codec, self.persistence_id, self.custody)
        self.exists = present is not None and not present.deleted
        state = present.state if present is not None and self.exists else initial()
        self.become(state, 0 if present is None else present.revision)

    async def save(self, state: Any, expected: int | None) -> None:
        """Store a state as the next revision, and only then let it be seen."""
        self._check_free()
        await self._prepare_to_seal()
        with self:
            self._check_expected(expected)
            revision = self.sequence_number + 1
            record, read_back = self._codec.encode(state, revision, self.stores.timestamp(), self._hidden_id)
            self._check_size(record, "the state")
            del state  # what waits for the disk in thousands is to be small
            if (conflict := await self._append(revision, record)) is not None:
                await self._lose(conflict)
        self._became(read_back, revision, record, exists=True)

    async def delete(self, initial: Callable[[], Any], expected: int | None) -> None:
        """Store that there is no state, unless that is so already."""
        self._check_free()
        await self._prepare_to_seal()
        with self:
            self._check_expected(expected)
            if not self.exists:
                return
            revision = self.sequence_number + 1
            record = self._codec.tombstone(revision, self.stores.timestamp(), self._hidden_id)
            if (conflict := await self._append(revision, record)) is not None:
                await self._lose(conflict)
        self._became(initial(), revision, record, exists=False)

    def _check_expected(self, expected: int | None) -> None:
        if expected is None:
            return
        if isinstance(expected, bool) or not isinstance(expected, int):
            raise TypeError(f"expected_revision is an integer, not {expected!r}")
        if expected < 0:
            raise ValueError(f"expected_revision is 0 or more, not {expected}")
        if expected != self.sequence_number:
            raise StaleRevision(self.persistence_id, expected, self.sequence_number, self.NUMBER)

    def _append(self, revision: int, record: bytes) -> Awaitable[Conflict | None]:
        if self.custody is not None:
            record = self.custody.seal.seal(revision, record)
        below = (DeleteRange(DURABLE, self.persistence_id, 1, revision),)
        return self.journal.append(
            self.persistence_id, self.sequence_number, [record], below, collection=DURABLE, claim=self.claimed
        )

    def _became(self, state: Any, revision: int, record: bytes, *, exists: bool) -> None:
        self._state = state
        self.sequence_number = revision
        self.exists = exists
        if self.stores.watchers:
            self.stores.watchers.tell(self.persistence_id, revision, record, self._codec)
