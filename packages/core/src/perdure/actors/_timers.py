"""Messages that an actor sends itself at a time."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from perdure.actors._message import Message

if TYPE_CHECKING:
    from perdure.actors._cell import Cell
    from perdure.actors._mailbox import Envelope


class ReceiveTimeout(Message[None]):
    """Comes when no message has come for as long as the actor has asked to be told after."""


class ActorTimer:
    """A message to come, once or again and again. It is gone when its actor restarts or stops."""

    __slots__ = ("_cell", "_context", "_every", "_handle", "_message", "_name", "_waiting", "_when")

    def __init__(
        self, cell: Cell, name: object, message: Message[Any], delay: float, every: float | None = None
    ) -> None:
        self._cell = cell
        self._context = copy_context()
        self._every = every
        self._message = message
        self._name = name if name is not None else self
        self._waiting: Envelope | None = None
        clock = cell.system.clock
        self._when = clock.monotonic() + delay
        timers = cell.own().timers
        if (old := timers.get(self._name)) is not None:
            old.cancel()
        timers[self._name] = self
        self._handle = clock.call_at(self._when, self._ring)

    def cancel(self) -> None:
        """Send no more. A message that is in the mailbox already is still handled. May be called again."""
        self._handle.cancel()
        timers = self._cell.own().timers
        if timers.get(self._name) is self:
            del timers[self._name]

    def _ring(self) -> None:
        if self._every is None:
            self.cancel()
        else:
            now = self._cell.system.clock.monotonic()
            missed = max(0, int((now - self._when) / self._every))
            self._when += (missed + 1) * self._every
            self._handle = self._cell.system.clock.call_at(self._when, self._ring)
            if self._waiting is not None and self._cell.holds(self._waiting):
                return  # the actor is behind: one at a time in its mailbox
        self._waiting = self._cell.post_own(self._message, self._context.copy())
