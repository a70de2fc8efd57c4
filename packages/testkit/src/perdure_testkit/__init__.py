"""Test helpers for perdure: probes, expectations, a virtual clock, stores that fail, contracts of stores as tests."""

import pytest

pytest.register_assert_rewrite("perdure_testkit._contract")  # before its import, so that failures show their values

from perdure_testkit._clock import VirtualClock  # noqa: E402
from perdure_testkit._contract import (  # noqa: E402
    ActorContract,
    BackendContract,
    Raw,
    Reopen,
    ReopenSnapshots,
    SealingContract,
    SnapshotContract,
)
from perdure_testkit._expectations import expect_dead_letters, expect_events, expect_published  # noqa: E402
from perdure_testkit._faults import Injected, Operation, every_nth  # noqa: E402
from perdure_testkit._faulty import FaultyBackend  # noqa: E402
from perdure_testkit._golden import check_golden  # noqa: E402
from perdure_testkit._jumping import Stalled  # noqa: E402
from perdure_testkit._probe import Probe  # noqa: E402
from perdure_testkit._rotation import check_rotation  # noqa: E402
from perdure_testkit._round_trip import check_events, events_of  # noqa: E402
from perdure_testkit._scenario import Asked, Outcome, Scenario  # noqa: E402
from perdure_testkit._stored import check_stored  # noqa: E402

__all__ = [
    "ActorContract",
    "Asked",
    "BackendContract",
    "FaultyBackend",
    "Injected",
    "Operation",
    "Outcome",
    "Probe",
    "Raw",
    "Reopen",
    "ReopenSnapshots",
    "Scenario",
    "SealingContract",
    "SnapshotContract",
    "Stalled",
    "VirtualClock",
    "check_events",
    "check_golden",
    "check_rotation",
    "check_stored",
    "events_of",
    "every_nth",
    "expect_dead_letters",
    "expect_events",
    "expect_published",
]
