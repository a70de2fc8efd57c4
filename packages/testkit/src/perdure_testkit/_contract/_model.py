"""Every backend does what the reference backend does, whatever is done to it.

Hypothesis makes up histories and, when one fails, the shortest that does. Each takes collections and states of names
that no other has had, so that one store serves all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.abc import (
    MAX_KEY,
    Backend,
    Delete,
    DeleteRange,
    DeleteState,
    Expectation,
    LastKey,
    Purge,
    PurgeState,
    Put,
    PutState,
    Replace,
    StateVersion,
    Write,
    WriteGroup,
)
from perdure.memory import MemoryBackend
from perdure_testkit._contract._claims import Claim, needs

_PREFIXES = ("a", "a.b", "A", "é", "e\u0301")
_NAMES = ("one", "other")

_prefix = st.sampled_from(_PREFIXES)
_name = st.sampled_from(_NAMES)
_key = st.one_of(st.integers(1, 9), st.sampled_from([2**31, 2**53 + 1, MAX_KEY]))
_value = st.binary(max_size=5)
_seldom = st.sampled_from([0, 0, 0, 0, 1, 5])

_made_up = settings(
    max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


def _writes(prefix: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Write, ...]]:
    write = st.one_of(
        st.builds(Put, _name, prefix, _key, _value),
        st.builds(Replace, _name, prefix, _key, _value),
        st.builds(PutState, _name, prefix, _value),
        st.builds(Delete, _name, prefix, _key),
        st.builds(DeleteRange, _name, prefix, _key, _key),
        st.builds(Purge, _name, prefix),
        st.builds(DeleteState, _name, prefix),
        st.builds(PurgeState, _name, prefix),
    )
    return st.lists(write, max_size=4).map(tuple)


class ModelRules:
    lacks: ClassVar[Mapping[Claim, str]]
    _histories: ClassVar[Iterator[int]] = itertools.count()

    @_made_up
    @given(data=st.data())
    async def test_it_does_what_the_model_does(self, backend: Backend, data: st.DataObject) -> None:
        """After any history of commits all that can be read is what the reference backend has (ORL-21)."""
        model, number = MemoryBackend(), next(self._histories)
        for _ in range(data.draw(st.integers(1, 12), "length")):
            await self._commit(backend, model, number, data)

    @needs("reopening")
    @settings(_made_up, max_examples=8)
    @given(data=st.data())
    async def test_it_does_what_the_model_does_over_openings(
        self, backend: Backend, reopen: Callable[[], Awaitable[Backend]], data: st.DataObject
    ) -> None:
        """After any history of commits and openings all that can be read is what the model has (ORL-21, GAP-11)."""
        await backend.close()
        backend = await reopen()
        model, number = MemoryBackend(), next(self._histories)
        for _ in range(data.draw(st.integers(1, 3), "openings")):
            for _ in range(data.draw(st.integers(1, 4), "length")):
                await self._commit(backend, model, number, data)
            await backend.close()
            backend = await reopen()
            assert await self._all_of(backend, number) == await self._all_of(model, number)

    async def _commit(self, backend: Backend, model: MemoryBackend, number: int, data: st.DataObject) -> None:
        groups = [await self._group(model, number, data) for _ in range(data.draw(st.integers(1, 4), "groups"))]

        assert list(await backend.commit(groups)) == await model.commit(groups)
        assert await self._all_of(backend, number) == await self._all_of(model, number)

    async def _group(self, model: MemoryBackend, number: int, data: st.DataObject) -> WriteGroup:
        """Return a group whose expectations mostly hold, if they are not changed by a group before it."""
        prefix = st.just(data.draw(_prefix, "prefix")) if "prefixes_together" in self.lacks else _prefix
        expectations: list[Expectation] = []
        for _ in range(data.draw(st.integers(0, 2), "expectations")):
            name, where, off = f"{data.draw(_name)}{number}", data.draw(prefix), data.draw(_seldom)
            if data.draw(st.booleans()):
                expectations.append(LastKey(name, where, min(await model.last(name, where) + off, MAX_KEY)))
            else:
                expectations.append(StateVersion(name, where, (await model.read_state(name, where))[0] + off))
        writes = tuple(_moved(write, number) for write in data.draw(_writes(prefix), "writes"))
        return WriteGroup(writes, tuple(expectations))

    async def _all_of(self, backend: Backend, number: int) -> Any:
        """Return all that can be read, save offsets, which are each backend's own."""
        names = [f"{name}{number}" for name in _NAMES]
        places = [(name, prefix) for name in names for prefix in _PREFIXES]
        feeds = [] if "feed" in self.lacks else [(await backend.feed(name)).records for name in names]
        if "prefixes_together" in self.lacks:
            feeds = [sorted(records) for records in feeds]
        return (
            [await backend.prefixes(name) for name in names],
            feeds,
            [await backend.page(*place, 1, MAX_KEY + 1, limit=100, max_bytes=1 << 20) for place in places],
            [await backend.last(*place) for place in places],
            [await backend.read_state(*place) for place in places],
        )


def _moved(write: Any, number: int) -> Any:
    """Return the write in the collections and states of this history."""
    field = "state" if hasattr(write, "state") else "collection"
    return msgspec.structs.replace(write, **{field: f"{getattr(write, field)}{number}"})
