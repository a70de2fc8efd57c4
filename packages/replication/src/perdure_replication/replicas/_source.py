"""The owner's side: the feed of a store as a source of records.

A *pump* reads the feed once for all followers, live, and keeps its latest pages in memory. A position is the offset
where a page ends, so a follower at the tip is served from memory; one that is far behind is served from the store, from
its offset on, until a page that it reads ends with the same record as one of the pump's: from there on it is at the
pump's offsets. Positions are those of the store's feed: any other owner of the store goes on from them.

What is sent of an event is its delta, if the form has deltas; or else the view of the actor as it is now, once for all
events of a page. The states for that are folded along for the actors that were asked for last, and replayed for others.

The beginning is the end of the feed as it is now, and then each actor as it is when its turn comes: what is committed
meanwhile is behind that end, and comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from secrets import token_bytes
from typing import Any

import msgspec

from perdure import Clock
from perdure.errors import StoreClosed, StoreError, StoreUnavailable, SubjectForgotten
from perdure.query import Ledger, LedgerPage, LedgerRecord
from perdure_replication._fields import fields
from perdure_replication._generation import Generation
from perdure_replication.replicas._forms import Form
from perdure_replication.replicas._log import Log, note_end
from perdure_replication.topics import DELTA, GONE, MAX_RECORDS, WHOLE, Interest, Page, Record

PAGES = 128
"""Pages that are kept of the tip, and as many for those who are behind."""
PAGE_RECORDS = 256
READ_AT_ONCE = 64
"""Pages of the feed that one page of a topic is made of at most."""
SECONDS = 0.25
"""How long a page may take: readers wait for each about a second."""
AT_ONCE = 32
"""Actors that are replayed at a time for one reader."""
_UNREADABLE = b""
"""What no reader can read: it keeps what it has, and says so."""
_NOTED = 256
"""So many pages further, the end is noted in the store."""

_log = logging.getLogger("perdure.replication")


class _Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Behind an offset of the feed, and some records of the page there; or, filling, behind a persistence id."""

    offset: str | None
    skip: int = 0
    life: bytes = b""
    """Of the source whose page is meant: to others, and later, the records of a page may be others."""
    cursor: str | None = None
    forgotten: int = 0
    """How many of the actors that were forgotten in that life were told of."""


class _Sheet:
    """A page of the feed, and what is sent of its records, made once."""

    __slots__ = ("deltas", "page")

    def __init__(self, page: LedgerPage) -> None:
        self.page = page
        self.deltas: list[bytes | None] = [None] * len(page.records)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Place).decode


class LogSource:
    """The source of one actor type in one store."""

    def __init__(
        self, ledger: Ledger[Any], form: Form[Any], log: Log, states: int, record_bytes: int, clock: Clock
    ) -> None:
        self.format = form.version
        self._record_bytes = record_bytes
        self._clock = clock
        self._ledger = ledger
        self._form = form
        self._log = log
        self._most_states = states
        self._beginning = f"{ledger.actor_type.type_name}/"
        self._life = token_bytes(8)
        self._tip = log.end
        self._recent: dict[str | None, _Sheet] = {}
        self._behind: dict[str | None, _Sheet] = {}
        self._ends: dict[tuple[str, int], str] = {}
        self._states: dict[str, tuple[Any, int, int]] = {}
        self._added = 0
        self._forgotten: dict[str, int] = {}
        self._is_poked = False
        self._wake: Callable[[], None] = lambda: None

    async def catch_up(self) -> None:
        """Read to the present end of the feed. Raises `StoreError`."""
        async for page in self._ledger.pages(self._tip, limit=1000):
            self._tip = page.end
        await self._note_end()

    async def pump(self, poke: Callable[[], None]) -> None:
        """Read what is added, until the system is closed, and call `poke()` for what no other owner told of."""
        async for page in self._ledger.pages(self._tip, live=True, limit=PAGE_RECORDS):
            self._add(page)
            if self._is_poked:
                self._is_poked = False
            else:
                poke()
            if self._added % _NOTED == 0:
                await self._note_end()

    def forget(self, key: str) -> None:
        """Tell of an actor that there is nothing of it any more, though it be in memory."""
        self._states.pop(self._beginning + key, None)
        self._forgotten.setdefault(key, len(self._forgotten))
        self._wake()

    def attend(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def look(self) -> None:
        self._is_poked = True
        self._ledger.look()

    async def page(self, interest: Interest, after: bytes | None, max_bytes: int) -> Page:
        place = _place(after)
        if place is None:
            return await self._fill(interest, _Place(self._tip, cursor=""), max_bytes, begins=True)
        if place.cursor is not None:
            return await self._fill(interest, place, max_bytes)
        return await self._tail(interest, place, max_bytes)

    # The feed

    def _add(self, page: LedgerPage) -> None:
        """Keep a page that was read at the tip."""
        self._recent[page.begin] = _Sheet(page)
        self._ends[page.last] = page.end
        self._tip = page.end
        self._added += 1
        if len(self._recent) > PAGES:
            oldest = self._recent.pop(next(iter(self._recent)))
            self._ends.pop(oldest.page.last, None)
        for record in page.records:
            self._fold(record)
        self._wake()

    def _fold(self, record: LedgerRecord) -> None:
        """Move a state along that is at hand, if it will be asked for; one that begins is at hand."""
        identity, number = record.persistence_id, record.sequence_number
        state, held, _ = self._states.get(identity, (None, 0, 0))
        if number <= held:
            return
        self._states.pop(identity, None)
        if number == held + 1 and not self._form.moves_by_deltas:
            try:
                before = state if held else self._form.fold.initial()
                state = self._form.fold.apply(before, record.data)
                self._keep(identity, state, number, record.epoch)
            except Exception as error:  # of a type's own `apply`: a replay tells it to whoever asks
                named = fields(persistence_id=identity, sequence_number=number, error=error)
                _log.debug("%s cannot be folded on: %s", identity, error, extra=named)

    def _keep(self, identity: str, state: Any, number: int, epoch: int) -> None:
        self._states.pop(identity, None)
        self._states[identity] = (state, number, epoch)
        if len(self._states) > self._most_states:
            del self._states[next(iter(self._states))]

    async def _sheet(self, offset: str | None) -> _Sheet | None:
        """Return the page behind an offset, None where there is nothing yet."""
        sheet = self._recent.get(offset) or self._behind.get(offset)
        if sheet is not None or offset == self._tip:
            return sheet
        async for page in self._ledger.pages(offset, limit=PAGE_RECORDS):
            end = self._ends.get(page.last, page.end)
            sheet = self._behind[offset] = _Sheet(msgspec.structs.replace(page, end=end))
            if len(self._behind) > PAGES:
                del self._behind[next(iter(self._behind))]
            return sheet
        return None

    async def _tail(self, interest: Interest, place: _Place, max_bytes: int) -> Page:
        """Return what the feed has behind a place now; what is added meanwhile is for the next page."""
        batch, tip = _Batch(max_bytes, self._clock), self._tip
        skip, forgotten = (place.skip, place.forgotten) if place.life == self._life else (0, 0)
        offset, forgotten = place.offset, self._tell_forgotten(interest, forgotten, batch)
        for _ in range(READ_AT_ONCE):
            sheet = None if offset == tip else await self._sheet(offset)
            if sheet is None:
                return Page(batch.records, self._position(offset, 0, forgotten), at_tip=True)
            reached = await self._take(sheet, skip, interest, batch)
            if reached < len(sheet.page.records):
                return Page(batch.records, self._position(offset, reached, forgotten), at_tip=False)
            offset, skip = sheet.page.end, 0
        return Page(batch.records, self._position(offset, 0, forgotten), at_tip=False)

    def _position(self, offset: str | None, skip: int, forgotten: int) -> bytes:
        return _encode(_Place(offset, skip, self._life, forgotten=forgotten))

    def _tell_forgotten(self, interest: Interest, told: int, batch: _Batch) -> int:
        """Add those that were forgotten, and return how many of them were looked at."""
        for key, number in self._forgotten.items():
            is_told = number < told or not interest.covers(key)
            if not is_told and not batch.add(Record(key, Generation(0, 0), GONE)):
                return number
        return len(self._forgotten)

    async def _take(self, sheet: _Sheet, begin: int, interest: Interest, batch: _Batch) -> int:
        """Add what is wanted of a page, and return how many of its records were looked at."""
        meant: dict[str, int] = {}
        for index in range(begin, len(sheet.page.records)):
            stored = sheet.page.records[index]
            key = stored.persistence_id[len(self._beginning) :]
            if not key or key in self._forgotten or not interest.covers(key):
                continue
            if self._form.moves_by_deltas:
                if not batch.add(self._delta(sheet, index, key)):
                    return index
            elif batch.numbers.get(key, 0) < stored.sequence_number:
                meant.pop(key, None)
                meant[key] = index
        entries = list(meant.items())
        for start in range(0, len(entries), AT_ONCE):
            some = entries[start : start + AT_ONCE]
            numbers = [(key, sheet.page.records[index].sequence_number) for key, index in some]
            for (_, index), record in zip(some, await self._wholes(numbers), strict=True):
                if not batch.add(record):
                    return index
        return len(sheet.page.records)

    def _delta(self, sheet: _Sheet, index: int, key: str) -> Record:
        stored, delta = sheet.page.records[index], sheet.deltas[index]
        if delta is None:
            try:
                delta = self._form.delta(stored.data)
            except Exception as error:  # of the author's: who cannot read it asks for the whole
                place = (stored.persistence_id, stored.sequence_number)
                named = fields(persistence_id=place[0], sequence_number=place[1], error=error)
                _log.warning("%s %d has no delta: %s", *place, error, extra=named)
                delta = _UNREADABLE
            sheet.deltas[index] = delta = self._checked(key, delta)
        return Record(key, Generation(stored.epoch, stored.sequence_number), DELTA, delta)

    # Whole views

    async def _fill(self, interest: Interest, place: _Place, max_bytes: int, *, begins: bool = False) -> Page:
        """Return the views of the actors behind a persistence id."""
        batch = _Batch(max_bytes, self._clock)
        cursor = place.cursor or ""
        async with aclosing(self._keys(interest, cursor)) as keys:
            while some := [key async for key in _first(keys, AT_ONCE)]:
                for key, record in zip(some, await self._wholes([(key, 0) for key in some]), strict=True):
                    if (record.generation.age or record.kind == GONE) and not batch.add(record):
                        position = _encode(_Place(place.offset, cursor=cursor))
                        return Page(batch.records, position, at_tip=False, begins=begins)
                    cursor = key
        position = _encode(_Place(place.offset))
        return Page(batch.records, position, at_tip=place.offset == self._tip, begins=begins, filled=True)

    async def _keys(self, interest: Interest, cursor: str) -> AsyncGenerator[str, None]:
        """Yield the keys that are wanted, ascending."""
        if not interest.prefixes:
            for key in interest.keys:
                if key > cursor:
                    yield key
            return
        after = f"{self._beginning}{cursor}" if cursor else ""
        async with aclosing(self._ledger.ids(after)) as ids:
            async for identity in ids:
                key = identity[len(self._beginning) :]
                if interest.covers(key):
                    yield key

    async def _wholes(self, wanted: Sequence[tuple[str, int]]) -> list[Record]:
        """Return the views of some actors, each with so many events at least."""
        return await asyncio.gather(*(self._whole(*each) for each in wanted))

    async def _whole(self, key: str, at_least: int) -> Record:
        identity = self._beginning + key
        if key in self._forgotten:
            return Record(key, Generation(0, 0), GONE)
        try:
            held = self._states.get(identity)
            if held is None or held[1] < at_least:
                replayed = await self._ledger.replay(identity)
                held = replayed.state, replayed.sequence_number, replayed.epoch
            self._keep(identity, *held)
            state, number, epoch = held
            data = self._form.whole(state, number)
        except SubjectForgotten:
            return Record(key, Generation(0, 0), GONE)
        except (StoreUnavailable, StoreClosed):
            raise
        except Exception as error:  # damage, or the author's own: it must not hold up the others
            _log.warning("%s has no view: %s", identity, error, extra=fields(persistence_id=identity, error=error))
            return Record(key, Generation(0, max(1, at_least)), WHOLE, _UNREADABLE)
        return Record(key, Generation(epoch, number), WHOLE, self._checked(key, data))

    def _checked(self, key: str, data: bytes) -> bytes:
        """Return what fits into a letter: for what does not nothing, which no reader can read."""
        if len(data) <= self._record_bytes:
            return data
        limit = f"over the {self._record_bytes:,} that a letter takes: raise Limits.letter_bytes, or project less"
        identity = f"{self._beginning}{key}"
        text = "a view of %s has %d bytes, %s"
        _log.warning(text, identity, len(data), limit, extra=fields(persistence_id=identity))
        return _UNREADABLE

    async def _note_end(self) -> None:
        try:
            await note_end(self._ledger.backend, Log(self._log.name, self._tip))
        except StoreError as error:
            text = "the end of the feed cannot be noted, so the next life reads from further back: %s"
            _log.warning(text, error, extra=fields(error=error))


class _Batch:
    """Records for one answer."""

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self.records: list[Record] = []
        self.numbers: dict[str, int] = {}
        """The sequence numbers of the views that are there whole."""
        self._left = max_bytes
        self._clock = clock
        self._until = clock.monotonic() + SECONDS

    def add(self, record: Record) -> bool:
        """Add a record, unless it is too much."""
        is_full = record.size > self._left or len(self.records) >= MAX_RECORDS or self._clock.monotonic() > self._until
        if self.records and is_full:
            return False
        self._left -= record.size
        self.records.append(record)
        if record.kind == WHOLE:
            self.numbers[record.key] = record.generation.age
        return True


async def _first(keys: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    """Yield so many of what is left."""
    for _ in range(count):
        try:
            yield await anext(keys)
        except StopAsyncIteration:
            return


def _place(after: bytes | None) -> _Place | None:
    try:
        return None if after is None else _decode(after)
    except msgspec.MsgspecError:
        return None
