"""How much is done in one turn of the event loop, before it looks after others; and who has to know of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

STRETCH: Final = 32
"""Turns of actors that begin, and writers that are told of their commit, in a row.

There are as many of the one as of the other, so that what is under way neither grows nor shrinks much between two looks
of the loop. Where more turns begin, as with 64, their objects come and go by enough to have the collector run again and
again: at 10,000 actors that took a third of the time.
"""

LONG: Final = 0.005
"""Seconds after which no other stretch follows in the same turn of the loop."""

_FEW = 128


def stretches(under_way: int) -> int:
    """Return how many stretches may follow each other at once, where so many turns or groups are under way.

    A few go all together: beside a loop that others keep busy, each of its turns costs as long as theirs take.
    """
    return _FEW // STRETCH if under_way <= _FEW else 1


class Stretches(Protocol):
    """Whoever has actors take their turns, for one who writes what they persist."""

    def at_end(self, callback: Callable[[], object], /) -> object:
        """Call back when the present stretch of turns is over; soon, if there is none."""

    def expect(self) -> object:
        """Look for ready actors in the loop's next turn, behind those who were just answered, and may ask again."""


class NoStretches:
    """What a writer has where there are no actors."""

    def __init__(self) -> None:
        self.at_end = asyncio.get_running_loop().call_soon

    def expect(self) -> None:
        """Expect nothing."""
