"""Actors and messages in a module that the workers of a cluster import too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from perdure import ActorSystem, Event, Keyring, Message, PersistentActor, Rejected
from perdure.actors import Context
from perdure_replication.ray import RayHosts

STORE = "PERDURE_TEST_STORE"  # the variables in which workers find what is not sent to them
KEYS = "PERDURE_TEST_KEYS"


class Statement(msgspec.Struct, frozen=True):
    """What an account says of itself."""

    balance: int
    process: int


class TooLittle(Rejected):
    """A refusal of this bank's own."""

    def __init__(self, missing: int) -> None:
        super().__init__(missing)
        self.missing = missing


class Unmakeable(Exception):
    """An error that cannot be made of its arguments."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"because of {reason}")


class Deposit(Message[int]):
    amount: int
    note: str = ""


class Withdraw(Message[int]):
    amount: int


class Send(Message[int]):
    """Have an account pass money on to another, which may live at another host."""

    amount: int
    to: str


class State(Message[Statement]):
    pass


class Fail(Message[int]):
    how: str


class Wait(Message[int]):
    seconds: float


class Mumble(Message[int]):
    """A message whose reply is not what it promises."""


class Deposited(Event):
    amount: int
    note: str = ""


class Account(PersistentActor[int, Deposited]):
    """Its state is its balance."""

    initial_state = 0

    async def handle(self, message: Any, context: Context) -> Any:
        match message:
            case Deposit(amount, note):
                await self.persist(Deposited(amount, note))
                return self.state
            case Withdraw(amount):
                if amount > self.state:
                    raise TooLittle(amount - self.state)
                await self.persist(Deposited(-amount))
                return self.state
            case Send(amount, to):
                hosts = context.system.resource("hosts", RayHosts)
                await self.persist(Deposited(-amount))
                return await hosts.ref(Account, to).ask(Deposit(amount))
            case State():
                return Statement(self.state, os.getpid())
            case Wait(seconds):
                await asyncio.sleep(seconds)
                return self.state
            case Mumble():
                return "not a number"
            case Fail("unmakeable"):
                raise Unmakeable(reason="a test")
            case Fail(how):
                raise ValueError(f"cannot {how}", 7)

    def apply(self, state: int, event: Deposited) -> int:
        return state + event.amount


@asynccontextmanager
async def sealed_system(owner: str) -> AsyncIterator[ActorSystem]:
    """Open a system whose store and keys are in the worker's environment; idle actors are put away at once."""
    sealing = Keyring.from_environment(KEYS)
    async with ActorSystem(store=os.environ[STORE], owner=owner, sealing=sealing, passivate_after=0.01) as system:
        yield system
