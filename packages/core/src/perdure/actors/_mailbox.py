"""The queue of an actor: bounded, first come, first served.

What finds no room is parked in a second queue, in order, and moves up as the actor takes messages out: nobody can
overtake. A parked tell waits; a parked ask waits for its reply anyway. Whoever gives up while parked was never queued.
What the system itself has to say (a timer, a termination) is never parked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.actors._message import Message

if TYPE_CHECKING:
    from perdure.actors._cell import Cell


class Envelope(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A message under way.

    `reply`: where its reply goes, or None. `sender`: the actor that sent it, or None. `context`: a copy of the sender's
    context variables, in which it is handled. `blocks`: the sender handles nothing until the reply is there. `own`: it
    comes from the actor's own timers, watches or work, so nobody misses it when it is not handled.
    """

    message: Message[Any]
    reply: asyncio.Future[Any] | None
    sender: Cell | None
    context: Context
    blocks: bool = False
    own: bool = False

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

    @property
    def waiting(self) -> int:
        """How many envelopes are queued or parked."""
        return len(self._queue) + (0 if self._parked is None else len(self._parked))

    def __contains__(self, envelope: Envelope) -> bool:
        return envelope in self._queue

    def offer(self, envelope: Envelope) -> bool:
        """Queue the envelope if there is room and nobody waits for it."""
        if len(self._queue) >= self._capacity or self._parked:
            return False
        self._queue.append(envelope)
        return True

    def push(self, envelope: Envelope) -> None:
        """Queue the envelope, whether there is room or not."""
        self._queue.append(envelope)

    def put_first(self, envelopes: Iterable[Envelope]) -> None:
        """Queue envelopes before all others, in their order, whether there is room or not."""
        self._queue.extendleft(reversed(list(envelopes)))

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
