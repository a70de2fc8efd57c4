"""The logs of one actor type as records, for those who pass them on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from perdure._fields import fields
from perdure.abc import Backend
from perdure.errors import CorruptionError, SubjectForgotten
from perdure.journal import EVENTS, epoch_of
from perdure.persistence import PersistentActor, Replayed
from perdure.persistence._custody import own_sealing
from perdure.query._ids import IdStream
from perdure.query._stored import opened
from perdure.query._stream import Source, Stream

S = TypeVar("S")

_log = logging.getLogger("perdure.query")


class LedgerRecord(msgspec.Struct, frozen=True, gc=False):
    """A stored event that was opened, and not decoded."""

    persistence_id: str
    sequence_number: int
    data: bytes
    """The record, for `Fold`; empty where it cannot be opened, which is logged."""
    epoch: int
    """By which its owner had claimed the log; 0 where it had not."""


class LedgerPage(msgspec.Struct, frozen=True):
    """Some of the feed of a store, as far as it concerns one actor type."""

    begin: str | None
    """The offset from which it was read; None is the beginning."""
    end: str
    """The offset from which to read on."""
    records: list[LedgerRecord]
    last: tuple[str, int]
    """The stored name and the number of the last record of the page, of whatever type: where two pages end alike, what
    is behind them is alike, though their offsets differ."""


class Ledger(Generic[S]):
    """What a store has of the actors of one type that are reached by `ref`. Get it by `ActorSystem.ledger`."""

    def __init__(
        self,
        source: Source,
        actor_type: type[PersistentActor[S, Any]],
        replay: Callable[[str], Awaitable[Replayed[S]]],
    ) -> None:
        self.actor_type = actor_type
        self.replay = replay
        """Returns an actor's state by its persistence id, as the store has it; see `perdure.replay`."""
        self._source = source
        self._beginning = f"{actor_type.type_name}/"
        own_sealing(source.vault, actor_type)

    @property
    def backend(self) -> Backend:
        """The store."""
        return self._source.backend

    def pages(self, after: str | None = None, *, live: bool = False, limit: int = 256) -> Stream[LedgerPage]:
        """Return what was committed behind an offset, in that order, in pages of up to `limit` records of all types.

        What nobody can read any more, for its subject was forgotten, is passed over. Pages without records of the type
        come, too, for they move on.
        """
        return _PageStream(self._source, self._beginning, after, limit, live=live)

    async def ids(self, after: str = "") -> AsyncGenerator[str, None]:
        """Yield the persistence ids of the type behind one of them, ascending.

        Where the store hides names it has no order of them: then all are read first.
        """
        await self._source.vault.open()
        if not self._source.vault.hides_names:
            async for identity in IdStream(self._source, self._beginning, after, live=False):
                yield identity
            return
        hidden = IdStream(self._source, self._beginning, "", live=False)
        for identity in sorted([identity async for identity in hidden if identity > after]):
            yield identity

    def look(self) -> None:
        """Have live streams of the system look at once, for another process has written."""
        self._source.commits.tell()


class _PageStream(Stream[LedgerPage]):
    def __init__(self, source: Source, beginning: str, after: str | None, limit: int, *, live: bool) -> None:
        super().__init__(source, live=live)
        self._beginning = beginning
        self._after = after
        self._limit = limit
        self._ready: deque[LedgerPage] = deque()

    async def _read(self) -> bool:
        vault = self._source.vault
        found, end = await self._source.backend.feed(EVENTS, self._after, self._limit)
        begin, self._after = self._after, end
        if not found:
            return False
        hidden = vault.hides_names
        meant = [record for record in found if hidden or record.prefix.startswith(self._beginning)]
        await vault.look_up(record.value for record in meant)
        records = []
        for name, number, value in meant:
            try:
                stored = opened(vault, name, number, value)
            except SubjectForgotten:
                continue
            except CorruptionError as error:
                about = fields(persistence_id=name, sequence_number=number, error=error)
                _log.warning("%s; it is passed on as damaged", error, extra=about)
                if not hidden:
                    records.append(LedgerRecord(name, number, b"", 0))
                continue
            if stored.persistence_id.startswith(self._beginning):
                records.append(
                    LedgerRecord(stored.persistence_id, number, stored.data, epoch_of(stored.record.metadata))
                )
        self._ready.append(LedgerPage(begin, end, records, found[-1][:2]))
        return True

    def _take(self) -> LedgerPage | None:
        return self._ready.popleft() if self._ready else None
