"""The queue of an actor: bounded, first come, first served.

What finds no room is parked in a second queue, in order, and moves up as the actor takes messages out: nobody can
overtake. A parked tell waits; a parked ask waits for its reply anyway. Whoever gives up while parked was never queued.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from perdure.actors._message import Message


class Envelope(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A message under way, and where its reply goes (None: nowhere)."""

    message: Message[Any]
    reply: asyncio.Future[Any] | None

    def fail(self, error: BaseException) -> None:
        if self.reply is not None and not self.reply.done():
            self.reply.set_exception(error)


class Mailbox:
    """Holds at most `capacity` envelopes; the rest is parked."""

    __slots__ = ("_capacity", "_parked", "_queue")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._queue: deque[Envelope] = deque()
        self._parked: deque[tuple[Envelope, asyncio.Future[None]]] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, envelope: Envelope) -> bool:
        """Queue the envelope if there is room and nobody waits for it."""
        if len(self._queue) >= self._capacity or self._parked:
            return False
        self._queue.append(envelope)
        return True

    def park(self, envelope: Envelope) -> asyncio.Future[None]:
        """Have the envelope wait for room; the future is done when it is queued, and cancelling it withdraws it."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._parked is None:
            self._parked = deque()
        self._parked.append((envelope, admitted))
        return admitted

    def take(self) -> Envelope:
        """Remove and return the first envelope, and admit the first that is parked. Raises IndexError when empty."""
        envelope = self._queue.popleft()
        if self._parked:
            self._admit()
        return envelope

    def drain(self) -> Iterator[Envelope]:
        """Take out everything, the parked too."""
        while self._queue:
            yield self.take()

    def _admit(self) -> None:
        while self._parked and len(self._queue) < self._capacity:
            envelope, admitted = self._parked.popleft()
            if admitted.done() or (envelope.reply is not None and envelope.reply.done()):
                continue
            admitted.set_result(None)
            self._queue.append(envelope)
