"""Whether all that a store holds of an actor is still read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure import ActorSystem, DurableStateActor, Event, Full, Message, PersistentActor, every_n_events
from perdure.abc import Put, PutState, WriteGroup
from perdure.memory import MemoryBackend
from perdure_testkit import check_stored


class Deposited(Event, manifest="deposited"):
    amount: int


class DepositedLater(Event, manifest="deposited", version=2):
    amount: int
    currency: str


class Deposit(Message[int]):
    amount: int


class Account(PersistentActor[int, Deposited]):
    initial_state = 0
    strategy = Full(snapshot=every_n_events(2))

    async def handle(self, message: Message[Any], context: Any) -> Any:
        match message:
            case Deposit(amount):
                await self.persist(Deposited(amount))
                return self.state

    def apply(self, balance: int, event: Deposited) -> int:
        return balance + event.amount


class AccountLater(PersistentActor[dict[str, int], DepositedLater]):
    type_name = "Account"


@pytest.fixture
async def store() -> AsyncIterator[MemoryBackend]:
    backend = MemoryBackend()
    async with ActorSystem(store=backend) as system:
        for key in ("a", "b"):
            for amount in (1, 2, 3):
                await system.ref(Account, key).ask(Deposit(amount))
        await (await system.spawn(Account, "c", persistence_id="mine")).ask(Deposit(1))
        await system.ref(Account, "a").stop()
    await backend.commit([WriteGroup((Put("events", "Accountant/a", 1, b"foreign"),))])
    yield backend
    await backend.close()


async def test_every_record_is_read(store: MemoryBackend) -> None:
    """The events and snapshots of all actors of the type, and of no other."""
    assert await check_stored(Account, store) == 2 * (3 + 1)


async def test_actors_that_were_spawned_are_read_by_their_ids(store: MemoryBackend) -> None:
    """Nobody can tell their type from their ids."""
    assert await check_stored(Account, store, persistence_ids=["mine"]) == 1


async def test_what_is_not_read_is_named(store: MemoryBackend) -> None:
    """By persistence id, sequence number, type and version."""
    with pytest.raises(AssertionError) as failure:
        await check_stored(AccountLater, store)

    text = str(failure.value)
    assert "8 of 8 records of Account are not read" in text
    assert "Account/b, sequence number 3: an event deposited of version 1 does not decode" in text
    assert "Account/a, the snapshot at 2: a state of Account, version 1, does not decode" in text


async def test_stored_states_are_read_too(store: MemoryBackend) -> None:
    """Those that `Light` leaves."""
    await store.commit([WriteGroup((PutState("states", "Account/a", b"damaged"),))])

    with pytest.raises(AssertionError, match="1 of 9 records of Account are not read\n  Account/a, the stored state: "):
        await check_stored(Account, store)


async def test_a_long_list_is_cut(store: MemoryBackend) -> None:
    """Its length is said."""
    puts = [Put("events", "Account/z", number, b"damaged") for number in range(1, 101)]
    await store.commit([WriteGroup(tuple(puts))])

    with pytest.raises(AssertionError, match=r"100 of 108 records of Account are not read\n(.*\n){20}  and 80 more"):
        await check_stored(Account, store)


class Save(Message[int]):
    amount: int


class Purse(DurableStateActor[int]):
    initial_state = 0

    async def handle(self, message: Message[Any], context: Any) -> Any:
        match message:
            case Save(amount):
                await self.save(amount)
                return self.revision


class PurseLater(DurableStateActor[str]):
    type_name = "Purse"


async def test_durable_states_are_read(store: MemoryBackend) -> None:
    """And named by their revision."""
    async with ActorSystem(store=store) as system:
        for amount in (1, 2):
            await system.ref(Purse, "a").ask(Save(amount))

    read = await check_stored(Purse, store)
    with pytest.raises(
        AssertionError, match="1 of 1 records of Purse are not read\n  Purse/a, revision 2: a state of Purse"
    ):
        await check_stored(PurseLater, store)

    assert read == 1
