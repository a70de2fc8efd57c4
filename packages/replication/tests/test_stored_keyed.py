"""Keyed states that are stored: what the next life of a node has, and what others see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from perdure import open_backend
from perdure.errors import OutcomeUnknown
from perdure_replication import BackendPersistence, Generation, KeyedState, StatePersistence, StoredKey, StoredKeyed
from perdure_replication.errors import (
    Fenced,
    InvalidNode,
    KeyedClosed,
    MutationRefused,
    MutationUnstored,
    NodeClosed,
    TooManyMutations,
)
from perdure_replication.testing import FailingPersistence, InMemoryPersistence, TestRuntime


class Carts(KeyedState[list[str]]):
    pass


class Visits(KeyedState[int]):
    name = "visits"


class LaterVisits(KeyedState[tuple[int, str]]):
    name = "visits"
    version = 2
    readable = (1, 2)

    def upcast_view(self, document: Any, version: int) -> Any:
        if document == 13:
            raise ValueError("thirteen")
        return [document, "before"]


class OtherVisits(KeyedState[str]):
    name = "visits"


class Held(InMemoryPersistence):
    """Loads and saves when it is let."""

    def __init__(self) -> None:
        super().__init__("a")
        self.flows = asyncio.Event()
        self.flows.set()

    async def load_keys(self, state: str) -> AsyncIterator[StoredKey]:
        await self.flows.wait()
        async for stored in super().load_keys(state):
            yield stored

    async def save_keys(self, state: str, kept: Sequence[StoredKey], gone: Sequence[str]) -> None:
        await self.flows.wait()
        await super().save_keys(state, kept, gone)


async def stored(runtime: TestRuntime, persistence: StatePersistence, state: Any = Visits) -> StoredKeyed[Any]:
    """Return the keys of a new life of a node."""
    node = await runtime.start("a", persistence=persistence)
    return await node.stored_keyed(state)


async def kill(runtime: TestRuntime) -> None:
    """End the node so that others find it unreachable, and nobody says that it has left."""
    runtime.hub.lose("a")
    runtime.nodes["a"]._membership._report = None  # type: ignore[attr-defined]
    await runtime.crash("a")


async def watcher(runtime: TestRuntime) -> Any:
    return (await runtime.start("b")).keyed(Visits)


async def test_a_later_life_has_what_was_stored() -> None:
    """All keys as they were last, and none that was deleted."""
    store = InMemoryPersistence("a")
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        for key in ("x", "y", "z"):
            await visits.put(key, 1)
        await visits.put("x", 2)
        await visits.mutate("y", lambda held: (held or 0) + 10)
        await visits.delete("z")
        await runtime.crash("a")

        again = await stored(runtime, store.life())

        assert dict(again.own) == {"x": 2, "y": 11}
        assert len(store.keys["visits"]) == 2


@pytest.fixture(params=["memory://", "sqlite"])
async def backend(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Any]:
    url = request.param if "memory" in request.param else f"sqlite:///{tmp_path / 'keys.db'}"
    backend = await open_backend(url)
    yield backend
    await backend.close()


async def test_any_backend_keeps_them(backend: Any) -> None:
    """Of each node and state its own."""
    async with TestRuntime() as runtime:
        visits = await stored(runtime, BackendPersistence(backend, "a"))
        carts = await runtime.nodes["a"].stored_keyed(Carts)
        await asyncio.gather(*(visits.put(f"{number % 700}", number) for number in range(900)))
        await carts.put("x", ["milk"])
        await visits.delete("7")
        expected = dict(visits.own)
        await runtime.crash("a")

        again = await stored(runtime, BackendPersistence(backend, "a"))

        assert dict(again.own) == expected
        assert len(expected) == 699
        assert dict((await runtime.nodes["a"].stored_keyed(Carts)).own) == {"x": ["milk"]}


async def test_keys_that_come_and_go_take_the_places_of_others(backend: Any) -> None:
    """In the store there is never more than the most keys that were there at a time, in this life and the next."""
    async with TestRuntime() as runtime:
        for _ in range(2):
            visits = await stored(runtime, BackendPersistence(backend, "a"))
            for number in range(0, 60, 3):
                await asyncio.gather(*(visits.put(f"{number + each}", number) for each in range(3)))
                await asyncio.gather(*(visits.delete(f"{number + each}") for each in range(3)))
            await visits.put("x", 1)
            await runtime.crash("a")

        entries = [entry async for entry in backend.collection("keys_visits", "a").iterate()]
        last = await stored(runtime, BackendPersistence(backend, "a"))

        assert len(entries) <= 4
        assert dict(last.own) == {"x": 1}


async def test_who_watches_sees_no_step_back() -> None:
    """No key goes or turns to an earlier value, and generations rise, though the node takes its time to open them."""
    store = InMemoryPersistence("a")
    async with TestRuntime() as runtime:
        b = await watcher(runtime)
        visits = await stored(runtime, store)
        for number in range(3):
            await visits.put("x", number)
        await visits.put("y", 7)
        await runtime.settle()
        before = {key: held.generation for key, held in b.held("a").items()}
        seen: list[Any] = []
        changes = b.changes()
        watching = asyncio.create_task(collect(changes, seen))

        await kill(runtime)
        await runtime.advance(1)
        node = await runtime.start("a", persistence=store.life())
        await runtime.advance(3)
        again = await node.stored_keyed(Visits)
        await again.put("x", 3)
        await runtime.advance(10)

        await changes.aclose()
        await watching
        assert all(change.kind == "updated" for change in seen)
        assert [change.value for change in seen if change.key == "x"] == [2, 3]  # as the later life has it, and puts it
        assert b.views["a"] == {"x": 3, "y": 7}
        assert all(held.generation > before[key] for key, held in b.held("a").items())


async def collect(changes: Any, seen: list[Any]) -> None:
    seen.extend([change async for change in changes])


async def test_who_watches_waits_until_all_is_loaded() -> None:
    """However long that takes: what it held stays meanwhile."""
    store = Held()
    async with TestRuntime() as runtime:
        b = await watcher(runtime)
        await (await stored(runtime, store)).put("x", 1)
        await runtime.settle()
        await kill(runtime)
        later = Held()
        later.keys = store.keys
        later.flows.clear()

        opening = asyncio.create_task(stored(runtime, later))
        await runtime.advance(60)
        meanwhile = dict(b.views["a"])
        later.flows.set()
        await runtime.advance(40)

        assert meanwhile == {"x": 1}
        assert b.views["a"] == (await opening).own == {"x": 1}
        assert b.freshness(20).is_fresh


async def test_a_later_life_that_does_not_open_them_takes_them_along() -> None:
    """When it has had time to."""
    async with TestRuntime() as runtime:
        b = await watcher(runtime)
        visits = await stored(runtime, InMemoryPersistence("a"))
        await visits.put("x", 1)
        await runtime.settle()
        await kill(runtime)
        await runtime.start("a")
        await runtime.advance(4)
        meanwhile = dict(b.views["a"])

        await runtime.advance(7)

        assert meanwhile == {"x": 1}
        assert "a" not in b.views
        assert b.freshness(20).is_fresh


async def test_a_store_that_was_set_back_is_what_others_take_over() -> None:
    """They hold later values, of an earlier life."""
    store = InMemoryPersistence("a")
    async with TestRuntime() as runtime:
        b = await watcher(runtime)
        visits = await stored(runtime, store)
        await visits.put("x", 1)
        copy = dict(store.keys["visits"])
        for number in range(2, 9):
            await visits.put("x", number)
        await runtime.settle()
        await runtime.crash("a")
        store.keys["visits"] = copy

        await stored(runtime, store.life())
        await runtime.advance(10)

        assert b.views["a"] == {"x": 1}


async def test_nothing_is_seen_before_it_is_stored() -> None:
    """Here or elsewhere."""
    store = Held()
    async with TestRuntime() as runtime:
        b = await watcher(runtime)
        visits = await stored(runtime, store)
        store.flows.clear()

        putting = asyncio.create_task(visits.put("x", 1))
        await runtime.settle()
        before = dict(visits.own), dict(b.views["a"])
        store.flows.set()
        await runtime.settle()

        assert before == ({}, {})
        assert (await putting).age == 1
        assert visits.own == b.views["a"] == {"x": 1}


async def test_changes_at_once_are_made_one_after_another_and_stored_together() -> None:
    """Each on what the one before has left."""
    store = Held()
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        store.flows.clear()
        first = asyncio.create_task(visits.put("y", 0))
        await runtime.settle()
        saved: list[int] = []
        save = store.save_keys

        async def noted(state: str, kept: Sequence[StoredKey], gone: Sequence[str]) -> None:
            saved.append(len(kept))
            await save(state, kept, gone)

        store.save_keys = noted  # type: ignore[method-assign]
        rest = [asyncio.create_task(visits.mutate("x", lambda held: (held or 0) + 1)) for _ in range(100)]
        rest += [asyncio.create_task(visits.mutate("y", lambda _: None))]
        await runtime.settle()

        store.flows.set()
        ages = [generation and generation.age for generation in await asyncio.gather(first, *rest)]

        assert ages == list(range(1, 103))
        assert saved == [1]
        assert dict(visits.own) == {"x": 100}
        assert [each.number for each in store.keys["visits"].values()] == [101]


async def test_an_equal_value_is_not_stored_again() -> None:
    store = InMemoryPersistence("a")
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        first = await visits.put("x", 1)

        assert await visits.put("x", 1) == first
        assert await visits.delete("y") is False
        assert await visits.mutate("y", lambda _: None) is None
        assert [each.number for each in store.keys["visits"].values()] == [1]


async def test_what_cannot_be_stored_has_not_been() -> None:
    """The next one goes on from what is stored."""
    store = FailingPersistence()
    store.heal()
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        await visits.put("x", 1)
        store.fail(OSError("full"))
        with pytest.raises(MutationUnstored, match="visits: full"):
            await visits.put("x", 2)
        store.heal()

        await visits.mutate("x", lambda held: (held or 0) + 10)

        assert dict(visits.own) == {"x": 11}


async def test_what_may_or_may_not_be_stored_is_stored_again() -> None:
    """It is seen once, when it surely is."""
    store = FailingPersistence()
    store.heal()
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        store.fail(OutcomeUnknown("save", "cut off"))
        putting = asyncio.create_task(visits.put("x", 1))
        await runtime.advance(3)
        before = dict(visits.own)

        store.heal()
        await runtime.advance(3)

        assert (before, dict(visits.own)) == ({}, {"x": 1})
        assert (await putting).age == 1


async def test_a_change_that_fails_changes_nothing() -> None:
    """Though it changed a mutable value in place; those beside it are made."""
    async with TestRuntime() as runtime:
        carts = await stored(runtime, InMemoryPersistence("a"), Carts)
        await carts.put("x", ["milk"])

        def spoil(cart: list[str] | None) -> list[str]:
            assert cart is not None
            cart.append("poison")
            raise RuntimeError("no")

        spoiled, made = await asyncio.gather(
            carts.mutate("x", spoil), carts.mutate("x", lambda cart: [*(cart or ()), "eggs"]), return_exceptions=True
        )

        assert isinstance(spoiled, RuntimeError)
        assert isinstance(made, Generation)
        assert made.age == 2
        assert dict(carts.own) == {"x": ["milk", "eggs"]}
        with pytest.raises(MutationRefused, match="is None"):
            await carts.put("x", None)


async def test_a_change_whose_wait_is_cancelled_is_made() -> None:
    store = Held()
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        store.flows.clear()
        putting = asyncio.create_task(visits.put("x", 1))
        await runtime.settle()

        putting.cancel()
        store.flows.set()
        await visits.put("y", 2)

        assert putting.cancelled()
        assert dict(visits.own) == {"x": 1, "y": 2}


async def test_an_earlier_life_stores_nothing_more() -> None:
    """And its node is fenced."""
    store = InMemoryPersistence("a")
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        await visits.put("x", 1)
        await store.life().claim(1)

        with pytest.raises(Fenced, match="a later life of it has begun on the same store"):
            await visits.put("x", 2)

        assert runtime.nodes["a"].engine.fenced
        assert dict(visits.own) == {"x": 1}


async def test_values_of_an_earlier_version_are_read_and_those_that_cannot_be_stay_in_the_store(caplog: Any) -> None:
    """For a program that can; until their keys are put anew."""
    store = InMemoryPersistence("a")
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        for key, value in (("x", 1), ("y", 13), ("z", 13)):
            await visits.put(key, value)
        await runtime.crash("a")
        later = await stored(runtime, store.life(), LaterVisits)
        read = dict(later.own)
        await later.put("y", (7, "now"))
        await runtime.crash("a")

        last = await stored(runtime, store.life(), LaterVisits)

        assert read == {"x": (1, "before")}
        assert dict(last.own) == {"x": (1, "before"), "y": (7, "now")}
        assert sorted(each.key for each in store.keys["visits"].values()) == ["x", "y", "z"]
        assert "a: visits: the stored key 'y' is left out, the 1. such: thirteen" in caplog.text


async def test_a_store_that_cannot_be_read_is_an_error() -> None:
    """And another try may succeed."""
    store = FailingPersistence()
    async with TestRuntime() as runtime:
        node = await runtime.start("a", persistence=store)

        with pytest.raises(OSError, match="the disk is gone"):
            await node.stored_keyed(Visits)
        store.heal()

        assert dict((await node.stored_keyed(Visits)).own) == {}


async def test_leaving_waits_for_what_is_being_stored() -> None:
    store = Held()
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        store.flows.clear()
        putting = asyncio.create_task(visits.put("x", 1))
        await runtime.settle()

        leaving = asyncio.create_task(runtime.stop("a"))
        await runtime.settle()
        waited = not leaving.done()
        store.flows.set()
        await leaving

        assert waited
        assert [each.key for each in store.keys["visits"].values()] == ["x"]
        await asyncio.wait([putting])
        with pytest.raises(NodeClosed):
            await visits.put("x", 2)


async def test_what_is_closed_is_stored_and_can_be_opened_again() -> None:
    """In the same life, with what it had, and behind all that it has said."""
    async with TestRuntime() as runtime:
        b = await watcher(runtime)
        visits = await stored(runtime, InMemoryPersistence("a"))
        await visits.put("z", 1)
        await visits.delete("z")
        putting = asyncio.create_task(visits.put("x", 1))
        await asyncio.sleep(0)
        await visits.close()
        await runtime.settle()
        gone = "a" not in b.views
        with pytest.raises(KeyedClosed):
            await visits.put("x", 2)

        again = await runtime.nodes["a"].stored_keyed(Visits)
        second = await again.put("y", 2)
        await runtime.settle()

        assert gone
        assert ((await putting).age, second.age) == (3, 4)
        assert b.views["a"] == again.own == {"x": 1, "y": 2}


async def test_so_many_changes_wait_for_the_store() -> None:
    store = Held()
    async with TestRuntime() as runtime:
        visits = await stored(runtime, store)
        store.flows.clear()
        waiting = [asyncio.create_task(visits.put("x", number)) for number in range(1300)]
        await runtime.settle()
        store.flows.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)

        assert any(isinstance(result, TooManyMutations) for result in results)
        assert visits.own["x"] >= 999


async def test_a_node_without_persistence_stores_no_keys() -> None:
    async with TestRuntime() as runtime:
        node = await runtime.start("a")

        with pytest.raises(InvalidNode, match="it has no persistence: give it one, or open what is in memory alone"):
            await node.stored_keyed(Visits)


async def test_a_damaged_key_is_an_error(backend: Any) -> None:
    """It is known that it is there, and not what it says."""
    await backend.collection("keys_visits", "a").put(1, b"\xc1")
    async with TestRuntime() as runtime:
        node = await runtime.start("a", persistence=BackendPersistence(backend, "a"))

        with pytest.raises(msgspec.MsgspecError):
            await node.stored_keyed(Visits)
