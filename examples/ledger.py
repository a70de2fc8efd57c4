"""A ledger that is killed again and again, and loses nothing: `python examples/ledger.py`.

A thousand accounts, one durable actor each, take transfers in a child process. This program kills that process with
SIGKILL at random moments, reads the log that it left, and starts it again.

A transfer touches two actors, and the process may die between any two of its three steps: debit the source, which
holds the transfer from then on; credit the target; confirm it to the source, which lets go of it. Each step may be
asked for again, for an account knows the transfers that it has seen. So a new process first finishes what its accounts
still hold; then the clients repeat what was never acknowledged. Accounts may go below zero.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeAlias
from zlib import crc32

import msgspec

from perdure import ActorRef, ActorSystem, Context, Event, Message, PerdureError, PersistentActor
from perdure.abc import Backend

OPENING = 10_000
"""What each account holds at first."""

CLIENTS = 1_000
"""Transfers under way at a time."""

ENDLESS = -1
"""In place of the id of the last transfer."""


# The accounts.


class Transfer(msgspec.Struct, frozen=True):
    """Money on its way; the same id is the same transfer, however often it is asked for."""

    id: int
    source: str
    target: str
    amount: int


class Debit(Message[int]):
    transfer: Transfer


class Credit(Message[int]):
    transfer: Transfer


class Confirm(Message[int]):
    transfer: Transfer


class Balance(Message[int]):
    pass


class Held(Message[tuple[Transfer, ...]]):
    pass


class Debited(Event):
    transfer: Transfer


class Credited(Event):
    transfer: Transfer


class Confirmed(Event):
    transfer: Transfer


Step: TypeAlias = Debited | Credited | Confirmed
STEPS: dict[str, type[Step]] = {step.__name__: step for step in (Debited, Credited, Confirmed)}


class Book(msgspec.Struct):
    """The state of an account: `held` are the transfers that left it and are not confirmed.

    It remembers every transfer for ever; a real one would forget those that no client can repeat any more.
    """

    balance: int = OPENING
    held: dict[int, Transfer] = {}
    sent: set[int] = set()
    received: set[int] = set()


class Account(PersistentActor[Book, Step]):
    """Takes each step of a transfer once, and replies with the balance after it."""

    initial_state = Book()

    async def handle(
        self, message: Debit | Credit | Confirm | Balance | Held, context: Context
    ) -> int | tuple[Transfer, ...]:
        book = self.state
        match message:
            case Debit(transfer) if transfer.id not in book.sent:
                await self.persist(Debited(transfer))
            case Credit(transfer) if transfer.id not in book.received:
                await self.persist(Credited(transfer))
            case Confirm(transfer) if transfer.id in book.held:
                await self.persist(Confirmed(transfer))
            case Held():
                return tuple(book.held.values())
        return self.state.balance

    def apply(self, book: Book, event: Step) -> None:
        match event:
            case Debited(transfer):
                book.balance -= transfer.amount
                book.held[transfer.id] = transfer
                book.sent.add(transfer.id)
            case Credited(transfer):
                book.balance += transfer.amount
                book.received.add(transfer.id)
            case Confirmed(transfer):
                del book.held[transfer.id]


def accounts_of(system: ActorSystem, number: int) -> dict[str, ActorRef]:
    return {key: system.ref(Account, key) for key in (f"{n:04}" for n in range(number))}


async def carry_out(transfer: Transfer, accounts: Mapping[str, ActorRef]) -> None:
    """Take all three steps, or those that are left; when this returns, they are durable."""
    await accounts[transfer.source].ask(Debit(transfer))
    await accounts[transfer.target].ask(Credit(transfer))
    await accounts[transfer.source].ask(Confirm(transfer))


# The process that is killed.


async def serve(options: argparse.Namespace) -> None:
    """Finish what the accounts hold, then carry out transfers, and acknowledge each on standard output."""
    async with ActorSystem(store=options.store) as system:
        accounts = accounts_of(system, options.accounts)
        began = time.perf_counter()
        held = await asyncio.gather(*(account.ask(Held()) for account in accounts.values()))
        print(f"recovered {time.perf_counter() - began} {sum(map(len, held))}", flush=True)
        async with asyncio.TaskGroup() as clients:
            for transfer in (transfer for transfers in held for transfer in transfers):
                clients.create_task(carry_out(transfer, accounts))
        transfers = requests(options.seed, list(accounts), *options.serve)
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(client(transfers, accounts))


async def client(transfers: Iterator[Transfer], accounts: Mapping[str, ActorRef]) -> None:
    """Ask for one transfer after the other; all clients take theirs from the same line."""
    for transfer in transfers:
        await carry_out(transfer, accounts)
        print(transfer.id, flush=True)


def requests(seed: int, keys: list[str], first: int, last: int) -> Iterator[Transfer]:
    """Yield the transfers from `first` to `last`, or for ever; an id always means the same transfer."""
    for id in count(first) if last == ENDLESS else range(first, last + 1):
        a, b, c = struct.unpack("<III", blake2b(b"%d %d" % (seed, id), digest_size=12).digest())
        source = a % len(keys)
        target = (source + 1 + b % (len(keys) - 1)) % len(keys)
        yield Transfer(id, keys[source], keys[target], 1 + c % 100)


# The check.


class Posting(NamedTuple):
    """An event in the log of an account, and its sequence number there."""

    account: str
    number: int
    event: Step


class Audit:
    """What a log says, without asking any actor."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.events = 0
        self.balances: dict[str, int] = defaultdict(lambda: OPENING)
        self._heads: dict[str, int] = defaultdict(int)
        self._debited: dict[int, Transfer] = {}
        self._credited: dict[int, Transfer] = {}
        self._confirmed: dict[int, Transfer] = {}

    @property
    def last_id(self) -> int:
        """The greatest id of a transfer; -1 when there is none."""
        return max(self._debited, default=-1)

    def read(self, posting: Posting) -> None:
        """Take the next event, in the order in which they became durable."""
        account, number, event = posting
        transfer = event.transfer
        if number != self._heads[account] + 1:
            self.problems.append(f"account {account}: event {number} comes after event {self._heads[account]}")
        self._heads[account] = number
        self.events += 1
        match event:
            case Debited():
                self._note("debited", transfer, self._debited, account == transfer.source)
                self.balances[account] -= transfer.amount
            case Credited():
                self._note("credited", transfer, self._credited, account == transfer.target, after=self._debited)
                self.balances[account] += transfer.amount
            case Confirmed():
                self._note("confirmed", transfer, self._confirmed, account == transfer.source, after=self._credited)

    def close(self, recovered: Mapping[str, int], acknowledged: Collection[int]) -> None:
        """Compare the log with the accounts as they were recovered, and with what the clients were told."""
        for id in sorted(acknowledged):
            if id not in self._confirmed:
                self.problems.append(f"transfer {id} is lost: it was acknowledged, and its log is not complete")
        for account, balance in recovered.items():
            if balance != self.balances[account]:
                logged = self.balances[account]
                self.problems.append(f"account {account} recovered with {balance}, and its log says {logged}")
        held = sum(self._debited[id].amount for id in self._debited.keys() - self._credited.keys())
        total, opening = sum(recovered.values()) + held, len(recovered) * OPENING
        if total != opening:
            self.problems.append(f"the total is {total:,}, and was {opening:,}")

    def _note(
        self,
        step: str,
        transfer: Transfer,
        seen: dict[int, Transfer],
        is_here: bool,
        after: Mapping[int, Transfer] | None = None,
    ) -> None:
        """Take a step of a transfer, which belongs here, once, and after the same transfer's step before it."""
        if not is_here:
            self.problems.append(f"{transfer} is {step} at the wrong account")
        if transfer.id in seen:
            self.problems.append(f"{transfer} is {step} twice")
        if after is not None and after.get(transfer.id) != transfer:
            self.problems.append(f"{transfer} is {step} without the step before")
        seen[transfer.id] = transfer


async def audited(options: argparse.Namespace, acknowledged: Collection[int]) -> Audit:
    """Read the whole log, recover all accounts, and compare."""
    audit = Audit()
    async with ActorSystem(store=options.store) as system:
        try:
            async for posting in postings(system.backend):
                audit.read(posting)
            accounts = accounts_of(system, options.accounts)
            balances = await asyncio.gather(*(account.ask(Balance()) for account in accounts.values()))
        except (PerdureError, ValueError) as error:
            audit.problems.append(f"{type(error).__name__}: {error}")
        else:
            audit.close(dict(zip(accounts, balances, strict=True)), acknowledged)
    return audit


async def postings(backend: Backend) -> AsyncIterator[Posting]:
    """Yield every event of the store, in the order in which they became durable."""
    offset = None
    while (page := await backend.feed("events", offset, limit=5_000)).records:
        offset = page.offset
        for persistence_id, number, record in page.records:
            yield Posting(persistence_id.removeprefix("Account/"), number, decoded(record))


def decoded(record: bytes) -> Step:
    """Return the event of a stored record, read without perdure: a bug must not be on both sides of a check."""
    if crc32(record[6:]) != int.from_bytes(record[2:6], "big"):
        raise ValueError(f"a record is damaged: {record!r}")
    name, _version, _timestamp, payload, _metadata = msgspec.msgpack.decode(record[6:])
    return msgspec.convert(payload, STEPS[name])


# The program that kills.


class UsedStore(Exception):
    """The demo counts from nothing, and the store holds events already."""

    def __init__(self, store: str) -> None:
        super().__init__(f"{store} holds events already: name a new store")


class Life:
    """One process of the ledger, as its parent sees it."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self.exit_code: int | None = None
        self._recovery = 0.0
        self._held = 0
        self._ready = self._ended = 0.0

    def summary(self, events: int) -> str:
        """Return a line of the table; `events` is how many the process has added to the log."""
        if not self._ready:
            return f"{'-':>9}  {'-':>5}  {'-':>12}  {'-':>6}  {'-':>8}"
        seconds = self._ended - self._ready
        return (
            f"{self._recovery * 1000:6,.0f} ms  {self._held:5,}  {len(self.acknowledged):12,}  "
            f"{seconds:4.1f} s  {events / seconds:8,.0f}"
        )

    async def run(self, options: argparse.Namespace, first: int, last: int, limit: float | None) -> None:
        """Have a process carry out transfers, and kill it after `limit` seconds."""
        arguments = [f"--{name}={getattr(options, name)}" for name in ("store", "accounts", "seed")]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, *arguments, "--serve", str(first), str(last)),
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        async with asyncio.TaskGroup() as listening:
            listening.create_task(self._listen(process.stdout))
            try:
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), limit)
            finally:
                if process.returncode is None:
                    process.kill()
        self._ended = time.monotonic()
        self.exit_code = await process.wait()

    async def _listen(self, output: asyncio.StreamReader) -> None:
        """Take what the process says, to the last whole line; some may be in the pipe when the process is gone."""
        while (line := await output.readline()).endswith(b"\n"):
            match line.split():
                case [b"recovered", seconds, held]:
                    self._ready = time.monotonic()
                    self._recovery, self._held = float(seconds), int(held)
                case [id]:
                    self.acknowledged.add(int(id))
                    if len(self.acknowledged) % 500 == 0:
                        show(f"{len(self.acknowledged):,} transfers acknowledged …", passing=True)


class Trial:
    """Lives that end by SIGKILL, and one that completes what they left."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.acknowledged: set[int] = set()
        self.problems: list[str] = []
        self._options = options
        self._audit = Audit()

    async def run(self) -> None:
        """Run until all is done, or `problems` are found."""
        async with ActorSystem(store=self._options.store) as system:
            if (await system.backend.feed("events", limit=1)).records:
                raise UsedStore(self._options.store)
        show("life  recovered   held  acknowledged   lived  events/s  log checked")
        moments = random.Random(self._options.seed)
        for number in range(1, self._options.rounds + 1):
            await self._live(number, ENDLESS, moments.uniform(0, self._options.seconds))
            if self.problems:
                return
        last = self._audit.last_id + CLIENTS
        await self._live(self._options.rounds + 1, last, None)
        self._expect_all(last)

    async def _live(self, number: int, last: int, limit: float | None) -> None:
        life, first, before = Life(), self._first_open(), self._audit.events
        await life.run(self._options, first, last, limit)
        self.acknowledged |= life.acknowledged
        began = time.perf_counter()
        self._audit = await audited(self._options, self.acknowledged)
        seconds = time.perf_counter() - began
        self.problems += self._audit.problems
        if life.exit_code != (0 if limit is None else -signal.SIGKILL):
            self.problems.append(f"the ledger ended by itself, with exit code {life.exit_code}")
        new = life.summary(self._audit.events - before)
        show(f"{number:4}  {new}  {self._audit.events:,} events, {seconds:.1f} s")

    def _first_open(self) -> int:
        """Return the first transfer that was not acknowledged: the clients repeat from there."""
        return next(id for id in count() if id not in self.acknowledged)

    def _expect_all(self, last: int) -> None:
        if missing := last + 1 - len(self.acknowledged):
            self.problems.append(f"{missing:,} transfers were never acknowledged")


def show(line: str, *, passing: bool = False) -> None:
    """Print a line; a passing one is for terminals alone, and gives way to the next."""
    if sys.stdout.isatty():
        print(f"\r{line:<79}", end="" if passing else "\n", flush=True)
    elif not passing:
        print(line, flush=True)


async def demo(options: argparse.Namespace) -> int:
    """Run the trial in `options.store` and print the verdict; return the exit code."""
    show(f"{options.accounts:,} accounts in {options.store}; {options.rounds} kills at random (seed {options.seed})\n")
    trial = Trial(options)
    await trial.run()
    if trial.problems:
        show(f"\nFAILED: {len(trial.problems):,} problems in {options.store}, the first of them:")
        show("\n".join(trial.problems[:10]))
        return 1
    show(
        f"\nOK: {options.rounds} kills, {len(trial.acknowledged):,} transfers acknowledged. "
        f"None is lost, none is applied twice, the total is still {options.accounts * OPENING:,}."
    )
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill a ledger again and again, and check that it loses nothing.")
    parser.add_argument("--rounds", type=int, default=5, help="how often to kill it (default 5)")
    parser.add_argument("--seconds", type=float, default=4, help="how long a process lives at most (default 4)")
    parser.add_argument("--accounts", type=int, default=1_000, help="how many accounts there are (default 1,000)")
    parser.add_argument("--store", help="URL of a new store (default: a SQLite file in a temporary folder)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="decides transfers and moments")
    parser.add_argument("--serve", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 0 or options.accounts < 2 or options.seconds <= 0:
        parser.error("--rounds is 0 or more, --accounts 2 or more, --seconds more than 0")
    return options


def main() -> int:
    options = arguments()
    if options.serve:
        asyncio.run(serve(options))
        return 0
    folder = None
    if options.store is None:
        folder = Path(tempfile.mkdtemp(prefix="ledger-"))
        options.store = f"sqlite:///{folder}/ledger.db"
    try:
        code = asyncio.run(demo(options))
    except KeyboardInterrupt:
        code = 130
    except (PerdureError, UsedStore) as error:
        print(f"ledger.py: {error}", file=sys.stderr)
        code = 2
    if folder is not None and code != 1:
        shutil.rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
