"""Where the rules of snapshots get their stores from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, TypeAlias

import pytest

from perdure.snapshots import SnapshotStore
from perdure_testkit._contract._claims import Claiming
from perdure_testkit._contract._material import IDS
from perdure_testkit._contract._stores import overridden

ReopenSnapshots: TypeAlias = Callable[[], Awaitable[SnapshotStore]]
"""Closes the snapshot store and opens it again."""


class SnapshotStores(Claiming):
    """What a test class gives: the fixture `snapshots` and, where data outlive the object, `reopen`."""

    contract = "snapshots"

    ids: ClassVar[Sequence[str]] = IDS
    """The ids that are told apart. Some will do where each call takes milliseconds."""

    turns: ClassVar[int] = 16
    """Turns of the loop after which a call of the store is over, or waits for something outside of the loop."""

    many: ClassVar[int] = 2_000
    """How many other ids the rule about many of them saves for."""

    largest: ClassVar[int] = 16 * 1024 * 1024
    """The size in bytes of the largest record that is tried."""

    patience: ClassVar[float] = 60.0
    """Seconds that something may take which ends at once in a store that works."""

    @overridden
    def snapshots(self) -> SnapshotStore:
        """Return the store of this test, open, new and empty; every class overrides this."""
        return pytest.fail(f"{type(self).__name__} needs in the class a fixture `snapshots`")

    @overridden
    def reopen(self) -> ReopenSnapshots:
        """Return what closes the store and opens it again; a class whose data outlive the object overrides this."""
        return pytest.fail(f"{type(self).__name__} has no fixture `reopen`")


SnapshotStores._given = SnapshotStores
