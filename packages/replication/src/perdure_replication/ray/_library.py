"""PyPI's `ray`, imported when it is first needed."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import Any

from perdure_replication.errors import RayMissing


@cache
def library() -> Any:
    """Return the module `ray`. Raises `RayMissing`."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns when a host takes no GPU
    try:
        return import_module("ray")
    except ImportError as error:
        raise RayMissing(str(error)) from error
