"""Accounts: what they hold, and what was posted to them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from perdure import Context, Event, Message, PersistentActor, Rejected

Leg: TypeAlias = Literal["debit", "credit", "refund"]


class Open(Message[int]):
    """Open an account, or do nothing if it is open; the reply is its balance."""

    overdraft: bool = False


class Balance(Message[int]):
    """What it holds, in cents."""


class Post(Message[int]):
    """One leg of a transfer, which counts once, however often it comes until it is settled."""

    transfer: str
    leg: Leg
    amount: int


class Settle(Message[None]):
    """No leg of this transfer will come again."""

    transfer: str


class Opened(Event):
    overdraft: bool


class Posted(Event):
    transfer: str
    leg: Leg
    amount: int
    balance: int


class Settled(Event):
    transfer: str


class NoAccount(Rejected):
    """Nobody has opened this account."""


class InsufficientFunds(Rejected):
    """The account holds less than is to be taken."""


class Book(msgspec.Struct):
    """The state of an account; `posted` are the legs of transfers that are not settled."""

    is_open: bool = False
    overdraft: bool = False
    balance: int = 0
    posted: set[tuple[str, Leg]] = set()


class Account(PersistentActor[Book, Opened | Posted | Settled]):
    initial_state = Book()

    async def handle(self, message: Open | Balance | Post | Settle, context: Context) -> int | None:
        book = self.state
        match message:
            case Open(overdraft) if not book.is_open:
                await self.persist(Opened(overdraft))
            case _ if not self.state.is_open:
                raise NoAccount(f"there is no account {context.key!r}")
            case Post(transfer, leg, amount) if (transfer, leg) not in book.posted:
                self._check(message)
                await self.persist(Posted(transfer, leg, amount, book.balance + amount))
            case Settle(transfer):
                if any(posted == transfer for posted, _ in book.posted):
                    await self.persist(Settled(transfer))
                return None
        return self.state.balance

    def apply(self, book: Book, event: Opened | Posted | Settled) -> None:
        match event:
            case Opened(overdraft):
                book.is_open, book.overdraft = True, overdraft
            case Posted(transfer, leg, _, balance):
                book.balance = balance
                book.posted.add((transfer, leg))
            case Settled(transfer):
                book.posted = {(posted, leg) for posted, leg in book.posted if posted != transfer}

    def _check(self, post: Post) -> None:
        if post.leg == "debit" and not self.state.overdraft and self.state.balance + post.amount < 0:
            raise InsufficientFunds(f"{-post.amount} is more than the {self.state.balance} that are there")
