"""What log records carry beside their texts."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

import pytest

import perdure_replication
from perdure_replication.testing import FailingPersistence, TestRuntime, TestState, Value

SOURCES = Path(inspect.getfile(perdure_replication)).parent
PAGE = Path(__file__).parents[3] / "docs" / "observability.md"


def carried(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a record that are ours."""
    return {name: value for name, value in vars(record).items() if name.startswith("perdure.") or name == "error.type"}


async def test_a_state_that_falls_back_names_cluster_node_state_and_error(caplog: pytest.LogCaptureFixture) -> None:
    async with TestRuntime(TestState) as runtime:
        with caplog.at_level(logging.WARNING, "perdure.replication"):
            await runtime.start("a", persistence=FailingPersistence(OSError("unreadable")))

    assert [carried(record) for record in caplog.records] == [
        {
            "perdure.cluster": "perdure",
            "perdure.node": "a",
            "perdure.state": "test_state",
            "error.type": "OSError",
        }
    ]


async def test_what_is_taken_over_names_its_peer(caplog: pytest.LogCaptureFixture) -> None:
    async with TestRuntime(TestState) as runtime:
        a, _ = [await runtime.start(name) for name in "ab"]
        with caplog.at_level(logging.DEBUG, "perdure.replication"):
            await a.replica(TestState).mutate(lambda _: Value(1))
            await runtime.settle()

    own = {"perdure.cluster": "perdure", "perdure.node": "a", "perdure.state": "test_state"}
    assert [carried(record) for record in caplog.records] == [own, {**own, "perdure.node": "b", "perdure.peer": "a"}]
