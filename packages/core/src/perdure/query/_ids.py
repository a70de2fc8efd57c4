"""The persistence ids that have events."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from perdure.journal import EVENTS
from perdure.query._stream import Source, Stream


class IdStream(Stream[str]):
    """The ids that begin with some text: those that are there in their order, and live the new ones as they come.

    Live, it remembers the ids that it has given, for a new one may sort before all others. It finds them in the feed,
    which it reads once from its beginning: ids alone would have to be listed again and again.
    """

    _PAGE: ClassVar[int] = 1000

    def __init__(self, source: Source, beginning: str, after: str, *, live: bool) -> None:
        super().__init__(source, live=live)
        if live and after:
            raise ValueError("a live stream of ids begins with the first one: leave `after` out")
        self._beginning = beginning
        self._after = max(after, beginning)
        self._ready: deque[str] = deque()
        self._given: set[str] = set()
        self._is_listed = False
        self._offset: str | None = None

    async def _read(self) -> bool:
        if not self._is_listed and await self._list():
            return True
        return self._live and await self._look_for_new()

    async def _list(self) -> bool:
        """Read on in the order of the ids. Return whether there was anything."""
        found = await self._source.backend.prefixes(EVENTS, self._after, self._PAGE)
        meant = [persistence_id for persistence_id in found if persistence_id.startswith(self._beginning)]
        self._is_listed = not found or len(meant) < len(found)
        self._after = found[-1] if found else self._after
        self._give(meant)
        return bool(meant)

    async def _look_for_new(self) -> bool:
        """Read on in the order of commits. Return whether there was anything."""
        records, self._offset = await self._source.backend.feed(EVENTS, self._offset, self._PAGE)
        self._give([record.prefix for record in records if record.prefix.startswith(self._beginning)])
        return bool(records)

    def _give(self, found: list[str]) -> None:
        if not self._live:
            self._ready.extend(found)
            return
        for persistence_id in found:
            if persistence_id not in self._given:
                self._given.add(persistence_id)
                self._ready.append(persistence_id)

    def _take(self) -> str | None:
        return self._ready.popleft() if self._ready else None
