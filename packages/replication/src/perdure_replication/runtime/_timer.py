"""Messages that come at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from perdure import Clock
from perdure.errors import ActorStopped, MailboxFull
from perdure_replication.runtime._bridge import Bridge
from perdure_replication.runtime._metrics import RuntimeMetrics
from perdure_replication.runtime._ref import LocalRef

_AGAIN = 0.05
"""Seconds after which a message that comes once, and found no room, is sent again."""


class Timed(msgspec.Struct, frozen=True, eq=False):
    """A message of a timer, which asks the timer when its turn comes."""

    timer: TimerHandle
    message: object


class TimerHandle:
    """A message to come, once or again and again."""

    def __init__(self, ref: LocalRef[Any], message: object, delay: float, every: float | None) -> None:
        self._ref = ref
        self._timed = Timed(self, message)
        self._delay = delay
        self._every = every
        self._lock = threading.Lock()
        self._cancelled = False
        self._waits = False
        self._timer: Any = None  # what `Clock.call_at` returns

    def begin(
        self, clock: Clock, bridge: Bridge, metrics: RuntimeMetrics, forget: Callable[[TimerHandle], None]
    ) -> None:
        """Let time pass. Called once, by the runtime, in the event loop."""
        self._clock, self._bridge, self._metrics, self._forget = clock, bridge, metrics, forget
        self._when = clock.monotonic() + self._delay
        self._timer = clock.call_at(self._when, self._ring)

    def cancel(self) -> None:
        """Send no more: once it has returned no message of this timer is begun, not even one in the mailbox.

        May be called again, after the end too, and from any thread.
        """
        with self._lock:
            self._cancelled = True
        self._bridge.soon(self._end)

    def take(self) -> bool:
        """Tell whether a message of this timer may be handled, now that it is its turn."""
        with self._lock:
            self._waits = False
            return not self._cancelled

    def _ring(self) -> None:
        if self._every is None:
            return self._once()
        self._when += self._every * (1 + max(0, int((self._clock.monotonic() - self._when) / self._every)))
        self._timer = self._clock.call_at(self._when, self._ring)
        if not self._waits:
            self._try()

    def _once(self) -> None:
        if self._try():
            self._forget(self)
        elif not self._cancelled:
            self._timer = self._clock.call_at(self._clock.monotonic() + _AGAIN, self._ring)

    def _try(self) -> bool:
        """Send the message if there is room; an actor that is over ends the timer."""
        self._waits = True
        try:
            self._ref.send(self._timed)
        except MailboxFull:
            self._waits = False
            self._metrics.full += 1
            return False
        except ActorStopped:
            self.cancel()
            return False
        return True

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._forget(self)
