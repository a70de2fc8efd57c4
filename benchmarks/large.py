"""Actors whose state has a MiB: a dict of structs, and the same encoded, one value of bytes."""

from __future__ import annotations

import random
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from perdure import Context, Event, Full, Message, PersistentActor, every_n_events

S = TypeVar("S")

_ARTICLES = 14_070  # which have a MiB in MessagePack


class Article(msgspec.Struct, frozen=True):
    name: str
    stock: int
    price: float


Articles: TypeAlias = dict[str, Article]


class Look(Message[int]):
    """Ask for one durable event; the reply is its sequence number."""


class Looked(Event):
    """Changes nothing."""


class Large(PersistentActor[S, Looked], Generic[S]):
    """Takes a snapshot at every other event, and removes none: nothing else happens after it."""

    strategy = Full(snapshot=every_n_events(2), keep_snapshots=1_000_000)

    async def handle(self, message: Any, context: Context) -> int:
        await self.persist(Looked())
        return self.sequence_number

    def apply(self, state: S, event: Looked) -> S:
        return state


def _articles() -> Articles:
    """Return the same articles each time."""
    chance = random.Random(_ARTICLES)
    return {
        f"article-{number:06}": Article(
            f"number {chance.randrange(100_000)} of the catalogue", chance.randrange(1_000), chance.random()
        )
        for number in range(_ARTICLES)
    }


class Structs(Large[Articles]):
    initial_state = _articles()


class Encoded(Large[bytes]):
    initial_state = msgspec.msgpack.encode(Structs.initial_state)
