"""Test helpers for perdure: the storage contract as a test class, a clock to turn by hand, stores that fail."""

import pytest

pytest.register_assert_rewrite("perdure_testkit._contract")  # before its import, so that failures show their values

from perdure_testkit._clock import VirtualClock  # noqa: E402
from perdure_testkit._contract import BackendContract, Reopen  # noqa: E402
from perdure_testkit._faulty import FaultyBackend, Operation  # noqa: E402

__all__ = ["BackendContract", "FaultyBackend", "Operation", "Reopen", "VirtualClock"]
