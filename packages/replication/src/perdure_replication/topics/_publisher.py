"""The owner's side of a topic: fetches that wait, without a clock or a task.

For each reader there is the last fetch that it sent, and nothing else. A fetch is read from the source; if there is
something, that is the answer, and the owner forgets the reader until it fetches again: so a reader sets the pace, and
what changes twice meanwhile is sent once. If there is nothing, the fetch is *parked*, and read again when the source
has more; after the time that it may wait it is answered with its position. Every answer may be lost, for the reader
asks again.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from perdure_replication.topics._source import Page
from perdure_replication.topics._words import Answer, Fetch

MAX_READERS = 4096


class Read(NamedTuple):
    """To be done: read a page for a reader's fetch, and tell `paged`."""

    peer: str
    fetch: Fetch
    after: bytes | None


class Reply(NamedTuple):
    """To be done: send an answer."""

    peer: str
    answer: Answer


class _Waiting:
    __slots__ = ("after", "began", "came", "fetch", "is_read", "is_woken", "until")

    def __init__(self, fetch: Fetch, now: float) -> None:
        self.fetch = fetch
        self.came = now
        self.until = now + fetch.wait / 1000
        self.after = fetch.after
        self.began = False
        """Whether the source has begun anew."""
        self.is_read = True
        """Whether a page is being read."""
        self.is_woken = False
        """Whether there is more since that began."""


class Publisher:
    """The fetches of one topic. What it returns is to be done by the caller, who gives it the time in seconds."""

    def __init__(self, format: int) -> None:
        self.format = format
        self.limited = 0
        """Fetches that were dropped because there are too many readers."""
        self._waiting: dict[str, _Waiting] = {}

    @property
    def due(self) -> float:
        """When `tick` has something to do."""
        return min((each.until for each in self._waiting.values() if not each.is_read), default=inf)

    def fetched(self, peer: str, fetch: Fetch, now: float) -> Read | None:
        """Take a fetch, in place of an earlier one of the same reader."""
        if peer not in self._waiting and len(self._waiting) >= MAX_READERS:
            self.limited += 1
            return None
        self._waiting[peer] = _Waiting(fetch, now)
        return Read(peer, fetch, fetch.after)

    def paged(self, peer: str, fetch: Fetch, page: Page, now: float) -> Read | Reply | None:
        """Take the page that was read for a fetch."""
        waiting = self._waiting.get(peer)
        if waiting is None or waiting.fetch is not fetch:
            return None
        waiting.began |= page.begins
        if page.records or waiting.began or page.filled or (page.at_tip and now >= waiting.until):
            return self._answer(peer, waiting, page, now)
        waiting.after = page.position
        if page.at_tip and not waiting.is_woken:
            waiting.is_read = False
            return None
        return self._read(peer, waiting)

    def failed(self, peer: str, fetch: Fetch) -> None:
        """Forget a fetch whose page could not be read: the reader asks again."""
        waiting = self._waiting.get(peer)
        if waiting is not None and waiting.fetch is fetch:
            del self._waiting[peer]

    def woken(self) -> list[Read]:
        """Read for the parked fetches: the source has more."""
        parked = [(peer, each) for peer, each in self._waiting.items() if not each.is_read]
        for each in self._waiting.values():
            each.is_woken = True
        return [self._read(peer, each) for peer, each in parked]

    def tick(self, now: float) -> list[Reply]:
        """Answer those who have waited long enough that there is nothing new."""
        late = [(peer, each) for peer, each in self._waiting.items() if not each.is_read and each.until <= now]
        return [self._answer(peer, each, Page([], each.after or b"", at_tip=True), now) for peer, each in late]

    def gone(self, peer: str) -> None:
        """Forget a reader."""
        self._waiting.pop(peer, None)

    def _read(self, peer: str, waiting: _Waiting) -> Read:
        waiting.is_read, waiting.is_woken = True, False
        return Read(peer, waiting.fetch, waiting.after)

    def _answer(self, peer: str, waiting: _Waiting, page: Page, now: float) -> Reply:
        del self._waiting[peer]
        fetch = waiting.fetch
        return Reply(
            peer,
            Answer(
                *(fetch.topic, fetch.log, fetch.token, self.format, page.position),
                *(waiting.began, page.filled, page.at_tip, int((now - waiting.came) * 1000), page.records),
            ),
        )
