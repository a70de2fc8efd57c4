"""PyPI's `ray`: an actor is a process, and its messages cross a socket. Measured where it is installed."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import Any

from benchmarks.window import Window

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

_ray: Any = import_module("ray")  # by name: it is in no environment, so no checker knows it


class Counter:
    def __init__(self) -> None:
        self._count = 0

    def add(self, amount: int) -> int:
        self._count += amount
        return self._count


class Ray:
    """One actor in a cluster of its own on this machine, until it is closed."""

    def __init__(self) -> None:
        _ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        self._actor = _ray.remote(Counter).remote()

    def asks(self, in_flight: int) -> Window[Any]:
        """Return the measure of asks to the actor."""
        return Window(in_flight, lambda: self._actor.add.remote(1), _ray.get)

    def close(self) -> None:
        _ray.shutdown()
