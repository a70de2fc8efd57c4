"""Where the logs of a target end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from perdure.abc import Backend
from perdure.transfer._together import together


class Heads:
    """The last keys of a collection, of the names that were met since so many others were.

    Of a collection that began empty nothing is looked up: who was not met has nothing. Once some were forgotten a name
    that is not known is taken to end right before what is to be written: that is wrong only where compaction has left a
    gap, and then the commit says so, and what was refused is written behind the rest of its page.
    """

    _MOST: ClassVar[int] = 65_536

    def __init__(self, target: Backend, collection: str, *, began_empty: bool) -> None:
        self.known: dict[str, int] = {}
        self.began_empty = began_empty
        self._target = target
        self._collection = collection
        self._forgot = False

    @property
    def guesses(self) -> bool:
        """True if what it says of a name may be wrong."""
        return self._forgot and self.began_empty

    async def meet(self, names: Iterable[str]) -> None:
        """Know where these logs end, unless that can be guessed."""
        if len(self.known) > self._MOST:
            self.known.clear()
            self._forgot = True
        if not self.began_empty:
            await self.look_up(set(names) - self.known.keys())

    async def look_up(self, names: Iterable[str]) -> None:
        """Ask the target where these logs end."""
        unknown = list(names)
        lasts = await together(self._target.last(self._collection, name) for name in unknown)
        self.known.update(zip(unknown, lasts, strict=True))

    def before(self, name: str, key: int) -> int:
        """Return where a log ends of which the next entry that is met has this key."""
        head = self.known.get(name)
        if head is None:
            return key - 1 if self._forgot else 0
        return head
