"""Durable events beside a loop that is never idle, and how late the loop's own timers are beside durable events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

from benchmarks.asked import Asked
from benchmarks.meanwhile import meanwhile, timers
from benchmarks.report import Cell, Table
from benchmarks.rounds import Measure, in_turns, percentile
from benchmarks.run import Run
from perdure import ActorSystem, open_backend
from perdure.abc import Backend

_TURNS = (0.00002, 0.0001, 0.001, 0.005)
_ACTORS = 100
_FULL_LOAD = 1_000

_NOTE = """Events a second, medians. / idle loop: of the rate without the busy task, in the same run.
/ no store: of the memory backend's rate beside the same busy task; the rest of the loss is the loop's own.
Waits are of whole commits, as their writers see them."""


async def tables(run: Run) -> AsyncIterator[Table]:
    columns = ("turn ms", "idle loop", "busy loop", "no store, busy", "/ idle loop", "/ no store")
    waits = ("commit p50 ms", "p99 ms", "worst ms")
    rows = [await _beside_turns(run, turn) for turn in _TURNS]
    yield Table(f"Beside a loop that is never idle, {_ACTORS} actors", columns + waits, rows, _NOTE)
    yield await _stall(run)


async def _beside_turns(run: Run, turn: float) -> tuple[Cell, ...]:
    async with AsyncExitStack() as stack:
        backend = await open_backend(run.url("busy"))
        stack.push_async_callback(backend.close)
        waits = _time_commits(backend)
        system = await stack.enter_async_context(ActorSystem(store=backend))
        no_store = await stack.enter_async_context(ActorSystem(store="memory://"))
        idle = await Asked.among(system, _ACTORS)
        busy_waits: list[float] = []

        async def busy(seconds: float) -> float:
            waits.clear()
            rate = await beside(turn, idle)(seconds)
            busy_waits.extend(waits)
            return rate

        contenders: dict[str, Measure] = {
            "idle": idle,
            "busy": busy,
            "none": beside(turn, await Asked.among(no_store, _ACTORS)),
        }
        rates = await in_turns(contenders, run.pick(5, 1), run.pick(0.8, 0.2))
    own = rates["busy"].median
    alone, none = rates["idle"].median, rates["none"].median
    times = (percentile(busy_waits, 50), percentile(busy_waits, 99), max(busy_waits))
    return (turn * 1000, alone, own, none, own / alone, own / none, *(time * 1000 for time in times))


async def _stall(run: Run) -> Table:
    """Measure a timer of 1 ms with nothing else to do, and beside full load with and without a store."""
    rows: list[tuple[Cell, ...]] = [("nothing", *await _lateness(run, asyncio.sleep))]
    for name, url in (("SQLite", run.url("stall")), ("no store", "memory://")):
        async with ActorSystem(store=url) as system:
            asked = await Asked.among(system, run.pick(_FULL_LOAD, _ACTORS))
            rows.append((name, *await _lateness(run, asked)))
    columns = ("beside", "p50 ms", "p99 ms", "worst ms")
    return Table(f"How late a timer of 1 ms is, beside {run.pick(_FULL_LOAD, _ACTORS):,} actors", columns, rows)


async def _lateness(run: Run, load: Callable[[float], Awaitable[object]]) -> tuple[float, ...]:
    async with timers() as late:
        await load(run.pick(3.0, 0.3))
    return percentile(late, 50) * 1000, percentile(late, 99) * 1000, max(late) * 1000


def _time_commits(backend: Backend) -> list[float]:
    """Have the backend note how long each commit takes, up to the loop's turn that hears of it."""
    waits: list[float] = []
    commit = backend.commit

    def timed(groups: Any) -> Any:
        started = perf_counter()
        done = asyncio.ensure_future(commit(groups))
        done.add_done_callback(lambda _: waits.append(perf_counter() - started))
        return done

    backend.commit = timed  # type: ignore[method-assign]
    return waits


def beside(turn: float, measure: Measure) -> Measure:
    """Return the measure taken beside a task that computes in turns of so many seconds for ever."""

    async def busy(seconds: float) -> float:
        async with meanwhile(_compute(turn)):
            return await measure(seconds)

    return busy


async def _compute(turn: float) -> None:
    while True:
        end = perf_counter() + turn
        while perf_counter() < end:
            pass
        await asyncio.sleep(0)
