"""Every backend does what the reference backend does."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import pytest

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

_COLLECTIONS = ("events", "snapshots")
_STATES = ("states", "offsets")
_PREFIXES = ("a", "a.b", "B")


class ReferenceRules:
    lacks: ClassVar[Mapping[Claim, str]]

    @pytest.mark.parametrize("seed", range(6))
    @needs("prefixes_together")
    async def test_it_does_what_the_reference_does(self, backend: Backend, seed: int) -> None:
        """After any sequence of commits the outcomes and all that can be read are those of the reference backend.

        (ORL-21)
        """
        reference = MemoryBackend()
        random = Random(seed)

        for _ in range(60):
            groups = [await _group(random, reference) for _ in range(random.choice((1, 1, 2, 5, 20)))]

            assert list(await backend.commit(groups)) == await reference.commit(groups), groups
            assert await self._contents(backend) == await self._contents(reference), groups

    async def _contents(self, backend: Backend) -> Any:
        """Return all that can be read, save offsets, which are each backend's own."""
        feeds = (
            [] if "feed" in self.lacks else [(await backend.feed(collection)).records for collection in _COLLECTIONS]
        )
        return (
            [await backend.prefixes(collection) for collection in _COLLECTIONS],
            feeds,
            [
                (await backend.last(collection, prefix), await _all_entries(backend, collection, prefix))
                for collection in _COLLECTIONS
                for prefix in _PREFIXES
            ],
            [await backend.read_state(state, prefix) for state in _STATES for prefix in _PREFIXES],
        )


async def _group(random: Random, reference: MemoryBackend) -> WriteGroup:
    """Return a group whose expectations mostly hold; every other one appends, as journals do."""
    expectations = [await _expectation(random, reference) for _ in range(random.choice((0, 1, 1, 2)))]
    if random.random() < 0.5:
        return WriteGroup(tuple(await _appends(random, reference)), tuple(expectations))
    return WriteGroup(tuple(_write(random) for _ in range(random.randint(0, 4))), tuple(expectations))


async def _expectation(random: Random, reference: MemoryBackend) -> Expectation:
    prefix, off = random.choice(_PREFIXES), random.choice((0, 0, 0, 0, 1))
    if random.random() < 0.6:
        collection = random.choice(_COLLECTIONS)
        return LastKey(collection, prefix, await reference.last(collection, prefix) + off)
    state = random.choice(_STATES)
    return StateVersion(state, prefix, (await reference.read_state(state, prefix))[0] + off)


async def _appends(random: Random, reference: MemoryBackend) -> list[Write]:
    collection, prefix = random.choice(_COLLECTIONS), random.choice(_PREFIXES)
    last = await reference.last(collection, prefix)
    writes: list[Write] = [
        Put(collection, prefix, last + number, random.randbytes(random.randint(0, 9)))
        for number in range(1, random.randint(2, 4))
    ]
    if random.random() < 0.3:
        writes.append(PutState(random.choice(_STATES), prefix, random.randbytes(3)))
    if random.random() < 0.2:
        writes.append(DeleteRange(collection, prefix, 1, random.randint(1, last + 1)))
    for _ in range(random.choice((0, 0, 0, 1, 3))):
        replace = Replace(collection, prefix, random.randint(1, last + 4), random.randbytes(random.randint(0, 9)))
        writes.insert(random.randint(0, len(writes)), replace)
    return writes


def _write(random: Random) -> Write:
    collection, state, prefix = random.choice(_COLLECTIONS), random.choice(_STATES), random.choice(_PREFIXES)
    key, value = random.randint(1, 12), random.randbytes(random.randint(0, 9))
    kinds: list[Write] = [
        Put(collection, prefix, key, value),
        Replace(collection, prefix, key, value),
        Delete(collection, prefix, key),
        DeleteRange(collection, prefix, key, random.randint(1, 14)),
        Purge(collection, prefix),
        PutState(state, prefix, value),
        DeleteState(state, prefix),
        PurgeState(state, prefix),
    ]
    return random.choices(kinds, weights=(8, 5, 3, 3, 1, 4, 2, 1))[0]


async def _all_entries(backend: Backend, collection: str, prefix: str) -> list[tuple[int, bytes]]:
    page = await backend.page(collection, prefix, 1, MAX_KEY + 1, limit=10_000, max_bytes=1 << 30)
    return [(entry.key, entry.value) for entry in page.entries]
