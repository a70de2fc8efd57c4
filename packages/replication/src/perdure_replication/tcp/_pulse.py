"""The time of a transport: a beat now and then, that knows when it is late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure import Clock


class Pulse:
    """Beats twice in a heartbeat.

    Time in which this process stood still is nobody's fault; but each beat counts for something, so that a process
    which is always late finds out as well.
    """

    def __init__(self, clock: Clock, heartbeat: float, beat: Callable[[float, float], None]) -> None:
        """Call `beat` with the time, and with the seconds in which this process did not run."""
        self._clock = clock
        self._heartbeat = heartbeat
        self._beat = beat
        self._due = 0.0
        self._timer: Any = None

    def begin(self) -> None:
        self._due = self._clock.monotonic() + self._heartbeat / 2
        self._timer = self._clock.call_at(self._due, self._go)

    def end(self) -> None:
        """Beat no more. May be called again."""
        if self._timer is not None:
            self._timer.cancel()

    def _go(self) -> None:
        now = self._clock.monotonic()
        self._beat(now, max(0.0, now - self._due - self._heartbeat))
        self.begin()
