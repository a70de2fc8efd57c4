"""A writer of a merged value in a process of its own: `writer.py NAME URL SECRET [STORE]`.

It reads a number, and from there on adds one number after another, until it reads `rest`; it prints each that was
acknowledged. `show` prints what it knows.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec

from perdure import open_backend
from perdure.security import EncryptedKey
from perdure_replication import BackendPersistence, Node, Settings, open_ports
from perdure_replication.merge import AddWinsSet, Counter, MergedRecord, MergedReplica, MergedState, merged
from perdure_replication.tcp import TcpSettings

SETTINGS = Settings(digest_interval=0.5, pull_timeout=0.3)
SOON = TcpSettings(heartbeat=0.1, silence=1.0, backoff=0.02, backoff_most=0.2, suspicion=0.2, introduction=0.5)


class Tally(MergedRecord):
    """How many numbers were added, and which."""

    total: Counter
    numbers: AddWinsSet[int]


class Tallies(MergedState[Tally]):
    relay_after = 1.0


class Said(msgspec.Struct, frozen=True):
    """What is printed: a number that was acknowledged, or all that is known."""

    number: int = 0
    total: int = 0
    numbers: tuple[int, ...] = ()


def add(tally: Tally, number: int) -> None:
    tally.total.add(1)
    tally.numbers.add(number)


@asynccontextmanager
async def opened(
    name: str, url: str, secret: bytes, store: str = ""
) -> AsyncIterator[tuple[Node, MergedReplica[Tally]]]:
    options: dict[str, Any] = {"settings": SOON} if url.startswith("tcp:") else {}
    ports = open_ports(url, secret=EncryptedKey(secret), **options)
    backend = await open_backend(store) if store else None
    persistence = BackendPersistence(backend, name) if backend else None
    node = Node(
        name,
        [Tallies],
        transport=ports.transport,
        membership=ports.membership,
        persistence=persistence,
        settings=SETTINGS,
    )
    async with node, merged(node, Tallies) as tally:
        yield node, tally
    if backend:
        await backend.close()


async def serve(tally: MergedReplica[Tally]) -> None:
    def say(said: Said) -> None:
        print(msgspec.json.encode(said).decode(), flush=True)

    async def load(first: int) -> None:
        for number in count(first):
            await tally.update(lambda value, number=number: add(value, number))  # type: ignore[misc]
            say(Said(number))
            await asyncio.sleep(0.001)

    load_: asyncio.Task[None] | None = None
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(Said())
    while word := (await reader.readline()).decode().strip():
        if word == "show":
            say(Said(total=int(tally.value.total), numbers=tuple(sorted(tally.value.numbers))))
        elif word == "rest" and load_ is not None:
            load_.cancel()
            await asyncio.wait([load_])
        else:
            load_ = asyncio.create_task(load(int(word)))


async def run(name: str, url: str, secret: str, store: str = "") -> None:
    async with opened(name, url, bytes.fromhex(secret), store) as (_, tally):
        await serve(tally)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
