"""Merged values on nodes that die, on a network that loses and parts, by a seed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from perdure_replication import Settings
from perdure_replication.merge import MergedState
from perdure_replication.testing import InMemoryPersistence, Network

from .acts import Tallies
from .cluster import Cluster

NAMES = "abc"
QUIET = 2 * (MergedState.relay_after + Settings().digest_interval)


def bad(seed: int) -> Network:
    """Return a network that delays, doubles, damages and reorders what it is given."""
    return Network(seed, delay=(0.01, 1.0), duplicates=0.1, corruption=0.1, reorders=True, tick=0.1)


class Story:
    """Random writes and faults, and what they amount to."""

    def __init__(self, cluster: Cluster, seed: int, stores: dict[str, InMemoryPersistence] | None) -> None:
        self.total = 0
        self.there: set[int] = set()
        self._cluster = cluster
        self._random = Random(seed)
        self._stores = stores
        self._tags = 0

    async def go_on(self) -> None:
        """Let one thing happen."""
        things = [self._add, self._remove, self._die, self._open, self._part, self._wait]
        [act] = self._random.choices(things, weights=[6, 2, 1, 2, 1, 1])
        await act()

    async def end(self) -> None:
        """Let the network be whole and all nodes be there, and wait."""
        self._cluster.part()
        self._cluster.heal()
        for name in NAMES:
            if name not in self._cluster.merged:
                await self._cluster.open(name, self._stores)
        await self._cluster.advance(QUIET)

    async def _add(self) -> None:
        self._tags += 1
        amount, tag = self._random.randint(-5, 9), self._tags

        def change(tally: Any) -> None:
            tally.total.add(amount)
            tally.tags.add(tag)

        for name in self._one():
            await self._cluster.do(name, change)
            self.total += amount
            self.there.add(tag)

    async def _remove(self) -> None:
        for name in self._one():
            for tag in self._random.sample(seen := sorted(self._cluster[name].value.tags), min(1, len(seen))):
                await self._cluster.do(name, lambda tally, tag=tag: tally.tags.remove(tag))
                self.there.discard(tag)

    async def _die(self) -> None:
        for name in self._one():
            await self._cluster.die(name)

    async def _open(self) -> None:
        for name in sorted(set(NAMES) - self._cluster.merged.keys()):
            await self._cluster.open(name, self._stores)

    async def _part(self) -> None:
        self._cluster.part(*self._random.choice([["a", "bc"], ["ab", "c"], ["a", "b", "c"], []]))

    async def _wait(self) -> None:
        await self._cluster.advance(self._random.uniform(0, 10))

    def _one(self) -> list[str]:
        """Return one of the nodes that are there, or none."""
        return self._random.sample(sorted(self._cluster.merged), min(1, len(self._cluster.merged)))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("is_bad", [False, True], ids=["losses", "a bad network"])
async def test_with_stores_every_write_counts_once(seed: int, is_bad: bool) -> None:
    """What was acknowledged is there, and what was removed is not, on all nodes; then there is rest."""
    stores = {name: InMemoryPersistence(name) for name in NAMES}
    async with Cluster(Tallies, loss=0.2, seed=seed, network=bad(seed) if is_bad else None) as cluster:
        story = Story(cluster, seed, stores)
        await cluster.open(NAMES, stores)
        for _ in range(30):
            await story.go_on()

        await story.end()

        assert [(int(tally.total), set(tally.tags)) for tally in cluster.values()] == [(story.total, story.there)] * 3
        assert all(replica.metrics().ranges == replica.metrics().writers for replica in cluster.merged.values())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("is_bad", [False, True], ids=["losses", "a bad network"])
async def test_without_stores_all_agree_on_what_anybody_knows(seed: int, is_bad: bool) -> None:
    """What died with its only witness is gone; nothing else, and nothing is counted twice."""
    async with Cluster(Tallies, loss=0.2, seed=seed, network=bad(seed) if is_bad else None) as cluster:
        story = Story(cluster, seed, None)
        await cluster.open(NAMES)
        for _ in range(60):
            await story.go_on()
        known = set().union(*(replica.value.tags for replica in cluster.merged.values()))

        await story.end()

        values = cluster.values()
        assert values[0] == values[1] == values[2]
        assert known & story.there <= values[0].tags
