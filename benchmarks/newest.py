"""The newest snapshot of an actor, from memory and from the store, beside a dict and the bare driver."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

from benchmarks.report import Table
from benchmarks.rounds import Measure, in_turns, in_waves
from benchmarks.run import Run
from benchmarks.stored import log_of, store_all
from perdure import open_backend
from perdure.abc import Put
from perdure.snapshots import SNAPSHOTS, CachedSnapshots, CollectionSnapshots, Snapshot

_LOG = log_of("newest")
_SNAPSHOT = Snapshot(100, os.urandom(64 * 1024))
_WAVE = 100

_SELECT = """
SELECT s.key, s.value FROM collection_snapshots AS s
WHERE s.prefix = (SELECT id FROM prefixes WHERE collection = 'snapshots' AND prefix = ?) ORDER BY s.key DESC LIMIT 1"""

_NOTE = """Microseconds of one read after another, medians. store: SQLite, in its thread. sqlite3: the same row in the
loop's own thread. dict: a coroutine that looks into one."""


async def table(run: Run) -> Table:
    path = run.file("newest")
    await store_all(f"sqlite:///{path}", [Put(SNAPSHOTS, _LOG, *_SNAPSHOT)])
    backend = await open_backend(f"sqlite:///{path}")
    store = CollectionSnapshots(backend, owned=True)
    cache = CachedSnapshots(store)
    known = {_LOG: _SNAPSHOT}
    with closing(sqlite3.connect(path)) as connection:
        contenders: dict[str, Measure] = {
            "cached": _reads(lambda: cache.newest(_LOG)),
            "store": _reads(lambda: store.newest(_LOG)),
            "sqlite3": _reads(lambda: _select(connection)),
            "dict": _reads(lambda: _look_up(known)),
        }
        rates = await in_turns(contenders, run.pick(7, 2), run.pick(0.3, 0.05))
    await cache.close()
    cached, stored, raw, bare = (1_000_000 / rate.median for rate in rates.values())
    row = (cached, 1_000_000 / rates["cached"].best, stored, raw, bare, stored / cached, cached / bare, stored / raw)
    columns = ("cached", "best", "store", "sqlite3", "dict", "store / cached", "cached / dict", "store / sqlite3")
    return Table("Newest snapshot, of 64 KiB", columns, [row], _NOTE)


def _reads(read: Callable[[], Awaitable[Snapshot | None]]) -> Measure:
    """Return the measure of reads one after another."""

    async def wave() -> int:
        for _ in range(_WAVE):
            found = await read()
        assert found == _SNAPSHOT
        return _WAVE

    return in_waves(wave)


async def _select(connection: sqlite3.Connection) -> Snapshot:
    return Snapshot(*connection.execute(_SELECT, (_LOG,)).fetchone())


async def _look_up(known: dict[str, Snapshot]) -> Snapshot:
    return known[_LOG]
