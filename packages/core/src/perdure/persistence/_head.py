"""What a live actor knows of the end of its log: the state there, its number, and whether both still hold.

The invariant: `state` is what the log says at `sequence_number`, its last key, or it is in doubt. It comes into doubt
when a write fails or is cancelled, for the write may have happened; then the next message waits until it is settled and
the state has been read again. A state that may have been changed in place for something that was not stored is not even
shown until then. Keeping a copy of each state instead was rejected: it makes every write pay for the rare failure.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar, NoReturn

from perdure.abc import Conflict, StateVersion
from perdure.errors import ConflictError, PersistInProgress, RecordTooLarge, StateUnknown, StoreError
from perdure.persistence._custody import Custody
from perdure.persistence._definition import is_immutable
from perdure.persistence._following import Audience
from perdure.persistence._stores import Stores


class _Unknown:
    """In place of a state that may have been changed for something that was not stored."""

    __slots__ = ()


class Head(ABC):
    """A persistence id with its state in memory."""

    NUMBER: ClassVar[str] = "sequence number"
    UNKNOWN: ClassVar[_Unknown] = _Unknown()

    __slots__ = (
        "_busy",
        "_state",
        "claimed",
        "custody",
        "in_doubt",
        "journal",
        "path",
        "persistence_id",
        "sequence_number",
        "stores",
    )

    def __init__(self, persistence_id: str, stores: Stores, custody: Custody | None) -> None:
        self.persistence_id = persistence_id if custody is None else custody.name
        self.custody = custody
        self.path = ""
        """Of the actor whose it is."""
        self.claimed: StateVersion | None = None
        self.sequence_number = 0
        self.in_doubt = False
        self.journal = stores.journal
        self._state: Any = self.UNKNOWN
        self.stores = stores
        self._busy = False

    @property
    @abstractmethod
    def _audience(self) -> Audience[Any]:
        """Those who follow what is written here."""

    @property
    def identity(self) -> str:
        """The persistence id, which is not `persistence_id` where the store is not to know it."""
        return self._hidden_id or self.persistence_id

    @property
    def epoch(self) -> int:
        """The epoch by which the log was claimed; 0 in a system that claims nothing."""
        return 0 if self.claimed is None else self.claimed.version

    @property
    def _hidden_id(self) -> str | None:
        return None if self.custody is None else self.custody.hidden_id

    @property
    def is_ready(self) -> bool:
        """False if something is to be read from the store before the next message."""
        custody = self.custody
        return not self.in_doubt and (custody is None or not custody.has_subject or not custody.is_stale)

    @property
    def state(self) -> Any:
        if self._state is self.UNKNOWN:
            raise StateUnknown(self.persistence_id)
        return self._state

    @property
    def is_unknown(self) -> bool:
        """True while the state may have been changed for something that was not stored."""
        return self._state is self.UNKNOWN

    async def unlock(self) -> None:
        """Have the keys at hand. Raises `SubjectForgotten`, and forgets the state."""
        if self.custody is not None and self.custody.has_subject:
            try:
                await self.custody.unlock()
            except BaseException:
                self.in_doubt = True
                self._state = self.UNKNOWN
                raise

    async def claim(self) -> None:
        """Have claimed the log, in a system that claims them. Raises `Superseded`, `StoreError`."""
        if self.stores.claims is not None:
            self.claimed = await self.stores.claims.claim(self.persistence_id, self.path)

    async def _prepare_to_seal(self) -> None:
        """Have the key at hand with which the next record is sealed."""
        if self.custody is not None and not self.custody.is_prepared:
            with self:
                await self.custody.prepare()
            self._check_free()

    def become(self, state: Any, sequence_number: int) -> None:
        """Take what was read from the store."""
        self._state = state
        self.sequence_number = sequence_number
        self.in_doubt = False

    def _check_free(self) -> None:
        """Raise if another write is under way, or nobody knows on what this one would stand."""
        if self._busy:
            raise PersistInProgress(self.persistence_id)
        if self.in_doubt:
            raise StateUnknown(self.persistence_id)

    def _check_size(self, record: bytes, what: str) -> None:
        if len(record) > self.journal.max_record_bytes:
            raise RecordTooLarge(self.persistence_id, what, len(record), self.journal.max_record_bytes)

    async def _lose(self, conflict: Conflict) -> NoReturn:
        """Raise because another writer was first, or is to be the only one."""
        if self.stores.claims is not None and conflict.expectation == self.claimed:
            raise await self.stores.claims.superseded(self.persistence_id, self.epoch, self.path)
        raise ConflictError(self.persistence_id, self.sequence_number, conflict.actual, self.NUMBER)

    def __enter__(self) -> None:
        self._busy = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_write(error)

    def _end_write(self, error: BaseException | None = None) -> None:
        """End the write under way; whatever became of it but success leaves the state in doubt."""
        self._busy = False
        if not isinstance(error, asyncio.CancelledError):
            self.journal.settle(self.persistence_id)
        if error is not None:
            self._doubt()
            if self._audience:
                self.stores.in_background(self._let_followers_look())

    def _doubt(self) -> None:
        """Note that store and memory may differ, and hide a state that may have been changed in place."""
        self.in_doubt = True
        if not is_immutable(type(self._state)):
            self._state = self.UNKNOWN

    async def _let_followers_look(self) -> None:
        """Have followers see what was stored by a write that failed, or for which nobody waited."""
        try:
            await self.journal.settled(self.persistence_id)
        except StoreError:
            pass  # whoever waited for the write has been told; followers meet it when they look
        finally:
            self._audience.look_again(self.persistence_id)
