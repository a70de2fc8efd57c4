"""Keyed states of nodes that die, on a network that loses, delays, doubles, damages, reorders and parts, by a seed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from perdure_replication import Generation, KeyedState
from perdure_replication.testing import InMemoryPersistence, Network, TestRuntime

OWNERS = "ab"
WATCHERS = "yz"
KEYS = ["x", "x/1", "x/2", "y"]
QUIET = 150.0


class Numbers(KeyedState[int]):
    pass


class Story:
    """Random changes and faults; and what each watcher has seen of each key."""

    def __init__(self, runtime: TestRuntime, network: Network, seed: int, *, stored: bool) -> None:
        self.keyed: dict[str, Any] = {}
        self.said: dict[str, dict[str, int]] = {name: {} for name in OWNERS}
        """What each owner has acknowledged."""
        self._stores = {name: InMemoryPersistence(name) for name in OWNERS} if stored else {}
        self._runtime = runtime
        self._network = network
        self._random = Random(seed)
        self._numbers = iter(range(1, 10_000))
        self._seen: dict[tuple[str, str, str], Generation] = {}

    async def begin(self) -> None:
        for name in WATCHERS:
            self.keyed[name] = (await self._runtime.start(name)).keyed(Numbers)
        for name in OWNERS:
            await self._open(name)

    async def go_on(self) -> None:
        """Let one thing happen."""
        things = [self._change, self._kill_or_open, self._part, self._follow, self._wait]
        [act] = self._random.choices(things, weights=[8, 2, 1, 1, 2])
        await act()
        self.look()

    async def end(self) -> None:
        """Let the network be whole and all owners be there, and wait."""
        self._network.heal()
        for name in OWNERS:
            if name not in self.keyed:
                await self._open(name)
        for name in WATCHERS:
            self.keyed[name].follow(prefixes=[""])
        await self._runtime.advance(QUIET)
        self.look()

    def look(self) -> None:
        """See that nothing that is held is older than what was held of it."""
        for watcher in WATCHERS:
            for owner in OWNERS:
                for key, held in self.keyed[watcher].held(owner).items():
                    before = self._seen.get((watcher, owner, key), Generation(0, 0))
                    assert held.generation >= before, f"{watcher} has stepped back to {held} of {owner} {key}"
                    self._seen[watcher, owner, key] = held.generation

    async def _change(self) -> None:
        for name in self._random.sample(
            sorted(self.keyed.keys() & set(OWNERS)), 1 if self.keyed.keys() & set(OWNERS) else 0
        ):
            key, keyed = self._random.choice(KEYS), self.keyed[name]
            if self._random.random() < 0.3:
                deleted = keyed.delete(key)
                await deleted if self._stores else None
                self.said[name].pop(key, None)
            else:
                number = next(self._numbers)
                put = keyed.put(key, number)
                await put if self._stores else None
                self.said[name][key] = number
        await self._runtime.advance(0.2)

    async def _kill_or_open(self) -> None:
        name = self._random.choice(OWNERS)
        if name not in self.keyed:
            await self._open(name)
            return
        del self.keyed[name]
        self._runtime.hub.lose(name)
        self._runtime.nodes[name]._membership._report = None  # type: ignore[attr-defined]
        await self._runtime.crash(name)
        if not self._stores:
            self.said[name] = {}

    async def _open(self, name: str) -> None:
        store = self._stores[name].life() if self._stores else None
        node = await self._runtime.start(name, persistence=store)
        await self._runtime.advance(self._random.choice([0.0, 0.0, 3.0]))
        self.keyed[name] = await node.stored_keyed(Numbers) if self._stores else node.keyed(Numbers)

    async def _part(self) -> None:
        self._network.rejoin()
        self._network.partition(*self._random.choice([["a", "byz"], ["ay", "bz"], ["ab", "yz"], []]))

    async def _follow(self) -> None:
        wanted = self._random.choice([{"prefixes": [""]}, {"prefixes": ["x/"]}, {"keys": ["x", "y"]}])
        self.keyed[self._random.choice(WATCHERS)].follow(**wanted)

    async def _wait(self) -> None:
        await self._runtime.advance(self._random.uniform(0, 12))


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "stored"])
@pytest.mark.parametrize("seed", range(5))
async def test_who_watches_comes_to_have_what_owners_have_and_never_steps_back(seed: int, stored: bool) -> None:
    """And an owner that stores its keys has all that it acknowledged, however often it was killed."""
    network = Network(seed, delay=(0.01, 1.0), loss=0.1, duplicates=0.1, corruption=0.05, reorders=True, tick=0.1)
    async with TestRuntime(network=network) as runtime:
        story = Story(runtime, network, seed, stored=stored)
        await story.begin()
        for _ in range(40):
            await story.go_on()

        await story.end()

        for owner in OWNERS:
            assert dict(story.keyed[owner].own) == story.said[owner]
            for watcher in WATCHERS:
                assert story.keyed[watcher].held(owner) == story.keyed[owner].held(owner)
