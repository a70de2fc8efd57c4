"""The runtimes keep the contract of runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from perdure_replication.runtime import LocalRef, NewRuntime, PerdureRuntime
from perdure_replication.runtime._own import PerdureRef
from perdure_replication.runtime._pykka import PykkaRef, PykkaRuntime
from perdure_replication.testing import ActorRuntimeContract


class TestPerdureRuntime(ActorRuntimeContract):
    """That of perdure's own actors."""

    importable = "perdure_replication.runtime:PerdureRuntime"

    @pytest.fixture
    def new_runtime(self) -> NewRuntime:
        return PerdureRuntime

    async def kill(self, ref: LocalRef[Any]) -> None:
        assert isinstance(ref, PerdureRef)
        await ref.actor.stop()


class TestPykkaRuntime(ActorRuntimeContract):
    """That of Pykka's actors."""

    importable = "perdure_replication.runtime._pykka:PykkaRuntime"

    @pytest.fixture
    def new_runtime(self) -> NewRuntime:
        return PykkaRuntime

    async def kill(self, ref: LocalRef[Any]) -> None:
        assert isinstance(ref, PykkaRef)
        ref.actor.stop(block=False)
