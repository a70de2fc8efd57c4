"""Backends that are broken, each in one way, under actors: `test_actor_contract.py` runs this file by itself."""

from __future__ import annotations

from collections.abc import Sequence

import broken

from perdure.abc import Conflict, WriteGroup
from perdure.memory import MemoryBackend
from perdure_testkit import ActorContract


class Broken(broken.OfKind, ActorContract):
    __test__ = False


class TestSound(Broken):
    __test__ = True


class TestForgetful(Broken):
    __test__ = True
    kind = broken.TestForgetful.kind


class TestForking(Broken):
    __test__ = True
    kind = broken.TestForking.kind


class TestNormalising(Broken):
    __test__ = True
    kind = broken.TestNormalising.kind


class TestGoingOn(Broken):
    __test__ = True
    kind = broken.TestGoingOn.kind


class LosesTheLastGroup(MemoryBackend):
    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        written = groups[:-1] if len(groups) > 1 else groups
        return [*await super().commit(written), *[None] * (len(groups) - len(written))]


class TestLosingAGroup(Broken):
    __test__ = True
    kind = LosesTheLastGroup


class TestUnsynced(broken.Unsynced, ActorContract):
    """Says that a commit is durable when it is in a buffer of the process."""
