"""The actor that is measured, and its records."""

from __future__ import annotations

import time
from typing import Any

from perdure import Context, Event, Message, PersistentActor
from perdure.journal import EventCodec, StateCodec


class Deposit(Message[int]):
    """Ask for one durable event; the reply is the balance."""

    amount: int


class Balance(Message[int]):
    """Ask for the balance, and store nothing."""


class Deposited(Event):
    amount: int


class Account(PersistentActor[int, Deposited]):
    """The README's account: snapshots every 100 events, as every actor has them unless it says otherwise."""

    initial_state = 0

    async def handle(self, message: Any, context: Context) -> int:
        match message:
            case Deposit(amount):
                await self.persist(Deposited(amount))
        return self.state

    def apply(self, balance: int, event: Deposited) -> int:
        return balance + event.amount


def event_record(amount: int) -> bytes:
    """Return the bytes that the store keeps of one event."""
    return _events.encode(Deposited(amount), time.time_ns() // 1000)


def snapshot_record(balance: int, sequence_number: int) -> bytes:
    """Return the bytes that the store keeps of a snapshot."""
    return _states.encode(balance, sequence_number, time.time_ns() // 1000)


_events = EventCodec(Account.type_name, [Deposited])
_states: StateCodec[int] = StateCodec(Account.type_name, int)
