"""Accounts for tests of replicas: their state has a private part, and all of their events can be seen in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import msgspec

from perdure import ActorSystem, Event, Message, PersistentActor
from perdure_replication import Replicas, View
from perdure_replication.testing import TestRuntime

V = TypeVar("V")


class Deposit(Message[int]):
    """The reply is the sequence number."""

    amount: int
    note: str = ""


class Deposited(Event):
    amount: int
    note: str = ""


class State(msgspec.Struct, frozen=True):
    balance: int = 0
    notes: tuple[str, ...] = ()


class Account(PersistentActor[State, Deposited]):
    initial_state = State()

    async def handle(self, message: Any, context: Any) -> int:
        await self.persist(Deposited(message.amount, message.note))
        return self.sequence_number

    def apply(self, state: State, event: Deposited) -> State:
        return State(state.balance + event.amount, (*state.notes, event.note) if event.note else state.notes)


class Basket(PersistentActor[list[int], Deposited]):
    """Its state is changed in place."""

    initial_state: ClassVar[list[int]] = []

    async def handle(self, message: Any, context: Any) -> int:
        await self.persist(Deposited(message.amount))
        return self.sequence_number

    def apply(self, state: list[int], event: Deposited) -> None:
        state.append(event.amount)


class Summary(msgspec.Struct, frozen=True):
    balance: int
    count: int


def summary(state: State) -> Summary:
    return Summary(state.balance, len(state.notes))


class Moved(msgspec.Struct, frozen=True):
    amount: int
    noted: bool


def moved(event: Deposited) -> Moved | None:
    return Moved(event.amount, bool(event.note)) if event.amount or event.note else None


def move(view: Summary, delta: Moved) -> Summary:
    return Summary(view.balance + delta.amount, view.count + delta.noted)


async def deposit(system: ActorSystem, key: str, *amounts: int, note: str = "") -> int:
    """Return the sequence number after some deposits."""
    number = 0
    for amount in amounts:
        number = await system.ref(Account, key).ask(Deposit(amount, note))
    return number


async def until(runtime: TestRuntime, holds: Callable[[], bool]) -> None:
    """Return when something holds, without any time for the nodes."""
    for _ in range(100):
        if holds():
            return
        await runtime.settle()
    assert holds()


async def reached(views: Replicas[V], key: str, number: int = 1) -> View[V]:
    """Return a view when it has so many events, and fail when it never has: the nodes' time stands still."""
    async with asyncio.timeout(20):
        return await views.wait(key, number)
