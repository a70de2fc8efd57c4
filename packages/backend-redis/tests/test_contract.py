"""The storage contract, kept by one server, and by a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from perdure_testkit import BackendContract


class TestStandalone(BackendContract):
    @pytest.fixture
    def url(self, server: Any) -> str:
        return f"{server.url}?timeout=30"


class TestCluster(BackendContract):
    """`test_slices.py` says what several slices keep in place of one order over all prefixes."""

    lacks = {"prefixes_together": "a slice of a cluster has its own order, and a group stays in one"}  # noqa: RUF012

    @pytest.fixture
    def url(self, cluster: Any) -> str:
        return f"{cluster.url}?timeout=30&replicas=0"


class TestClusterInOneSlice(BackendContract):
    """In one slice a cluster keeps one order over all prefixes too, and groups over several."""

    @pytest.fixture
    def url(self, cluster: Any) -> str:
        return f"{cluster.url}?timeout=30&replicas=0&slices=1"


ORDER_WITHIN_ONE_COMMIT = {
    "test_records_hold_prefix_key_and_value",
    "test_the_feed_has_every_prefix",
    "test_the_feed_skips_nothing_under_concurrent_writers",
    "test_what_was_deleted_stays_deleted",
}
"""Rules that need one slice too: they look at the order of prefixes that were written together."""

AS_ON_ONE_SERVER = {
    "test_a_commit_that_fails_writes_nothing",
    "test_a_new_value_of_the_greatest_size_is_kept",
    "test_a_new_value_over_the_limit_is_refused",
    "test_a_slow_reader_holds_no_writer_up",
    "test_a_value_of_the_greatest_size_is_kept",
    "test_a_value_over_the_limit_is_refused",
    "test_it_does_what_the_model_does_over_openings",
    "test_thousands_of_calls_at_once_all_end",
}
"""Rules that take long, and whose ways a cluster shares with one server."""

for name in [name for name in dir(BackendContract) if name.startswith("test_")]:
    if name in AS_ON_ONE_SERVER:
        setattr(TestCluster, name, None)
        setattr(TestClusterInOneSlice, name, None)
    elif name in ORDER_WITHIN_ONE_COMMIT:
        setattr(TestCluster, name, None)
    elif "prefixes_together" not in getattr(getattr(BackendContract, name), "perdure_needs", ()):
        setattr(TestClusterInOneSlice, name, None)  # `TestCluster` has it already
