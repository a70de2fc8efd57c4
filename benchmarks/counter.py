"""The actor that is measured without a store, and its messages."""

from __future__ import annotations

import asyncio
from typing import Any

from perdure.actors import Actor, Context, Message


class Add(Message[int]):
    """Ask for the count, one greater."""

    amount: int = 1


class Tally:
    """Messages that are still to be handled, in all actors together."""

    def __init__(self, expected: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = expected

    def count(self) -> None:
        """Note that one message was handled; the last one sets `done`."""
        self._left -= 1
        if not self._left:
            self.done.set_result(None)


class Mark(Message[None]):
    """Tell an actor to count itself in."""

    tally: Tally


class Counter(Actor):
    def __init__(self) -> None:
        self._count = 0

    async def handle(self, message: Any, context: Context) -> int | None:
        match message:
            case Add(amount):
                self._count += amount
                return self._count
            case Mark(tally):
                tally.count()
        return None
