"""The actors in a store, page by page. No log is ever scanned: an index is walked, and last events are looked at."""

from __future__ import annotations

import asyncio
from heapq import merge
from typing import NamedTuple

import msgspec

from perdure.abc import MAX_KEY, check_prefix
from perdure.errors import InvalidIdentifier
from perdure.inspector._records import Event, Records
from perdure.journal import EVENTS
from perdure.persistence._changes import DURABLE

PAGE = 50
_MOST_TYPES = 12
_MOST_STEPS = 24
_MOST_HIDDEN = 500
"""So many hidden names are opened for a page, until enough of them are meant."""


class Actor(msgspec.Struct, frozen=True):
    """An id and the newest of what it has stored."""

    persistence_id: str
    last: int
    """The sequence number of its last event, or the revision of its durable state."""
    is_durable_state: bool
    event: Event | None
    """The last event, without what is in it."""


class Listing(NamedTuple):
    """A page of actors, and behind which stored name to go on; None at the end."""

    actors: list[Actor]
    after: str | None


class Directory:
    """Lists actors by their ids, those with events and those with a durable state."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def page(self, beginning: str = "", after: str = "") -> Listing:
        """Return the actors whose ids begin with some text, from behind a name on, ascending by stored name."""
        whole = await self._records.name_of(beginning) if _is_id(beginning) else ""
        if self._records.vault.hides_names:
            return await self._hidden_page(beginning, whole, after)
        names = await self._names(max(after, beginning), PAGE + 1)
        names = [name for name in names if name.startswith(beginning)]
        if whole and not after and (itself := await self.find(whole)) is not None:
            return Listing([itself, *await self._actors(names[: PAGE - 1])], _rest(names, PAGE - 1))
        return Listing(await self._actors(names[:PAGE]), _rest(names, PAGE))

    async def find(self, name: str) -> Actor | None:
        """Return the actor under a stored name, None where nothing of it is stored."""
        event = await self._records.last_event(name)
        if event is not None:
            return Actor(event.persistence_id, event.sequence_number, False, event)
        page = await self._records.backend.page(DURABLE, name, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
        await self._records.look_up(entry.value for entry in page.entries)
        for revision, record in page.entries:
            return Actor(self._records.identity(DURABLE, name, revision, record), revision, True, None)
        return None

    async def types(self) -> list[str]:
        """Return the first names before a slash in ids, which are those of actor types; each takes one look."""
        await self._records.name_of("")
        if self._records.vault.hides_names:
            return []
        found: list[str] = []
        after = ""
        for _ in range(_MOST_STEPS):
            names = await self._names(after, 1)
            if not names or len(found) == _MOST_TYPES:
                break
            beginning, slash, _ = names[0].partition("/")
            if slash and beginning:
                found.append(beginning)
            after = f"{beginning}0" if slash else names[0]  # "0" is the character behind "/"
        return found

    async def _names(self, after: str, limit: int) -> list[str]:
        """Return the stored names behind another, of both kinds of actors."""
        prefixes = self._records.backend.prefixes
        both = await asyncio.gather(prefixes(EVENTS, after, limit), prefixes(DURABLE, after, limit))
        return list(dict.fromkeys(merge(*both)))[:limit]

    async def _actors(self, names: list[str]) -> list[Actor]:
        found = await asyncio.gather(*map(self.find, names))
        return [actor for actor in found if actor is not None]

    async def _hidden_page(self, beginning: str, whole: str, after: str) -> Listing:
        """Return a page in the order of hidden names, which tells nothing: so ids have to be read from the records."""
        if whole and not after and (itself := await self.find(whole)) is not None:
            return Listing([itself], None)
        names = await self._names(after, _MOST_HIDDEN + 1)
        listed: list[Actor] = []
        for start in range(0, min(len(names), _MOST_HIDDEN), PAGE):
            some = names[start : min(start + PAGE, _MOST_HIDDEN)]
            for name, actor in zip(some, await asyncio.gather(*map(self.find, some)), strict=True):
                if actor is not None and actor.persistence_id.startswith(beginning):
                    listed.append(actor)
                after = name
                if len(listed) == PAGE:
                    break
            if len(listed) == PAGE:
                break
        return Listing(listed, after if names and after != names[-1] else None)


def _is_id(text: str) -> bool:
    try:
        return bool(check_prefix(text))
    except InvalidIdentifier:
        return False


def _rest(names: list[str], shown: int) -> str | None:
    return names[shown - 1] if len(names) > shown else None
