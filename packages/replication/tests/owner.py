"""An owner of accounts in a process of its own: `owner.py URL SECRET STORE`.

It deposits in all accounts at once, as soon and as long as it reads `load` and not `rest`, and prints each deposit that
was acknowledged, or refused.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec

from perdure import ActorSystem, Event, Message, PersistentActor
from perdure.security import EncryptedKey
from perdure_replication import KeyedState, Node, open_ports, replicate
from perdure_replication.tcp import TcpSettings

KEYS = [f"account-{number}" for number in range(8)]
SOON = TcpSettings(heartbeat=0.1, silence=1.0, backoff=0.02, backoff_most=0.2, suspicion=0.2, introduction=0.5)


class Deposit(Message[int]):
    """The reply is the sequence number."""

    amount: int


class Deposited(Event):
    amount: int


class Account(PersistentActor[tuple[int, ...], Deposited]):
    initial_state = ()

    async def handle(self, message: Any, context: Any) -> int:
        await self.persist(Deposited(message.amount))
        return self.sequence_number

    def apply(self, state: tuple[int, ...], event: Deposited) -> tuple[int, ...]:
        return (*state, event.amount)


class Deposits(KeyedState[int]):
    """How many deposits each account has had of this process."""


class Said(msgspec.Struct, frozen=True):
    """What is printed of one deposit: its sequence number, or the error by which it was refused."""

    key: str
    amount: int
    number: int = 0
    error: str = ""


ACCOUNTS = replicate(Account)


async def run(url: str, secret: str, store: str) -> None:
    ports = open_ports(url, secret=EncryptedKey(bytes.fromhex(secret)), settings=SOON)
    node = Node("owner", [], transport=ports.transport, membership=ports.membership)
    async with node, ActorSystem(store=store, owner="owner") as system:
        await ACCOUNTS.publish(node, system)
        await serve(node, system)


async def serve(node: Node, system: ActorSystem) -> None:
    deposits, tasks = node.keyed(Deposits), list[asyncio.Task[None]]()
    amounts = count(1)

    async def load(key: str) -> None:
        while True:
            said = Said(key, next(amounts))
            try:
                number = await system.ref(Account, key).ask(Deposit(said.amount))
            except Exception as error:
                said = Said(key, said.amount, error=type(error).__name__)
            else:
                said = Said(key, said.amount, number)
                deposits.put(key, number)
            print(msgspec.json.encode(said).decode(), flush=True)
            await asyncio.sleep(0.002)

    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(flush=True)
    while word := (await reader.readline()).decode().strip():
        if word == "load":
            tasks = [asyncio.create_task(load(key)) for key in KEYS]
        else:
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait(tasks)
            print(flush=True)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
