"""What is being stored, as it comes. A record that cannot be read is told like any other, and passed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from perdure._fields import fields
from perdure.abc import FeedRecord
from perdure.errors import StoreError
from perdure.inspector._records import Event, Records
from perdure.journal import EVENTS

_PAGE = 200
_PAUSE = 5.0

_log = logging.getLogger("perdure.inspector")


class News(NamedTuple):
    """Events in the order of their commits, and the offset behind them. None came where there are none."""

    events: list[Event]
    offset: str


class Tail:
    """Follows all logs. Looks for what is new every `poll` seconds, until `closing` is set."""

    def __init__(self, records: Records, poll: float, closing: asyncio.Event) -> None:
        self._records = records
        self._poll = poll
        self._closing = closing
        self._end: str | None = None

    async def follow(self, after: str | None = None) -> AsyncIterator[News]:
        """Yield what comes behind an offset, or behind all that is there; and now and then that nothing came.

        Nothing is behind an offset that is none of this store: it begins at the end.
        """
        offset = after or await self._find_end()
        while not self._closing.is_set():
            try:
                records, offset = await self._records.backend.feed(EVENTS, offset, _PAGE)
            except ValueError:
                records, offset = [], await self._find_end()
            except StoreError as error:
                _log.warning("the store cannot be read: %s", error, extra=fields(error=error))
                await self._pause(_PAUSE)
                continue
            yield News(await self._opened(records), offset)
            if not records:
                await self._pause(self._poll)

    async def heads(self, name: str, last: int) -> AsyncIterator[int]:
        """Yield the last sequence number of a log whenever it has grown, and 0 now and then when it has not."""
        while not self._closing.is_set():
            try:
                now = await self._records.backend.last(EVENTS, name)
            except StoreError as error:
                _log.warning("the store cannot be read: %s", error, extra=fields(error=error))
                await self._pause(_PAUSE)
                continue
            yield now if now > last else 0
            last = max(last, now)
            await self._pause(self._poll)

    async def _find_end(self) -> str:
        """Return an offset behind all that is there. No index knows it, so the first time the whole feed is read."""
        while (page := await self._records.backend.feed(EVENTS, self._end)).records:
            self._end = page.offset
        return page.offset

    async def _pause(self, seconds: float) -> None:
        """Return after so many seconds, or when all is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _opened(self, records: list[FeedRecord]) -> list[Event]:
        await self._records.name_of("")
        await self._records.look_up(record.value for record in records)
        return [self._records.event(*record) for record in records]
