"""The events of one persistence id."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import ClassVar

from perdure.abc import MAX_KEY, Entry, check_prefix
from perdure.errors import CorruptionError, SubjectForgotten
from perdure.journal import EVENTS, consecutive
from perdure.query._stored import StoredEvent, Types, opened
from perdure.query._stream import Source, Stream


class LogStream(Stream[StoredEvent]):
    """The events behind a sequence number, in their order, without a gap."""

    _PAGE: ClassVar[int] = 512
    _PAGE_BYTES: ClassVar[int] = 4 * 1024 * 1024

    def __init__(self, source: Source, types: Types, persistence_id: str, after: int | None, *, live: bool) -> None:
        super().__init__(source, live=live)
        if after is not None and not 0 <= after <= MAX_KEY:
            raise ValueError(f"{persistence_id}: after is a sequence number, 0 for all events, not {after}")
        self._types = types
        self._id = self._name = check_prefix(persistence_id)
        self._number = after or 0
        self._is_anywhere = after is None
        self._entries: Iterator[Entry] = iter(())
        self._ready: deque[StoredEvent] = deque()

    async def _read(self) -> bool:
        vault = self._source.vault
        self._name = vault.stored_name(self._id)
        entries, _ = await self._source.backend.page(
            EVENTS, self._name, self._number + 1, MAX_KEY + 1, limit=self._PAGE, max_bytes=self._PAGE_BYTES
        )
        await vault.look_up(entry.value for entry in entries)
        if self._is_anywhere and entries:
            self._number = entries[0].key - 1
            self._is_anywhere = False
        self._entries = consecutive(self._id, self._number, entries)
        return bool(entries)

    def _take(self) -> StoredEvent | None:
        while not self._ready:
            entry = next(self._entries, None)
            if entry is None:
                return None
            self._open(entry)
        return self._ready.popleft()

    def _open(self, entry: Entry) -> None:
        try:
            stored = opened(self._source.vault, self._name, *entry)
            self._ready.extend(StoredEvent(*stored.facts(), event) for event in self._types.events(stored))
        except (CorruptionError, SubjectForgotten):
            self._entries = iter(())  # so that the next attempt meets it again
            raise
        self._number = entry.key
