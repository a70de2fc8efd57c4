"""Why connections ended, counted and logged."""

from __future__ import annotations

import logging

from perdure import Clock
from perdure_replication._fields import fields
from perdure_replication.tcp._identity import Identity
from perdure_replication.tcp._metrics import TcpMetrics
from perdure_replication.tcp._refused import Refused

_log = logging.getLogger("perdure.replication.tcp")

_PAUSE = 1.0
"""Seconds between two lines for one reason: who knocks all the time fills no disk."""
_HARMLESS = ("broken", "unreachable", "itself")


class Complaints:
    """The log of one node."""

    def __init__(self, identity: Identity, metrics: TcpMetrics, clock: Clock) -> None:
        self._identity = identity
        self._metrics = metrics
        self._clock = clock
        self._logged: dict[str, float] = {}

    def take(self, refused: Refused, place: str) -> None:
        """Count why a connection to a place ended, and log it, not too often."""
        counts = self._metrics.refused
        counts[refused.reason] = counts.get(refused.reason, 0) + 1
        now = self._clock.monotonic()
        if now - self._logged.get(refused.reason, -_PAUSE) >= _PAUSE:
            self._logged[refused.reason] = now
            level = logging.INFO if refused.reason in _HARMLESS else logging.WARNING
            named = fields(cluster=self._identity.cluster, node=self._identity.name, reason=refused.reason)
            _log.log(level, "%s: %s: %s: %s", self._identity.name, place, refused.reason, refused.text, extra=named)
