"""Where the rules of actors get their stores from."""

from __future__ import annotations

import pytest

from perdure.abc import Backend
from perdure_testkit._contract import _actors
from perdure_testkit._contract._stores import Reopen, Stores, overridden


class ActorStores(Stores):
    """What a test class gives: that of `Stores`. Other processes have actors at work."""

    contract = "actors"
    program = _actors.__file__

    @overridden
    def second(self, backend: Backend, request: pytest.FixtureRequest) -> Reopen:
        """Return what gives a second system the store: opened once more, or as it is where that is not claimed."""
        if self._unclaimed("openers") is None:
            another: Reopen = request.getfixturevalue("another")
            return another

        async def same() -> Backend:
            return backend

        return same
