"""How long the inspector's pages take, over a store of any size and on a long log."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import chain
from time import perf_counter

import httpx2

from benchmarks.account import Account
from benchmarks.report import Table
from benchmarks.rounds import percentile
from benchmarks.run import Run
from benchmarks.stored import events_of, log_of, store_all
from perdure import open_backend
from perdure.inspector import application

_TOKEN = "benchmark"
_LONG = "long"

_NOTE = """Milliseconds from the request to the last byte of the answer, in one process, without a network: reading the
store, folding, rendering. cold: the first request of an inspector that was just started. The first look at a long log
folds it once, for it has no snapshot; steps go to events by chance, or to the next one."""


async def tables(run: Run) -> AsyncIterator[Table]:
    logs, each, long = run.pick(100_000, 1_000), 9, run.pick(100_000, 5_000)
    store = run.url("inspector")
    names = [f"{number:07}" for number in range(logs)]
    await store_all(store, chain(events_of(names, each), events_of([_LONG], long)))
    rows = [row async for row in _rows(run, store, logs, long)]
    title = f"The inspector over {logs * each + long:,} events of {logs + 1:,} actors"
    yield Table(title, ("page", "median", "worst"), rows, _NOTE)


async def _rows(run: Run, store: str, logs: int, long: int) -> AsyncIterator[tuple[str, float, float]]:
    """Yield what is measured, each by its name."""
    times = run.pick(50, 5)
    some = random.Random(1)
    cold = [await _cold(store) for _ in range(run.pick(5, 1))]
    yield "actors, cold", percentile(cold, 50), max(cold)
    async with _visits(store) as client:
        following = iter(range(1, long))
        paths: dict[str, tuple[int, Callable[[], str]]] = {
            "actors": (times, lambda: "/"),
            "actors, further on": (times, lambda: f"/?after={log_of(f'{some.randrange(logs):07}')}"),
            "actors, found": (times, lambda: f"/?q={log_of(f'{some.randrange(logs):07}')[:-2]}"),
            f"an actor of {long:,} events, first look": (1, lambda: f"/actor?id={log_of(_LONG)}"),
            f"an actor of {long:,} events": (times, lambda: f"/actor?id={log_of(_LONG)}"),
            "a step, anywhere": (times, lambda: f"/step?id={log_of(_LONG)}&at={some.randint(1, long)}"),
            "a step, to the next": (times, lambda: f"/step?id={log_of(_LONG)}&at={next(following)}"),
        }
        for name, (visited, path) in paths.items():
            taken = [await _milliseconds(client, path()) for _ in range(visited)]
            yield name, percentile(taken, 50), max(taken)


@asynccontextmanager
async def _visits(store: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client that an inspector of a store has let in."""
    backend = await open_backend(store, create=False)
    app = application(backend, [Account], token=_TOKEN)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        await client.get(f"/?token={_TOKEN}")
        yield client
    await backend.close()


async def _cold(store: str) -> float:
    async with _visits(store) as client:
        return await _milliseconds(client, "/")


async def _milliseconds(client: httpx2.AsyncClient, path: str) -> float:
    started = perf_counter()
    answer = await client.get(path)
    taken = 1000 * (perf_counter() - started)
    answer.raise_for_status()
    return taken
