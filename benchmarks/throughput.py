"""Durable events a second, asked and answered, beside the bare driver, `eventsourcing`, and no store at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from statistics import median

from benchmarks.asked import Asked
from benchmarks.driver import Driver
from benchmarks.machine import hop_times
from benchmarks.peer import Eventsourcing
from benchmarks.queue_actor import QueueActors
from benchmarks.report import Table
from benchmarks.rounds import Measure, Rate, in_turns, percentile
from benchmarks.run import Run
from perdure import ActorSystem

_ACTORS = (1, 10, 100, 1_000, 10_000)
_BATCH = 256  # groups in a commit of perdure's, at the most

_NOTE = """Events a second, medians; `best` is perdure's best round. A ratio is perdure / the other.
All but `no store` and `queues` sync fully, batches and single transactions alike.
raw batch: sqlite3 inserting min(actors, 256) rows a transaction, the ceiling. raw single: one transaction an event.
queues: bare asyncio.Queue actors without a store, asked by as many: what this machine's asyncio can do at all."""

_LONE_NOTE = """Milliseconds; p50 of each, and the median of the rounds. added: ask - raw commit.
A hop takes longer when the disk has let the processor sleep, so the fair floor is the raw commit in a thread."""


async def tables(run: Run) -> AsyncIterator[Table]:
    rows = [_row(actors, await _rates(run, actors)) for actors in run.pick(_ACTORS, _ACTORS[:2])]
    columns = ("actors", "perdure", "best", "raw batch", "raw single", "eventsourcing", "no store", "queues")
    ratios = ("/ raw batch", "/ raw single", "/ eventsourcing", "/ no store", "/ queues")
    yield Table("Throughput", columns + ratios, rows, _NOTE)
    yield await _lone_actor(run)


async def _rates(run: Run, actors: int) -> dict[str, Rate]:
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(ActorSystem(store=run.url("perdure")))
        no_store = await stack.enter_async_context(ActorSystem(store="memory://"))
        contenders: dict[str, Measure] = {
            "perdure": await Asked.among(system, actors),
            "raw batch": stack.enter_context(closing(Driver(run.file("batch"), actors, min(actors, _BATCH)))),
            "raw single": stack.enter_context(closing(Driver(run.file("single"), actors, 1))),
            "eventsourcing": stack.enter_context(closing(Eventsourcing(run.file("eventsourcing"), actors))),
            "no store": await Asked.among(no_store, actors),
            "queues": Asked(await stack.enter_async_context(QueueActors(actors))),
        }
        return await in_turns(contenders, run.pick(5, 1), run.pick(0.6, 0.1))


def _row(actors: int, rates: dict[str, Rate]) -> tuple[int | float, ...]:
    own = rates.pop("perdure")
    others = [rate.median for rate in rates.values()]
    return (actors, own.median, own.best, *others, *(own.median / other for other in others))


async def _lone_actor(run: Run) -> Table:
    """Compare the wait of one asker with the bare commit, here and in a thread."""
    async with ActorSystem(store=run.url("lone")) as system:
        asked = await Asked.among(system, 1)
        with closing(Driver(run.file("lone-raw"), 1, 1)) as driver:
            samples: list[tuple[float, ...]] = []
            for _ in range(run.pick(7, 2)):
                await driver(run.pick(0.3, 0.1))
                await asked(run.pick(0.3, 0.1))
                hop = percentile(await hop_times(run.pick(0.1, 0.05)), 50)
                apart = percentile(await hop_times(run.pick(0.3, 0.1), driver.commit), 50)
                ask, commit = percentile(asked.latencies, 50), percentile(driver.latencies, 50)
                samples.append((ask, percentile(asked.latencies, 99), commit, apart, hop, ask - commit, ask - apart))
    row = tuple(median(column) * 1000 for column in zip(*samples, strict=True))
    columns = ("ask p50 ms", "ask p99 ms", "raw commit", "the same in a thread", "bare hop", "added", "added to thread")
    return Table("A lone actor", columns, [row], _LONE_NOTE)
