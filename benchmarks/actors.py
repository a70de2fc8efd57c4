"""The actor model without any store, beside bare `asyncio.Queue` actors, Pykka and Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, closing
from importlib import import_module
from typing import Any

from benchmarks import idle_actors, import_time, soak
from benchmarks.asked import Asked
from benchmarks.busy_loop import beside
from benchmarks.counter import Add, Counter
from benchmarks.lives import LIVES, Activated, Spawned, queues_asked, queues_at_once, queues_one_by_one
from benchmarks.queue_actor import QueueActors
from benchmarks.report import Cell, Table
from benchmarks.rounds import Measure, Rate, in_turns, in_waves
from benchmarks.run import Run
from benchmarks.tells import Told
from perdure.actors import ActorRef, ActorSystem

_LOADS = ((1, 1), (1_000, 1), (1_000, 1_000), (10_000, 10_000))
_BUSY_LOADS = (1, 100, 1_000)
_TOLD = (1, 1_000)
_TURN = 0.0001
_OTHERS = ("queue", "Pykka")
_COMPARED = ("perdure", "best", *_OTHERS, *(f"/ {name}" for name in _OTHERS))
_ADD = Add()

_ASKS_NOTE = """Asks a second, medians; `best` is perdure's best round. A ratio is perdure / the other.
queue: a task and an asyncio.Queue an actor, and a future a reply. Pykka: a thread an actor, asked by one thread."""

_TELLS_NOTE = """Tells a second, sent by one task in turn, from the first to when all are handled, medians.
Mailboxes and queues have room for 1,000; Pykka's have no bound."""

_LIVES_NOTE = f"""Lives a second of {LIVES:,} actors, medians; Pykka: of 100 threads. queue: tasks made and cancelled.
all at once: perdure's by asyncio.gather, a task a call.
by ref: a message brings an actor to life, is answered, and has another one put away."""

_BUSY_NOTE = """Asks a second, medians, while a task computes in turns of 0.1 ms for ever."""

_RAY_NOTE = """Asks a second of one actor, medians. Ray's is another process: what it is for is not measured here."""


async def tables(run: Run) -> AsyncIterator[Table]:
    async with AsyncExitStack() as stack:
        pykka = library("pykka", "Pykka")
        if isinstance(pykka, str):
            yield Table.skipped("Beside Pykka", pykka)
            pykka = None
        else:
            stack.enter_context(closing(pykka))
        for measured in (_asks, _tells, _lives):
            yield await measured(run, pykka)
    yield await _busy(run)
    for table in idle_actors.tables(run):
        yield table
    async for table in import_time.tables(run):
        yield table
    yield await _beside_ray(run)
    for table in soak.tables(run):  # last, for it may fail
        yield table


def library(name: str, actor: str) -> Any:
    """Return the opened actor of a library, `benchmarks.NAME_actor.ACTOR`, or why it is not measured."""
    try:
        module = import_module(f"benchmarks.{name}_actor")
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return f"{name} is not installed"
    return getattr(module, actor)()


async def _asks(run: Run, pykka: Any) -> Table:
    rows = []
    for in_flight, actors in run.pick(_LOADS, _LOADS[:2]):
        async with ActorSystem() as system, QueueActors(actors) as queues:
            each = in_flight // actors
            contenders: dict[str, Measure] = {
                "perdure": Asked(await counters(system, actors) * each, _ADD),
                "queue": Asked(queues * each, _ADD),
            }
            if pykka is not None and actors == 1:
                contenders["Pykka"] = pykka.asks(in_flight)
            rows.append((in_flight, actors, *compared(await _rates(run, contenders))))
    return Table("Asks without a store", ("in flight", "actors", *_COMPARED), rows, _ASKS_NOTE)


async def _tells(run: Run, pykka: Any) -> Table:
    rows = []
    for actors in _TOLD:
        async with ActorSystem() as system, QueueActors(actors) as queues:
            contenders = {
                "perdure": in_waves(Told(await counters(system, actors))),
                "queue": in_waves(Told(queues)),
            }
            if pykka is not None and actors == 1:
                contenders["Pykka"] = in_waves(pykka.tell)
            rows.append((actors, *compared(await _rates(run, contenders))))
    return Table("Tells without a store", ("actors", *_COMPARED), rows, _TELLS_NOTE)


async def _lives(run: Run, pykka: Any) -> Table:
    async with ActorSystem() as system, ActorSystem(max_live=LIVES) as full:
        spawned, activated = Spawned(system), Activated(full)
        contenders: dict[str, dict[str, Measure]] = {
            "spawn and stop, one by one": {
                "perdure": in_waves(spawned.one_by_one),
                "queue": in_waves(queues_one_by_one),
            },
            "spawn and stop, all at once": {
                "perdure": in_waves(spawned.at_once),
                "queue": in_waves(queues_at_once),
            },
            "by ref, asked once, put away": {"perdure": in_waves(activated), "queue": in_waves(queues_asked)},
        }
        if pykka is not None:
            contenders["spawn and stop, all at once"]["Pykka"] = in_waves(pykka.live)
        rows = [(what, *compared(await _rates(run, some))) for what, some in contenders.items()]
    return Table("Lives without a store", ("what", *_COMPARED), rows, _LIVES_NOTE)


async def _busy(run: Run) -> Table:
    rows = []
    for actors in _BUSY_LOADS:
        async with ActorSystem() as system, QueueActors(actors) as queues:
            own, queue = Asked(await counters(system, actors), _ADD), Asked(queues, _ADD)
            contenders: dict[str, Measure] = {
                "idle": own,
                "perdure": beside(_TURN, own),
                "queue": beside(_TURN, queue),
            }
            rates = await _rates(run, contenders)
        idle, busy, other = (rate.median for rate in rates.values())
        rows.append((actors, idle, busy, other, busy / idle, busy / other))
    columns = ("actors", "idle loop", "busy loop", "queue, busy", "/ idle loop", "/ queue")
    return Table("Asks beside a loop that is never idle, without a store", columns, rows, _BUSY_NOTE)


async def _beside_ray(run: Run) -> Table:
    """Measure Ray last and alone: its cluster's processes want the processors too."""
    title = "Asks beside Ray"
    ray = library("ray", "Ray")
    if isinstance(ray, str):
        return Table.skipped(title, ray)
    rows = []
    with closing(ray):
        for in_flight in (1, 1_000):
            async with ActorSystem() as system:
                own = Asked(await counters(system, 1) * in_flight, _ADD)
                rates = await _rates(run, {"perdure": own, "Ray": ray.asks(in_flight)})
            own_rate, other = rates["perdure"].median, rates["Ray"].median
            rows.append((in_flight, own_rate, other, own_rate / other))
    return Table(title, ("in flight", "perdure", "Ray", "/ Ray"), rows, _RAY_NOTE)


async def counters(system: ActorSystem, actors: int) -> list[ActorRef]:
    """Bring so many counters to life."""
    refs = [system.ref(Counter, f"counter-{n}") for n in range(actors)]
    await asyncio.gather(*(ref.ask(_ADD) for ref in refs))
    return refs


async def _rates(run: Run, contenders: Mapping[str, Measure]) -> dict[str, Rate]:
    return await in_turns(contenders, run.pick(5, 1), run.pick(0.6, 0.1))


def compared(rates: Mapping[str, Rate]) -> tuple[Cell, ...]:
    """Return the cells of `_COMPARED`; of whom was not measured, a dash."""
    own = rates["perdure"]
    others = [rates[name].median if name in rates else None for name in _OTHERS]
    medians = ["-" if other is None else other for other in others]
    ratios = ["-" if other is None else own.median / other for other in others]
    return (own.median, own.best, *medians, *ratios)
