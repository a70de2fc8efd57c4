"""Sealed actors do all that others do."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import ActorSystem, Event, Full, Keyring, Light, Message, PersistentActor, Sealing, never, replay
from perdure.abc import Backend
from perdure.errors import PerdureError
from perdure.memory import MemoryBackend
from perdure.security import Seal, _nonces
from perdure.security._layout import plain_record


class Add(Message[int]):
    amount: int


class Name(Message[str]):
    name: str


class Keep(Message[int]):
    """Have a snapshot taken, and the events before it removed."""


class Show(Message[tuple[int, str]]):
    pass


class Added(Event):
    amount: int


class Named(Event):
    name: str


class Counter(PersistentActor[tuple[int, str], Added | Named]):
    initial_state = (0, "")
    strategy: ClassVar[Full | Light] = Full(snapshot=never)

    async def handle(self, message: Any, context: Any) -> Any:
        match message:
            case Add(amount):
                await self.persist(Added(amount))
                return self.state[0]
            case Name(name):
                await self.persist(Named(name))
                return self.state[1]
            case Keep():
                await self.save_snapshot()
                await self.delete_events(self.sequence_number)
                return self.sequence_number
            case Show():
                return self.state

    def apply(self, state: tuple[int, str], event: Added | Named) -> tuple[int, str]:
        match event:
            case Added(amount):
                return state[0] + amount, state[1]
            case Named(name):
                return state[0], name


class LightCounter(Counter):
    type_name = "Counter"
    strategy = Light()


class Doubling(Counter):
    """Folds as no `Counter` before has."""

    type_name = "Counter"

    def apply(self, state: tuple[int, str], event: Added | Named) -> tuple[int, str]:
        return super().apply(super().apply(state, event), event)


@pytest.fixture
async def store() -> AsyncIterator[Backend]:
    backend = MemoryBackend()
    yield backend
    await backend.close()


def sealing() -> Sealing:
    return Sealing(Keyring({1: bytes(range(32))}))


async def ask(store: Backend, kind: type[Counter], *messages: Message[Any]) -> list[Any]:
    """Return the replies of an actor in a system of its own."""
    async with ActorSystem(store=store, sealing=sealing()) as system:
        return [await system.ref(kind, "a").ask(message) for message in messages]


async def test_it_counts_is_named_recovered_and_purged(store: Backend) -> None:
    """In one life and the next (AVE-99)."""
    assert await ask(store, Counter, Add(2), Add(3), Show()) == [2, 5, (5, "")]
    assert await ask(store, Counter, Name("updated"), Keep(), Show()) == ["updated", 3, (5, "updated")]
    assert await ask(store, Counter, Show()) == [(5, "updated")]
    assert await store.last("events", "Counter/a") == 3


async def test_a_sealed_snapshot_is_taken_as_it_is(store: Backend) -> None:
    """The state is what was saved, and not what its events would give today (AVE-105)."""
    await ask(store, Counter, Add(5), Keep())

    assert await ask(store, Doubling, Show(), Add(1)) == [(5, ""), 7]


async def test_sealed_events_come_in_their_order(store: Backend) -> None:
    """As many as there are (AVE-117)."""
    await ask(store, Counter, Add(1), Add(2), Add(3))

    async with ActorSystem(store=store, sealing=sealing()) as system:
        found = [(of.sequence_number, of.event) async for of in system.query(Counter).events_of("Counter/a")]

    assert found == [(1, Added(1)), (2, Added(2)), (3, Added(3))]


async def test_snapshots_and_events_take_turns(store: Backend) -> None:
    """Each recovery finds the same state, and the log what it holds (AVE-122)."""
    await ask(store, Counter, Add(1), Keep(), Add(2), Keep(), Add(4))

    assert [await ask(store, Counter, Show()) for _ in range(3)] == [[(7, "")]] * 3
    read = await replay(store, Counter, "a", sealing=sealing())
    assert (read.state, read.sequence_number) == ((7, ""), 3)
    async with ActorSystem(store=store, sealing=sealing()) as system:
        found = [of.event async for of in system.query(Counter).events_of("Counter/a", after=1)]
    assert found == [Added(2), Added(4)]


async def test_a_light_actor_lives_on(store: Backend) -> None:
    """What it stores with each event is there in its next life (AVE-123)."""
    await ask(store, LightCounter, Add(1), Name("light"))

    assert await ask(store, LightCounter, Show(), Add(1)) == [(1, "light"), 2]


@given(body=st.binary(max_size=300), number=st.integers(0, 2**63 - 1), name=st.text(min_size=1, max_size=50))
def test_what_is_sealed_is_opened_as_it_was(body: bytes, number: int, name: str) -> None:
    """Whatever it is, and wherever (AVE-125)."""
    seal = Seal(sealing(), "events", name.encode("utf-8", "ignore").decode() or "a")
    record = plain_record(body)

    assert seal.open(number, seal.seal(number, record)) == record


def refuse(size: int) -> bytes:
    raise OSError(errno.ENOSYS, "Function not implemented", size)


@pytest.mark.parametrize("broken", [None, refuse])
def test_nonces_are_random_where_the_system_has_no_getrandom(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    """As in a sandbox that refuses it."""
    if broken is None:
        monkeypatch.delattr(os, "getrandom", raising=False)
    else:
        monkeypatch.setattr(os, "getrandom", broken, raising=False)

    assert _nonces._source() is os.urandom


def test_a_suite_whose_library_is_not_installed_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is stored, with what to install (ATS-106)."""
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)

    with pytest.raises(PerdureError, match=r"pip install 'perdure\[xchacha20\]'"):
        Sealing(Keyring({1: bytes(range(32))}), suite="xchacha20-poly1305")
