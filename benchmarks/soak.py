"""Many messages through a few actors that fail, restart and have timers; fails when anything is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.apart import apart, taken
from benchmarks.counter import Mark, Tally
from benchmarks.report import Table
from benchmarks.run import Run
from perdure.actors import Actor, ActorRef, ActorSystem, Context, Fixed, Message, Restart
from perdure.errors import Rejected

_ACTORS = 8
_WAVE = 1_000  # messages
_ASKS = 500
_FAILED = 20  # asks that fail; every other one is only rejected
_TELLS = _WAVE - _ASKS - _FAILED
_WARM_UP = 5_000
_MORE_OBJECTS = 200
_MORE_MIB = 8.0

_NOTE = f"""In each {_WAVE:,} messages {_FAILED} asks fail, and one actor is spawned and stopped. ticks: of timers.
At the end there may be {_MORE_OBJECTS} objects and {_MORE_MIB:.0f} MiB (RSS) more than after the warm-up."""


class Echo(Message[int]):
    """Ask for the number."""

    number: int


class Break(Message[None]):
    """Make the handler fail, with a restart or without."""

    rejected: bool


class Tick(Message[None]):
    """Comes from a timer."""


class Rest(Message[None]):
    """Have no more timers: one that rings while its actor stops is logged as lost."""


class Broken(Exception):
    pass


class Soaked(Actor):
    # Failures are remembered for as long as they count: not long, so that memory is soon at its height.
    supervision = Restart(backoff=Fixed(0.0), max=1_000_000, within=0.1)

    ticks = 0
    starts = 0

    async def started(self, context: Context) -> None:
        Soaked.starts += 1
        context.every(0.002, Tick(), name="tick")
        context.schedule_once(0.001, Tick())

    async def handle(self, message: Any, context: Context) -> int | None:
        match message:
            case Echo(number):
                return number
            case Mark(tally):
                tally.count()
            case Tick():
                Soaked.ticks += 1
            case Rest():
                context.cancel("tick")
            case Break(rejected):
                raise Rejected if rejected else Broken
        return None


class Figures(NamedTuple):
    """What one soak did, and by how much the process grew meanwhile."""

    messages: int
    seconds: float
    restarts: int
    ticks: int
    objects: int
    mib: float


def tables(run: Run) -> Iterator[Table]:
    figures = apart(soak, run.pick(1_000_000, 20_000))
    check(figures)
    yield Table("Soak", ("messages", "seconds", "restarts", "ticks", "objects more", "MiB more"), [figures], _NOTE)


def check(figures: Figures) -> None:
    """Raise `RuntimeError` when something grows with the messages."""
    if figures.objects > _MORE_OBJECTS or figures.mib > _MORE_MIB:
        raise RuntimeError(f"memory grows with the number of messages: {figures}")
    if not figures.restarts or not figures.ticks:
        raise RuntimeError(f"the soak had no restarts, or no timers: {figures}")


async def soak(messages: int) -> Figures:
    """Send so many messages, after some to warm up."""
    async with ActorSystem() as system:
        refs = [await system.spawn(Soaked, f"soaked-{n}") for n in range(_ACTORS)]
        await _send(system, refs, _WARM_UP)
        resident, objects = taken()
        starts, ticks = Soaked.starts, Soaked.ticks
        started = perf_counter()
        await _send(system, refs, messages)
        seconds = perf_counter() - started
        resident_after, objects_after = taken()
        for ref in refs:
            await ref.ask(Rest())
    restarts = Soaked.starts - starts - messages // _WAVE
    mib = (resident_after - resident) / (1 << 20)
    return Figures(messages, seconds, restarts, Soaked.ticks - ticks, objects_after - objects, mib)


async def _send(system: ActorSystem, refs: list[ActorRef], messages: int) -> None:
    for wave in range(messages // _WAVE):
        tally = Tally(_TELLS)
        for n in range(_TELLS):
            await refs[n % _ACTORS].tell(Mark(tally))
        replies = await asyncio.gather(*(refs[n % _ACTORS].ask(Echo(n)) for n in range(_ASKS)))
        assert replies == list(range(_ASKS))
        await tally.done
        errors = [await _error(refs[(wave + n) % _ACTORS], Break(n % 2 == 1)) for n in range(_FAILED)]
        assert list(map(type, errors)) == [Broken, Rejected] * (_FAILED // 2)
        guest = await system.spawn(Soaked, "guest")
        await guest.stop()


async def _error(ref: ActorRef, message: Message[Any]) -> Exception | None:
    """Return what an ask raises."""
    try:
        await ref.ask(message)
    except Exception as error:
        return error
    return None
