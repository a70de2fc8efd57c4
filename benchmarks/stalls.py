"""How long the snapshot of a large state holds up the loop, beside making its record at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from benchmarks.large import Encoded, Large, Look, Structs
from benchmarks.report import Table
from benchmarks.run import Run
from benchmarks.turns import Turns
from perdure import ActorSystem, SnapshotSaved
from perdure.actors import ActorRef, Subscription, SystemEvent
from perdure.journal import Compression, StateCodec
from perdure.journal._record import compressed

_MIB = 1 << 20
_WINDOW = 0.02  # seconds after an ask, in which a snapshot is mostly written

_encode = msgspec.msgpack.Encoder().encode

_NOTE = """Milliseconds, medians. The longest turn of a loop that always has something to do, waits for the interpreter
lock included, after an ask for an event: `persist` when no snapshot follows it, `snapshot` when one does; `added` is
the difference, of which the ratios are. encoding: msgspec's of the same state, alone. all at once: encoding, checksum
and zstd in one go, by which the loop would be held up without a thread."""


class Sample(NamedTuple):
    """Seconds."""

    persist: float
    snapshot: float
    encoding: float
    at_once: float


async def table(run: Run) -> Table:
    rows = []
    for what, actor_type in (("dict of structs", Structs), ("bytes", Encoded)):
        samples = [sample async for sample in _samples(run, actor_type)]
        persist, snapshot, encoding, at_once = (median(column) * 1000 for column in zip(*samples, strict=True))
        added = snapshot - persist
        best = min(sample.snapshot for sample in samples) * 1000
        size = len(_encode(actor_type.initial_state)) / _MIB
        rows.append((what, size, persist, snapshot, best, encoding, at_once, added, added / encoding, added / at_once))
    columns = ("state", "MiB", "persist", "snapshot", "best", "encoding", "all at once", "added")
    return Table("Stall of the loop by a snapshot", (*columns, "/ encoding", "/ all at once"), rows, _NOTE)


async def _samples(run: Run, actor_type: type[Large[Any]]) -> AsyncIterator[Sample]:
    codec: StateCodec[Any] = StateCodec(actor_type.type_name, object)
    state = actor_type.initial_state

    def at_once() -> bytes:
        return compressed(codec.encode(state, 1, 0), Compression())

    async with ActorSystem(store=run.url("stalls")) as system, system.events() as events:
        ref = system.ref(actor_type, "large")
        for _ in range(2):  # threads are started, and zstandard is imported
            await _persist(ref, events)
        with Turns() as turns:
            for _ in range(run.pick(101, 5)):
                persist, snapshot = [await _stall(turns, ref, events) for _ in range(2)]
                yield Sample(persist, snapshot, _timed(lambda: _encode(state)), _timed(at_once))


async def _stall(turns: Turns, ref: ActorRef, events: Subscription[SystemEvent]) -> float:
    gc.collect()
    turns.restart()
    await _persist(ref, events)
    return turns.longest


async def _persist(ref: ActorRef, events: Subscription[SystemEvent]) -> None:
    """Have an event stored, and the snapshot that follows every other one."""
    number = await ref.ask(Look())
    await asyncio.sleep(_WINDOW)
    while number % 2 == 0 and not isinstance(await anext(events), SnapshotSaved):
        pass


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    started = perf_counter()
    work()
    return perf_counter() - started
