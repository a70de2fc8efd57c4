"""Where the records of a topic come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from perdure_replication.topics._interest import Interest
from perdure_replication.topics._words import Record


class Page(msgspec.Struct, frozen=True):
    """Some records of an interest, and the position behind them."""

    records: list[Record]
    position: bytes
    at_tip: bool
    """Whether there was nothing more."""
    begins: bool = False
    """Whether it is the first page of all there is, because nothing is known behind the position that was given."""
    filled: bool = False
    """Whether it is the last page of all there is: keys that no page has named are not there."""


class Source(Protocol):
    """Keyed records in an order of their own, which positions mark. Keys that changed again come once, at the latest.

    A position is opaque and of this source's log: every source of the same log reads it. Records behind a position are
    all changes since; without one, all there is, page by page.
    """

    format: int
    """The version of the records' data."""

    async def page(self, interest: Interest, after: bytes | None, max_bytes: int) -> Page:
        """Return the next records behind a position, of about so many bytes, though one at least if there is any.

        A position that is not known any more, or damaged, is as none. Whatever is raised lets the reader ask again.
        """

    def look(self) -> None:
        """Learn that something was added elsewhere."""

    def attend(self, wake: Callable[[], None]) -> None:
        """Call `wake()` whenever there is more, from now on."""
