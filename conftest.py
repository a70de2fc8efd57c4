"""How all tests are run."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("calm", settings.default, deadline=None)  # whatever else the machine has to do
settings.load_profile("calm")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are processors: many tests wait for other processes and for disks."""
    return (os.cpu_count() or 1) + 1
