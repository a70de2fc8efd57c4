"""Nodes that are killed at random under load, and lose nothing: `python examples/killed_nodes.py --runtime pykka`.

Some processes, each a node of one cluster with an actor runtime, host durable accounts that are all in one store. Each
account has an owner, one of the nodes that are there, whom all compute from the members that they see. This program
pays in, through actors of the owner, as fast as replies come, and kills nodes with SIGKILL all the while; they come
back. When two nodes take themselves for the owner, the store lets the one write that has claimed the account last.

In the end it compares the log with every acknowledged payment: it is there, once, under the number that was
acknowledged; and each account is in the memory of one node, its owner, who is the one that has claimed it. A payment
that is not acknowledged is repeated under its id, which an account knows again.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from itertools import count, pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from perdure import ActorSystem, Context, Event, Keyring, Message, PerdureError, PersistentActor
from perdure.errors import Superseded
from perdure.security import write_key_file
from perdure_replication import Joined, MembershipEvent, Node, Settings
from perdure_replication.runtime import ActorGroups, ActorRuntime, open_runtime
from perdure_replication.tcp import TcpMembership, TcpSettings, TcpTransport

DESKS = 16
"""Actors of each node that take payments, so many at a time."""
ASK_TIMEOUT = 5.0
PATIENCE = 60.0
"""Seconds after which something will not happen any more."""
SOON = TcpSettings(heartbeat=0.2, silence=3.0, backoff=0.02, backoff_most=0.3, courtesy=0.02, suspicion=0.2)
"""Who was killed is found out in less than a second."""


# The accounts.


class Deposit(Message[int]):
    """Is answered with the sequence number under which it is in the log."""

    id: int
    amount: int


class Deposited(Event):
    id: int
    amount: int


class Balance(msgspec.Struct):
    amount: int = 0
    numbers: dict[int, int] = {}
    """The sequence number of each payment, by its id."""


class Account(PersistentActor[Balance, Deposited]):
    """Takes each payment once, however often it comes."""

    initial_state = Balance()

    async def handle(self, message: Deposit, context: Context) -> int:
        if message.id not in self.state.numbers:
            await self.persist(Deposited(message.id, message.amount))
        return self.state.numbers[message.id]

    def apply(self, balance: Balance, event: Deposited) -> None:
        balance.amount += event.amount
        balance.numbers[event.id] = len(balance.numbers) + 1


# A node.


class Pay(msgspec.Struct, frozen=True):
    id: int
    account: str
    amount: int


class Paid(msgspec.Struct, frozen=True):
    number: int


class NotMine(msgspec.Struct, frozen=True):
    """The answer of a node that does not take itself for the owner, for it sees these nodes."""

    seen: tuple[str, ...]


MESSAGES = (Pay, Paid, NotMine)


class Owners:
    """Who owns what: of the nodes that are there, the one whose hash with the account is the greatest."""

    def __init__(self, *names: str) -> None:
        self.names: frozenset[str] = frozenset(names)

    def hear(self, event: MembershipEvent) -> None:
        if not isinstance(event, Joined):
            self.names -= {event.name}
        elif event.member.name.startswith("node-"):
            self.names |= {event.member.name}

    def of(self, account: str) -> str:
        """Return the owner; empty when nobody is there."""
        return max(self.names, key=lambda name: blake2b(f"{name} {account}".encode()).digest(), default="")


class Office:
    """What a node does: its desks take payments for the accounts that it owns, and it lets go of all others."""

    def __init__(self, name: str, system: ActorSystem, runtime: ActorRuntime) -> None:
        self._name = name
        self._system = system
        self._runtime = runtime
        self._owners = Owners(name)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._runtime.cluster_events.subscribe(self._hear)
        for number in range(DESKS):
            handler = self.take if self._runtime.awaits else self.take_in_thread
            await self._runtime.spawn(f"desk-{number}", handler)

    async def take(self, message: Pay | str) -> Paid | NotMine | list[str]:
        """Take a payment; return the accounts in memory for any other message."""
        if not isinstance(message, Pay):
            return [ref.key for ref in self._system.children("/Account")]
        if self._owners.of(message.account) != self._name:
            return NotMine(tuple(sorted(self._owners.names)))
        account = self._system.ref(Account, message.account)
        try:
            return Paid(await account.ask(Deposit(message.id, message.amount), timeout=ASK_TIMEOUT))
        except Superseded:
            await self._system.reclaim(account)  # the members say that it is this node's, whoever had it meanwhile
            raise

    def take_in_thread(self, message: Pay | str) -> Paid | NotMine | list[str]:
        """Do the same from the thread of an actor, which waits; the event loop does not."""
        return self._runtime.wait(self.take(message))

    def _hear(self, event: MembershipEvent) -> None:
        self._owners.hear(event)
        task = asyncio.get_running_loop().create_task(self._let_go())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _let_go(self) -> None:
        for ref in self._system.children("/Account"):
            if self._owners.of(ref.key) != self._name:
                await ref.stop()


def cluster_node(name: str, secret: Path, *seeds: str) -> tuple[Node, TcpTransport]:
    transport = TcpTransport("127.0.0.1:0", secret=Keyring.from_file(secret), settings=SOON)
    membership = TcpMembership(transport, seeds, settings=SOON)
    settings = Settings(digest_interval=1.0)
    return Node(name, [ActorGroups], transport=transport, membership=membership, settings=settings), transport


async def serve(options: argparse.Namespace) -> None:
    """Be a node until somebody says that it is enough."""
    logging.getLogger("perdure").setLevel(logging.CRITICAL)  # that actors are superseded is to be seen here
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    node, _ = cluster_node(options.node, options.secret, options.address)
    async with (
        ActorSystem(store=options.store, owner=options.node) as system,
        node,
        open_runtime(options.runtime, node=node, messages=MESSAGES) as runtime,
    ):
        await Office(options.node, system, runtime).open()
        await over.wait()


# The trial.


class Acknowledged(NamedTuple):
    account: str
    number: int


class Entry(NamedTuple):
    """An event: its number, the payment, and the epoch of the claim under which it was written."""

    number: int
    id: int
    epoch: int


Log: TypeAlias = Mapping[str, list[Entry]]
"""The events of each account."""


def faults(
    log: Log, sent: Collection[int], acknowledged: Mapping[int, Acknowledged], held: Mapping[str, list[str]]
) -> Iterator[str]:
    """Yield in words what is wrong with the log, and with who holds what. `held` has the accounts of each node."""
    places: dict[int, list[Acknowledged]] = {}
    for account, events in log.items():
        if [event.number for event in events] != list(range(1, len(events) + 1)):
            yield f"the log of {account} has gaps, or one number twice"
        if any(after.epoch < before.epoch for before, after in pairwise(events)):
            yield f"an earlier owner of {account} has written after a later one"
        for event in events:
            places.setdefault(event.id, []).append(Acknowledged(account, event.number))
    for id, at in places.items():
        if len(at) > 1:
            yield f"the payment {id} is in the log {len(at)} times"
        if id not in sent:
            yield f"nobody has made the payment {id}"
    for id, place in acknowledged.items():
        if place not in places.get(id, []):
            yield f"the payment {id} was acknowledged as number {place.number} of {place.account}, and is not there"
    yield from misplaced(held)


def misclaimed(claims: Mapping[str, str], names: Collection[str]) -> Iterator[str]:
    """Yield in words which accounts somebody else has claimed last than their owner."""
    owners = Owners(*names)
    for account, name in claims.items():
        if name != owners.of(account):
            yield f"the store says that {account} is of {name or 'nobody'}, and it is of {owners.of(account)}"


def misplaced(held: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield in words which accounts are not with their owner, or with two nodes."""
    owners = Owners(*held)
    for account, holders in Counter(account for accounts in held.values() for account in accounts).items():
        if holders > 1:
            yield f"{account} is in the memory of {holders} nodes"
    for name, accounts in held.items():
        yield from (f"{name} holds {each}, of {owners.of(each)}" for each in accounts if owners.of(each) != name)


class NotSoFar(Exception):
    """Something does not happen."""


class Trial:
    """A cluster under load, from its start to its end."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._secret = folder / "cluster.key"
        self._random = random.Random(options.seed)
        self._ids = count(1)
        self._owners = Owners()
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._names = [f"node-{number}" for number in range(options.nodes)]
        self._accounts = [f"account-{number}" for number in range(options.accounts)]
        self._address = ""
        self._reasons: Counter[str] = Counter()
        self.acknowledged: dict[int, Acknowledged] = {}
        self.sent = 0
        self.kills = 0
        self.repeats = 0
        self.longest = 0.0
        """Seconds that the slowest payment took, its repetitions included."""

    async def run(self) -> list[str]:
        """Return what was wrong."""
        write_key_file(self._secret)
        node, transport = cluster_node("clients", self._secret)
        async with node, open_runtime(self._options.runtime, node=node, messages=MESSAGES) as runtime:
            self._address = transport.address
            runtime.cluster_events.subscribe(self._owners.hear)
            try:
                held = await self._work(runtime)
            finally:
                await asyncio.gather(*(self._end(name, signal.SIGTERM) for name in self._names))
        log, claims = await read(self._options.store, self._accounts)
        return [
            *faults(log, range(1, self.sent + 1), self.acknowledged, held),
            *misclaimed(claims, self._names),
        ]

    async def _work(self, runtime: ActorRuntime) -> dict[str, list[str]]:
        for name in self._names:
            await self._start(name)
        await self._all_there(runtime)
        deadline = time.monotonic() + self._options.seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self._options.clients):
                group.create_task(self._client(runtime, deadline))
            group.create_task(self._killer(deadline))
        await self._all_there(runtime)
        for account in self._accounts:
            await self._pay(runtime, account)
        return await self._held(runtime)

    async def _client(self, runtime: ActorRuntime, deadline: float) -> None:
        while time.monotonic() < deadline:
            await self._pay(runtime, self._random.choice(self._accounts))

    async def _pay(self, runtime: ActorRuntime, account: str) -> None:
        """Pay something in, as often as it takes until it is acknowledged."""
        pay = Pay(next(self._ids), account, self._random.randint(1, 100))
        self.sent = max(self.sent, pay.id)
        began, waited = time.monotonic(), 0.0
        while not isinstance(reply := await self._try(runtime, pay), Paid):
            self.repeats += 1
            self._reasons[f"{self._owners.of(account)}: {reply}"] += 1
            if waited > PATIENCE:
                raise NotSoFar(f"no payment into {account} for {PATIENCE:g} s: {self._reasons.most_common(9)}")
            await asyncio.sleep(0.02)
            waited += min(time.monotonic() - began - waited, ASK_TIMEOUT)  # a machine that slept has not waited
        self.acknowledged[pay.id] = Acknowledged(account, reply.number)
        self.longest = max(self.longest, time.monotonic() - began)

    async def _try(self, runtime: ActorRuntime, pay: Pay) -> object:
        """Return the reply of the owner, or why there is none."""
        owner = self._owners.of(pay.account)
        if not owner:
            return "nobody is there"
        try:
            return await runtime.remote(owner, f"desk-{pay.id % DESKS}").ask(pay, timeout=ASK_TIMEOUT)
        except PerdureError as error:
            return f"{type(error).__name__}: {error}"

    async def _killer(self, deadline: float) -> None:
        while time.monotonic() + 1.0 < deadline:
            await asyncio.sleep(self._random.uniform(0.3, 1.5))
            if len(self._owners.names) < 2:
                continue  # else on a busy machine nobody would ever be there
            victim = self._random.choice(sorted(self._owners.names))
            await self._end(victim, signal.SIGKILL)
            self.kills += 1
            await asyncio.sleep(self._random.uniform(0.0, 0.5))
            await self._start(victim)

    async def _held(self, runtime: ActorRuntime) -> dict[str, list[str]]:
        """Return which accounts each node has in memory, once each has let go of what is not its own."""
        deadline = time.monotonic() + PATIENCE
        held = await self._all_there(runtime)
        while list(misplaced(held)) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            held = await self._all_there(runtime)
        return held

    async def _all_there(self, runtime: ActorRuntime) -> dict[str, list[str]]:
        """Wait until all nodes answer, for one that was killed is a member until that is found out."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(PerdureError):
                    desks = [runtime.remote(name, "desk-0") for name in self._names]
                    answers = [await desk.ask("held", timeout=ASK_TIMEOUT) for desk in desks]
                    if self._owners.names == set(self._names):
                        return dict(zip(self._names, answers, strict=True))
                await asyncio.sleep(0.02)

    async def _start(self, name: str) -> None:
        arguments = [f"--{option}={getattr(self._options, option)}" for option in ("runtime", "store")]
        arguments += [f"--node={name}", f"--secret={self._secret}", f"--address={self._address}"]
        self._children[name] = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments)

    async def _end(self, name: str, number: signal.Signals) -> None:
        if (child := self._children.get(name)) is not None:
            with suppress(ProcessLookupError):
                child.send_signal(number)
            await child.wait()


async def read(store: str, accounts: Collection[str]) -> tuple[Log, dict[str, str]]:
    """Return the log, and who has claimed each account last."""
    log: dict[str, list[Entry]] = {}
    claims: dict[str, str] = {}
    async with ActorSystem(store=store, owner="reader") as system:
        query = system.query(Account)
        for account in accounts:
            events = query.events_of(f"Account/{account}")
            log[account] = [Entry(each.sequence_number, each.event.id, each.epoch) async for each in events]
            owner = await system.owner_of(system.ref(Account, account))
            claims[account] = owner.name if owner is not None else ""
    return log, claims


async def demo(options: argparse.Namespace) -> int:
    """Run the trial, and print the verdict; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        if options.store is None:
            options.store = f"sqlite:///{folder}/accounts.db"
        print(f"{options.nodes} nodes with {options.runtime}'s actors, {options.accounts} accounts in {options.store}")
        trial = Trial(options, Path(folder))
        wrong = await trial.run()
    for each in wrong[:10]:
        print(each)
    print(
        f"{'FAILED' if wrong else 'OK'}: {trial.kills} kills in {options.seconds:g} s (seed {options.seed}); "
        f"{len(trial.acknowledged):,} payments acknowledged, {len(wrong)} faults; {trial.repeats:,} repetitions, "
        f"the slowest payment took {trial.longest:.1f} s"
    )
    return 1 if wrong else 0


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill nodes at random under load, and compare the log.")
    parser.add_argument("--runtime", default="perdure", help="perdure or pykka")
    parser.add_argument("--store", help="URL of a new store (default: a SQLite file in a temporary folder)")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--clients", type=int, default=32, help="payments under way at a time")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load and kills")
    parser.add_argument("--seed", type=int, default=random.randrange(1000), help="of the kills and payments")
    for name in ("node", "secret", "address"):  # of a node's own process
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    return parser.parse_args(given)


if __name__ == "__main__":
    options = arguments()
    if options.node:
        asyncio.run(serve(options))
    else:
        sys.exit(asyncio.run(demo(options)))
