"""A reply that is given later than its handler returns."""

from __future__ import annotations

import asyncio
from typing import Any


class Reply:
    """What an actor owes to whoever asked. Where it ends without having replied, the asker gets `ActorStopped`."""

    __slots__ = ("_asker", "_owed")

    def __init__(self, asker: asyncio.Future[Any] | None, owed: set[Reply]) -> None:
        self._asker = asker
        self._owed = owed
        if self.is_awaited:
            owed.add(self)

    @property
    def is_awaited(self) -> bool:
        """True while somebody waits for it: not for a message that was told, nor after a time-out."""
        return self._asker is not None and not self._asker.done()

    def send(self, value: object) -> None:
        """Give the reply. Silent when nobody waits for it, or it was given before."""
        self._owed.discard(self)
        if self._asker is not None and not self._asker.done():
            self._asker.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Have the ask raise an error. Silent when nobody waits for it."""
        self._owed.discard(self)
        if self._asker is not None and not self._asker.done():
            self._asker.set_exception(error)
