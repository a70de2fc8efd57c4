"""What a live idle actor costs without a store, and a million of them in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

import psutil

from benchmarks.apart import apart, resident, taken
from benchmarks.counter import Add, Counter
from benchmarks.queue_actor import QueueActors
from benchmarks.report import Cell, Table
from benchmarks.run import Run
from perdure.actors import ActorSystem

_GIB = 1 << 30
_KIB = 1 << 10
_MILLION = 1_000_000
_NEEDED = 4 * _GIB
_AT_ONCE = 1_000
_WARM_UP = 1_000
_ADD = Add()

_NOTE = """Growth of a process of its own (RSS, after gc.collect()) and of the objects that its collector tracks.
tasks: all that the loop has, this measure's own one included."""


def tables(run: Run) -> Iterator[Table]:
    actors, queues = run.pick(100_000, 2_000), run.pick(20_000, 2_000)
    rows: list[tuple[Cell, ...]] = [
        ("perdure, by ref", actors, *apart(by_ref, actors)),
        ("perdure, spawned", actors, *apart(spawned, actors)),
        ("queue", queues, *apart(of_queues, queues)),
    ]
    yield Table("Live idle actors", ("what", "actors", "KiB each", "objects each", "tasks"), rows, _NOTE)
    yield million(run.quick, psutil.virtual_memory().available)


def million(quick: bool, available: int) -> Table:
    """Measure a million in a full run, when so many bytes of memory are enough for them."""
    title = f"{_MILLION:,} live actors in one process"
    if quick:
        return Table.skipped(title, "only in a full run")
    if available < _NEEDED:
        return Table.skipped(title, f"{available / _GIB:.1f} GiB of memory are available, {_NEEDED // _GIB} are needed")
    columns = ("GiB resident", "KiB each", "tasks", "seconds to live", "asks a second", "seconds to stop")
    return Table(title, columns, [apart(a_million, _MILLION)])


async def by_ref(actors: int) -> tuple[float, float, int]:
    """Return the KiB and the objects of each actor, brought to life by one ask, and how many tasks there are."""
    async with ActorSystem(passivate_after=3600) as system:
        await _ask(system, range(_WARM_UP))
        before = taken()
        await _ask(system, range(_WARM_UP, _WARM_UP + actors))
        return _growth(before, taken(), actors)


async def spawned(actors: int) -> tuple[float, float, int]:
    """Return the same of actors that are spawned and never asked; nobody keeps their refs."""
    async with ActorSystem() as system:
        for name in range(_WARM_UP):
            await system.spawn(Counter, f"counter-{name}")
        before = taken()
        for name in range(_WARM_UP, _WARM_UP + actors):
            await system.spawn(Counter, f"counter-{name}")
        return _growth(before, taken(), actors)


async def of_queues(actors: int) -> tuple[float, float, int]:
    """Return the same of queue actors, each asked once."""
    async with QueueActors(_WARM_UP) as some:
        await asyncio.gather(*(actor.ask(_ADD) for actor in some))
        before = taken()
        async with QueueActors(actors) as more:
            for first in range(0, actors, _AT_ONCE):
                await asyncio.gather(*(actor.ask(_ADD) for actor in more[first : first + _AT_ONCE]))
            return _growth(before, taken(), actors)


async def a_million(actors: int) -> tuple[float, float, int, float, float, float]:
    """Return what so many actors take, how soon they live, answer one ask each, and stop."""
    async with ActorSystem(passivate_after=3600, stop_timeout=600) as system:
        empty = resident()
        started = perf_counter()
        await _ask(system, range(actors))
        live = perf_counter()
        await _ask(system, range(actors))
        answered = perf_counter()
        assert system.live == actors
        full, tasks = resident(), len(asyncio.all_tasks())
        stopping = perf_counter()
    stop = perf_counter() - stopping
    each = (full - empty) / actors / _KIB
    return full / _GIB, each, tasks, live - started, actors / (answered - live), stop


async def _ask(system: ActorSystem, numbers: range) -> None:
    """Ask actors once, some at once."""
    for first in numbers[::_AT_ONCE]:
        some = range(first, min(first + _AT_ONCE, numbers.stop))
        await asyncio.gather(*(system.ref(Counter, f"counter-{number}").ask(_ADD) for number in some))


def _growth(before: tuple[int, int], after: tuple[int, int], actors: int) -> tuple[float, float, int]:
    more, objects = (now - then for then, now in zip(before, after, strict=True))
    return more / actors / _KIB, objects / actors, len(asyncio.all_tasks())
