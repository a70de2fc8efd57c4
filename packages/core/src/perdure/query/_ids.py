"""The persistence ids that have events, or a durable state."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import ClassVar

from perdure.abc import MAX_KEY
from perdure.errors import SubjectForgotten
from perdure.journal import EVENTS
from perdure.query._stored import opened
from perdure.query._stream import Source, Stream


class IdStream(Stream[str]):
    """The ids that begin with some text: those that are there in their order, and live the new ones as they come.

    Live, it remembers the ids that it has given, for a new one may sort before all others. It finds them in the feed,
    which it reads once from its beginning: ids alone would have to be listed again and again.
    """

    _PAGE: ClassVar[int] = 1000

    def __init__(self, source: Source, beginning: str, after: str, *, live: bool, collection: str = EVENTS) -> None:
        super().__init__(source, live=live)
        self._collection = collection
        if live and after:
            raise ValueError("a live stream of ids begins with the first one: leave `after` out")
        self._beginning = beginning
        self._after = max(after, beginning)
        self._name_after = ""
        self._is_first = not after
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
        if self._source.vault.hides_names:
            return await self._list_hidden()
        found = await self._source.backend.prefixes(self._collection, self._after, self._PAGE)
        meant = [persistence_id for persistence_id in found if persistence_id.startswith(self._beginning)]
        self._is_listed = not found or len(meant) < len(found)
        self._after = found[-1] if found else self._after
        self._give(meant)
        return bool(meant)

    async def _list_hidden(self) -> bool:
        """Give the ids behind stored names, whose order tells nothing. Return whether there was anything."""
        if not self._is_first:
            raise ValueError("the store hides names, so ids have no order: leave `after` out")
        found = await self._source.backend.prefixes(self._collection, self._name_after, self._PAGE)
        self._is_listed = not found
        self._name_after = found[-1] if found else ""
        self._give([identity for name in found if (identity := await self._identity(name)) is not None])
        return bool(found)

    async def _identity(self, name: str) -> str | None:
        """Return the id behind a stored name, None where it is not meant, or can be read no more."""
        page = await self._source.backend.page(
            self._collection, name, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True
        )
        await self._source.vault.look_up(entry.value for entry in page.entries)
        for entry in page.entries:
            with suppress(SubjectForgotten):
                identity = opened(self._source.vault, name, *entry, collection=self._collection).persistence_id
                return identity if identity.startswith(self._beginning) else None
        return None

    async def _look_for_new(self) -> bool:
        """Read on in the order of commits. Return whether there was anything."""
        records, self._offset = await self._source.backend.feed(self._collection, self._offset, self._PAGE)
        if self._source.vault.hides_names:
            names = dict.fromkeys(record.prefix for record in records)
            self._give([identity for name in names if (identity := await self._identity(name)) is not None])
        else:
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
