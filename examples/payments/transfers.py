"""Transfers: each is an actor that takes its steps one after the other, and goes on where it was after a crash.

    ordered -> debited -> credited -> completed
       |          `-----> returning -> returned -> refused
       `-> refused

A step is asked of an account first, and stored here when the account has stored it. Whatever dies in between, the step
is asked for again, and the account knows that it has it. Once a transfer has ended it asks for nothing any more, so the
accounts may forget it.
"""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

import msgspec
from examples.payments.accounts import Account, Leg, Post, Settle

from perdure import Context, Event, Message, PersistentActor, Rejected

Stage: TypeAlias = Literal["ordered", "debited", "credited", "completed", "returning", "returned", "refused"]
ENDS: frozenset[Stage] = frozenset({"completed", "refused"})


class Order(msgspec.Struct, frozen=True):
    source: str
    target: str
    amount: int


class Progress(msgspec.Struct, frozen=True):
    """How far a transfer is; `reason` says why it is refused."""

    order: Order
    stage: Stage = "ordered"
    reason: str = ""


class Pay(Message[Progress]):
    """Make this transfer, if it is not made yet; the reply is how it ended."""

    order: Order


class Resume(Message[Progress]):
    """Take the steps that are left."""


class Look(Message[Progress]):
    """Say how far it is."""


class Ordered(Event):
    order: Order


class Reached(Event):
    stage: Stage
    reason: str = ""


class AnotherOrder(Rejected):
    """The id was used for another transfer."""


class NoTransfer(Rejected):
    """No transfer of this id was ordered."""


class Transfer(PersistentActor[Progress | None, Ordered | Reached]):
    initial_state = None

    async def handle(self, message: Pay | Resume | Look, context: Context) -> Progress:
        match message:
            case Pay(order):
                await self._order(order, context.key)
            case _ if self.state is None:
                raise NoTransfer(f"there is no transfer {context.key!r}")
            case Look():
                return self.state
        while self._progress.stage not in ENDS:
            await self._step(context)
        return self._progress

    def apply(self, progress: Progress | None, event: Ordered | Reached) -> Progress:
        match event:
            case Ordered(order):
                return Progress(order)
            case Reached(stage, reason):
                assert progress is not None
                return Progress(progress.order, stage, reason or progress.reason)

    @property
    def _progress(self) -> Progress:
        assert self.state is not None
        return self.state

    async def _order(self, order: Order, transfer: str) -> None:
        if self.state is None:
            await self.persist(Ordered(order))
        elif self.state.order != order:
            raise AnotherOrder(f"transfer {transfer!r} is another one: take a new id for each transfer")

    async def _step(self, context: Context) -> None:
        order = self._progress.order
        match self._progress.stage:
            case "ordered":
                await self._post(context, order.source, "debit", -order.amount, "debited", "refused")
            case "debited":
                await self._post(context, order.target, "credit", order.amount, "credited", "returning")
            case "returning":
                await context.system.ref(Account, order.source).ask(Post(context.key, "refund", order.amount))
                await self.persist(Reached("returned"))
            case "credited":
                await self._settle(context, order.source, order.target)
                await self.persist(Reached("completed"))
            case "returned":
                await self._settle(context, order.source)
                await self.persist(Reached("refused"))

    async def _post(
        self, context: Context, account: str, leg: Leg, amount: int, then: Stage, if_rejected: Stage
    ) -> None:
        try:
            await context.system.ref(Account, account).ask(Post(context.key, leg, amount))
        except Rejected as refusal:
            await self.persist(Reached(if_rejected, str(refusal)))
        else:
            await self.persist(Reached(then))

    async def _settle(self, context: Context, *accounts: str) -> None:
        refs = [context.system.ref(Account, account) for account in accounts]
        await asyncio.gather(*(ref.ask(Settle(context.key)) for ref in refs))
