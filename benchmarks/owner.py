"""A process that owns accounts and keys, for another one that follows them."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, islice
from multiprocessing.connection import Connection
from time import monotonic_ns
from typing import Any

import msgspec

from benchmarks.account import Account, Deposit, Deposited
from perdure import ActorSystem, Context, Full, Message, never
from perdure.security import EncryptedKey
from perdure_replication import Keyed, KeyedState, Node, replicate
from perdure_replication.tcp import TcpMembership, TcpTransport

_PATIENCE = 120.0
_TICK = 0.001
_FILLED = 100
"""Events that are stored at once, where only their number matters."""


class Fill(Message[int]):
    """Ask for many durable events at once; the reply is the sequence number."""

    events: int


class Unsaved(Account):
    """An account without snapshots, so that a recovery without a view reads all events."""

    strategy = Full(snapshot=never)

    async def handle(self, message: Any, context: Context) -> int:
        match message:
            case Fill(events):
                await self.persist(*[Deposited(1)] * events)
                return self.sequence_number
        return await super().handle(message, context)


class Marks(KeyedState[int]):
    """Numbers, put in turn."""


class Made(msgspec.Struct, frozen=True):
    """A key has reached a number; when that was acknowledged, in nanoseconds of the machine's one monotonic clock."""

    key: str
    number: int
    at: int


class Shown(msgspec.Struct, frozen=True):
    """What a projection shows."""

    balance: int


def shown(balance: int) -> Shown:
    return Shown(balance)


STATE = replicate(Unsaved, name="state")
PROJECTED = replicate(Unsaved, name="projected", project=shown)


class Place(msgspec.Struct, frozen=True):
    """Where the nodes are, and what both share."""

    owner: str
    follower: str
    url: str
    """Of the broker; empty where there is none."""
    secret: bytes

    def node(self, name: str) -> Node:
        secret = EncryptedKey(self.secret)
        if self.url:
            from perdure_replication.redis import RedisMembership, RedisTransport

            broker = (RedisTransport(self.url, secret=secret), RedisMembership(self.url, secret=secret))
            return Node(name, [], transport=broker[0], membership=broker[1], cluster=self.secret.hex()[:8])
        own, other = (self.owner, self.follower) if name == "owner" else (self.follower, self.owner)
        transport = TcpTransport(own, secret=secret)
        return Node(name, [], transport=transport, membership=TcpMembership(transport, [other]))


class Owner:
    """The process in the hands of the other."""

    def __init__(self, place: Place, pipe: Connection, process: Any) -> None:
        self.place = place
        self._pipe = pipe
        self._process = process

    async def ask(self, what: str, *arguments: object) -> list[Made]:
        """Have it do something; return what it made."""
        self._pipe.send((what, *arguments))
        made: list[Made] = await asyncio.to_thread(self._answer)
        return made

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        if not self._pipe.poll(_PATIENCE):
            raise TimeoutError(f"the owner says nothing for {_PATIENCE:g} s")
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def owner(store: str, url: str) -> AsyncIterator[Owner]:
    """Run an owner of what is in a store, which speaks over TCP or over the broker at a URL."""
    place = Place(_free_address(), _free_address(), url, secrets.token_bytes(32))
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    process = context.Process(target=_run, args=(other, place, store), daemon=True)
    process.start()
    other.close()
    try:
        yield Owner(place, pipe, process)
    finally:
        process.kill()
        process.join()
        pipe.close()


def _free_address() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


# The process.


def _run(pipe: Connection, place: Place, store: str) -> None:
    logging.getLogger("perdure.replication").setLevel(logging.ERROR)
    asyncio.run(_serve(pipe, place, store))


async def _serve(pipe: Connection, place: Place, store: str) -> None:
    async with place.node("owner") as node, ActorSystem(store=store, max_live=100_000) as system:
        work = Work(system, node.keyed(Marks))
        for replicated in (STATE, PROJECTED):
            await replicated.publish(node, system)
        while True:
            what, *arguments = await asyncio.to_thread(pipe.recv)
            try:
                pipe.send(await getattr(work, what)(*arguments))
            except Exception as error:
                pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


class Work:
    """What the process does when it is asked to."""

    def __init__(self, system: ActorSystem, marks: Keyed[int]) -> None:
        self._system = system
        self._marks = marks
        self._number = 0

    async def pace(self, what: str, seconds: float, a_second: int, keys: int) -> list[Made]:
        """Make so many a second, evenly, each of another key."""
        make = self._put if what == "keyed" else self._deposit
        made: list[Made] = []
        tasks: set[asyncio.Task[None]] = set()
        names = cycle([f"{what}-{number}" for number in range(keys)])
        began, begun = monotonic_ns(), 0
        while (passed := (monotonic_ns() - began) / 1e9) < seconds:
            due = int(passed * a_second) + 1
            for key in islice(names, max(0, due - begun)):
                task = asyncio.create_task(make(key, made))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            begun = max(begun, due)
            await asyncio.sleep(_TICK)
        if tasks:
            await asyncio.wait(tasks)
        return made

    async def fill(self, events: int, actors: int) -> list[Made]:
        """Give so many new accounts so many events; return the last of each."""
        life = monotonic_ns()
        keys = [f"fill-{life}-{number}" for number in range(actors)]
        number = 0
        for begin in range(0, events, _FILLED):
            some = Fill(min(_FILLED, events - begin))
            [number, *_] = await asyncio.gather(*(self._system.ref(Unsaved, key).ask(some) for key in keys))
        return [Made(key, number, monotonic_ns()) for key in keys]

    async def _deposit(self, key: str, made: list[Made]) -> None:
        number = await self._system.ref(Unsaved, key).ask(Deposit(1))  # the balance, which is the number of deposits
        made.append(Made(key, number, monotonic_ns()))

    async def _put(self, key: str, made: list[Made]) -> None:
        self._number += 1
        self._marks.put(key, self._number)
        made.append(Made(key, self._number, monotonic_ns()))
