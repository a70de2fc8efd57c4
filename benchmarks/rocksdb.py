"""RocksDB: what the sections measure of SQLite, and bytes an event on disk, beside bare `rocksdict` doing the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path
from time import perf_counter

from rocksdict import WriteBatch

from benchmarks import handles, memory, recovery, scans
from benchmarks.account import event_record
from benchmarks.asked import Asked
from benchmarks.report import Table
from benchmarks.rounds import Measure, in_turns
from benchmarks.run import Run
from benchmarks.stored import events_of, log_of, store_all
from perdure import ActorSystem
from perdure_rocksdb import _keys as keys
from perdure_rocksdb._database import PROGRESS_KEY, Database, Progress, open_to_write
from perdure_rocksdb._settings import Settings
from perdure_rocksdb._tuning import ENTRIES, FEED

_ACTORS = (1, 100, 1_000, 10_000)
_BATCH = 256  # groups in a commit of perdure's, at the most
_HEADER = keys.NUMBER_BYTES + recovery.HEADER  # bytes before a record's MessagePack

_THROUGHPUT_NOTE = """Events a second, medians; `best` is perdure's best round. A ratio is perdure / the other.
All sync the write-ahead log at each batch. raw: rocksdict writing the same rows (an entry and its place in the feed)
with the same options, without an event loop, replies or checks; min(actors, 256) events a batch, or one."""

_RECOVERY_NOTE = """Events a second, medians, warm file cache.
raw: rocksdict's iterator and msgspec on the same rows, without checksum and fold."""

_HELD = "RocksDB's write buffers, and the heads of up to 200,000 logs"

_SCAN_NOTE = "rocksdict's iterators, entry by entry; for the feed, the place and then the entry"

_DISK_NOTE = """Bytes an event once all is closed, of the same events; `record` is what perdure gives the store."""


async def tables(run: Run) -> AsyncIterator[Table]:
    yield await _throughputs(run)
    path = run.file("rocksdb-recovery")
    yield await recovery.table(run, "RocksDB: recovery", f"rocksdb:///{path}", partial(_fetch, path), _RECOVERY_NOTE)
    yield await _disk(run)
    yield handles.table(run, "RocksDB: handles", run.url("rocksdb-handles", "rocksdb"))
    yield memory.table(run, "RocksDB: memory", "RocksDB", lambda: run.url("rocksdb-memory", "rocksdb"), _HELD)
    path = run.file("rocksdb-scans")
    yield await scans.table(run, "RocksDB: scans", f"rocksdb:///{path}", partial(_scan, path), _SCAN_NOTE)


class Driver:
    """Bare rocksdict that appends to some logs in turn, `batch` events a write."""

    def __init__(self, path: Path, logs: int, batch: int) -> None:
        self._database = open_to_write(Settings(path=path))
        self._handles = [self._database.handle(ENTRIES), self._database.handle(FEED)]
        self._paths = [log_of(f"account-{number}").encode() + b"\0" for number in range(logs)]
        self._batch = batch
        self._written = 0
        self._record = event_record(1)

    async def __call__(self, seconds: float) -> float:
        """Write for so long; return the events a second. The loop stands still meanwhile."""
        before = self._written
        started = perf_counter()
        while (now := perf_counter()) < started + seconds:
            self._commit()
        return (self._written - before) / (now - started)

    def _commit(self) -> None:
        batch = WriteBatch(raw_mode=True)
        entries, feed = self._handles
        for _ in range(self._batch):
            round, log = divmod(self._written, len(self._paths))
            self._written += 1
            place, where = keys.number(self._written), self._paths[log] + keys.number(round + 1)
            batch.put(b"events\0" + where, place + self._record, entries)
            batch.put(b"events\0" + place, where, feed)
        batch.put(PROGRESS_KEY, Progress(self._written, self._written).packed())
        self._database.main.write(batch)
        self._database.main.flush_wal(True)

    def close(self) -> None:
        self._handles.clear()
        self._database.close()


async def _throughputs(run: Run) -> Table:
    rows = [await _throughput(run, actors) for actors in run.pick(_ACTORS, _ACTORS[:2])]
    columns = ("actors", "perdure", "best", "raw batch", "raw single", "/ raw batch", "/ raw single")
    return Table("RocksDB: throughput", columns, rows, _THROUGHPUT_NOTE)


async def _throughput(run: Run, actors: int) -> tuple[int | float, ...]:
    async with AsyncExitStack() as stack:
        store = f"rocksdb:///{run.file('rocksdb')}"
        batch, single = (
            stack.enter_context(closing(Driver(run.file("raw"), actors, size))) for size in (min(actors, _BATCH), 1)
        )
        asked = await Asked.among(await stack.enter_async_context(ActorSystem(store=store)), actors)
        contenders: dict[str, Measure] = {"perdure": asked, "raw batch": batch, "raw single": single}
        rates = await in_turns(contenders, run.pick(5, 1), run.pick(0.6, 0.1))
    own, *raw = rates.values()
    medians = [rate.median for rate in raw]
    return (actors, own.median, own.best, *medians, *(own.median / other for other in medians))


async def _fetch(path: Path, names: Sequence[str], events: int) -> float:
    with closing(open_to_write(Settings(path=path))) as database:
        started = perf_counter()
        for name in names:
            entries = _entries(database, keys.log("events", log_of(name)))
            assert len([recovery.decode(memoryview(value)[_HEADER:]) for _, value in entries]) == events
        return perf_counter() - started


def _entries(database: Database, base: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of all that begins like this."""
    it = database.entries.iter()
    it.seek(base)
    while (key := it.key()) is not None and key.startswith(base):
        yield key, it.value()
        it.next()


async def _scan(path: Path, what: scans.What, count: int) -> float:
    with closing(open_to_write(Settings(path=path, machine=scans.MACHINE))) as database:
        started = perf_counter()
        assert sum(1 for _ in _SCANS[what](database)) == count
        return perf_counter() - started


def _feed(database: Database) -> Iterator[object]:
    base = f"{scans.MANY}\0".encode()
    it = database.feed.iter()
    it.seek(base)
    while (key := it.key()) is not None and key.startswith(base):
        yield database.entries[base + it.value()]
        it.next()


def _prefixes(database: Database) -> Iterator[str]:
    it = database.entries.iter()
    it.seek(keys.behind(scans.MANY, ""))
    while (key := it.key()) is not None and key < keys.behind_name(scans.MANY):
        prefix = keys.prefix_of(scans.MANY, key)
        yield prefix
        it.seek(keys.behind(scans.MANY, prefix))


_SCANS: dict[scans.What, Callable[[Database], Iterator[object]]] = {
    "log": lambda database: _entries(database, keys.log(scans.LONG, scans.LONG)),
    "feed": _feed,
    "prefixes": _prefixes,
}


async def _disk(run: Run) -> Table:
    """Compare what the events of many actors, appended in turn, take on disk here and in SQLite."""
    names = [f"{number}" for number in range(run.pick(10_000, 500))]
    events = 20
    sizes = []
    for scheme in ("rocksdb", "sqlite"):
        path = run.file(f"disk-{scheme}")
        await store_all(f"{scheme}:///{path}", events_of(names, events, in_turn=True))
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        sizes.append(sum(file.stat().st_size for file in files) / (len(names) * events))
    row: tuple[str | float, ...] = (f"{len(names):,} x {events} events", len(event_record(1)), *sizes)
    return Table("RocksDB: disk", ("what", "record", "RocksDB", "SQLite"), [row], _DISK_NOTE)
