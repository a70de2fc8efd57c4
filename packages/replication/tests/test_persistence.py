"""Shards that outlive their node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import open_backend
from perdure.abc import PutState, WriteGroup
from perdure.errors import OutcomeUnknown, StoreUnavailable
from perdure_replication import BackendPersistence, Generation, Limits, PersistFailed, StateObject, restore
from perdure_replication.errors import Fenced, MutationUnstored, UnknownVersion
from perdure_replication.testing import FailingPersistence, InMemoryPersistence, TestDeltaState, TestState, Value

from .nodes import SIMPLE, pair, to

LIMITS = Limits()
SEVEN = Value(7)


def record(value: Any = SEVEN, version: int = 1) -> StateObject:
    return StateObject(SIMPLE, Generation(100, 5), version, 1_000, 2_000, msgspec.msgpack.encode(value))


class Grown(TestState):
    """Its stored version 1 had a number and no struct."""

    storage_version = 2

    def migrate(self, document: Any, version: int) -> Any:
        if version == 1:
            return {"counter": document["counter"], "label": "migrated"}
        return super().migrate(document, version)


class TestRestore:
    def test_of_nothing_begins_at_age_0(self) -> None:
        """With the time of this moment (PERSIST-06, ENV-01, ENV-06, INC-04)."""
        shard, outcome, reason = restore(TestState(), None, 9, 77, LIMITS, stored=True)

        assert (shard.state, shard.generation, outcome, reason) == (Value(), Generation(9, 0), "fresh", "")
        assert (shard.created, shard.modified) == (77, 77)

    def test_of_the_same_version_keeps_value_age_and_times(self) -> None:
        """In the new life (PERSIST-13, VER-16, PERSIST-02)."""
        shard, outcome, _ = restore(TestState(), record(), 900, 77, LIMITS, stored=True)

        assert (shard.state, shard.generation, outcome) == (Value(7), Generation(900, 5), "restored")
        assert (shard.created, shard.modified) == (1_000, 2_000)

    def test_of_an_older_version_migrates(self) -> None:
        """Age and times stay, and it is saved in the new version (PERSIST-14, PERSIST-16, VER-17)."""
        shard, outcome, _ = restore(Grown(), record(), 900, 77, LIMITS, stored=True)

        assert (shard.state, shard.generation.age, outcome) == (Value(7, "migrated"), 5, "migrated")
        assert (shard.created, shard.modified) == (1_000, 2_000)

    @pytest.mark.parametrize(
        ("found", "reason"),
        [
            (record(version=3), "UnknownVersion: test_state: a state of version 3; read here: 2"),
            (record("rubbish", version=2), "ValidationError"),
            (record("rubbish", version=1), "TypeError"),
            (StoreUnavailable("get", "down"), "StoreUnavailable: get: down"),
        ],
    )
    def test_of_what_cannot_be_read_begins_anew_and_says_why(self, found: Any, reason: str) -> None:
        """A node that runs is worth more (PERSIST-11, PERSIST-12, PERSIST-15, VER-18, INC-06, INC-06b)."""
        shard, outcome, why = restore(Grown(), found, 900, 77, LIMITS, stored=True)

        assert (shard.state, shard.generation, outcome) == (Value(), Generation(900, 0), "fell_back")
        assert why.startswith(reason)

    def test_without_a_migration_names_the_version(self) -> None:
        """The author learns what is missing (PERSIST-15)."""

        class Forgetful(TestState):
            storage_version = 2

        with pytest.raises(UnknownVersion, match="a state of version 1; read here: 2"):
            Forgetful().decode_state(b"\x80", 1)


@pytest.fixture(params=["memory", "sqlite"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"
    backend = await open_backend(url)
    yield backend
    await backend.close()


class TestBackendPersistence:
    async def test_returns_what_was_saved(self, backend: Any) -> None:
        """All of it (PERSIST-03, ENV-04)."""
        persistence = BackendPersistence(backend, "a")
        await persistence.claim(1)

        await persistence.save(record(), ())

        assert await persistence.load(SIMPLE) == record()

    async def test_has_nothing_at_first(self, backend: Any) -> None:
        """Nor of another node or state (TEST-10)."""
        persistence, other = BackendPersistence(backend, "a"), BackendPersistence(backend, "b")
        assert await persistence.load(SIMPLE) is None
        await other.claim(1)
        await other.save(record(), ())

        assert (await persistence.load(SIMPLE), await other.load("another")) == (None, None)

    async def test_gives_each_life_a_greater_incarnation(self, backend: Any) -> None:
        """Whatever the clock says (weak point 6, INC-06b)."""
        claims = [await BackendPersistence(backend, "a").claim(at_least) for at_least in (100, 100, 50, 1000)]

        assert claims == [100, 101, 102, 1000]

    async def test_fences_earlier_lives(self, backend: Any) -> None:
        """Their next save is refused by the store itself (P26, weak point 7)."""
        earlier, later = BackendPersistence(backend, "a"), BackendPersistence(backend, "a")
        await earlier.claim(1)
        await earlier.save(record(Value(1)), ())
        await later.claim(1)

        with pytest.raises(Fenced, match="a later life of it has begun on the same store"):
            await earlier.save(record(Value(2)), ())

        await later.save(record(Value(3)), ())
        loaded = await later.load(SIMPLE)
        assert loaded is not None
        assert msgspec.msgpack.decode(loaded.value, type=Value) == Value(3)

    async def test_goes_on_after_a_second_claim_of_its_own(self, backend: Any) -> None:
        """A node may need a greater incarnation while it lives."""
        persistence = BackendPersistence(backend, "a")
        await persistence.claim(1)

        assert await persistence.claim(50) == 50
        await persistence.save(record(), ())

    async def test_may_save_the_same_again(self, backend: Any) -> None:
        """After an outcome that is not known."""
        persistence = BackendPersistence(backend, "a")
        await persistence.claim(1)
        await persistence.save(record(), ())

        await persistence.save(record(), ())

        assert await persistence.load(SIMPLE) == record()

    async def test_without_a_claim_saves_nothing(self, backend: Any) -> None:
        """There is no life to save for."""
        with pytest.raises(Fenced, match="it has claimed no incarnation"):
            await BackendPersistence(backend, "a").save(record(), ())

    async def test_raises_where_it_cannot_know(self, backend: Any) -> None:
        """What is stored and no record is an error, not nothing."""
        await backend.commit([WriteGroup((PutState("replica_test_state", "a", b"\xc1"),))])

        with pytest.raises(msgspec.MsgspecError):
            await BackendPersistence(backend, "a").load(SIMPLE)


class TestSaving:
    def test_happens_once_for_each_mutation(self) -> None:
        """With the state, its age and its version (PERSIST-01, SHARD-02, ENV-04, DMUT-01)."""
        simulation, a, _ = pair(stored=True)

        for counter in (1, 2):
            a.mutate(SIMPLE, to(counter))
            simulation.run(1)

        stored = a.records[SIMPLE]
        assert (stored.generation.age, stored.storage_version) == (2, 1)
        assert stored.created < stored.modified
        assert msgspec.msgpack.decode(stored.value, type=Value) == Value(2)

    def test_happens_not_without_a_store(self) -> None:
        """Mutations are made at once (PERSIST-04)."""
        _, a, _ = pair()

        token = a.mutate(SIMPLE, to(1))

        assert (a.records, a.results[token]) == ({}, Generation(a.engine.incarnation, 1))

    def test_that_fails_fails_all_that_it_was_for(self) -> None:
        """Those behind it are tried on their own (FAULT-06, PERSIST-05, PERSIST-07, PERSIST-08, PERSIST-09)."""
        simulation, a, b = pair(stored=True)
        failures = iter([PersistFailed(0, OSError("full"))])
        a.save_error = lambda: next(failures, None)

        first, second = a.mutate(SIMPLE, to(1)), a.mutate(SIMPLE, lambda value: Value(value.counter + 10))
        simulation.run(1)

        assert isinstance(a.results[first], MutationUnstored)
        assert a.results[second] == Generation(a.engine.incarnation, 1)
        assert b.value(SIMPLE, "a") == Value(10)

    def test_of_unknown_outcome_is_repeated_with_the_same(self) -> None:
        """Until it is known; the caller waits."""
        simulation, a, b = pair(stored=True)
        failures = iter([PersistFailed(0, OutcomeUnknown("commit", "?"), True)] * 3)
        a.save_error = lambda: next(failures, None)

        token = a.mutate(SIMPLE, to(1))
        simulation.run(1)
        waited = token not in a.results
        simulation.run(2)

        assert (waited, a.results[token], b.value(SIMPLE, "a")) == (True, Generation(a.engine.incarnation, 1), Value(1))


class TestHelpers:
    async def test_in_memory_gives_back_what_it_was_given(self) -> None:
        """And is empty at first (TEST-08, TEST-10)."""
        persistence = InMemoryPersistence()
        await persistence.claim(1)
        assert await persistence.load(SIMPLE) is None

        await persistence.save(record(), ("change",))

        assert (await persistence.load(SIMPLE), persistence.saved) == (record(), [(record(), ("change",))])

    async def test_in_memory_fences_earlier_lives(self) -> None:
        """Like a store would."""
        earlier = InMemoryPersistence()
        await earlier.claim(1)
        later = earlier.life()
        assert await later.claim(1) == 2

        with pytest.raises(Fenced):
            await earlier.save(record(), ())

    async def test_failing_fails_to_load_and_to_save(self) -> None:
        """With the error of one's choice, until it is healed (TEST-09)."""
        persistence = FailingPersistence(StoreUnavailable("get", "down"))
        await persistence.claim(1)
        for failing in (persistence.load(SIMPLE), persistence.save(record(), ())):
            with pytest.raises(StoreUnavailable):
                await failing

        persistence.heal()
        await persistence.save(record(), ())

        assert await persistence.load(SIMPLE) == record()


def test_a_delta_state_is_stored_whole_with_its_private_part() -> None:
    """It comes back as it was (PERSIST-03, 1.3)."""
    simulation, a, b = pair(TestDeltaState, stored=True)
    a.mutate(TestDeltaState.name, TestDeltaState.adjust(1, "x", private=9))
    simulation.run(1)

    simulation.restart("a")
    simulation.run(1)

    assert a.engine.shard(TestDeltaState.name).state.private_sum == 9
    assert b.value(TestDeltaState.name, "a") == a.value(TestDeltaState.name, "a")
