"""RocksDB: durable events a second, recovery and disk, beside bare `rocksdict` doing the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from time import perf_counter

import msgspec
from rocksdict import WriteBatch

from benchmarks.account import Account, Balance, Deposited, event_record
from benchmarks.asked import Asked
from benchmarks.report import Table
from benchmarks.rounds import Measure, in_turns
from benchmarks.run import Run
from perdure import ActorSystem, open_backend
from perdure.abc import Put, WriteGroup
from perdure_rocksdb import _keys as keys
from perdure_rocksdb._database import PROGRESS_KEY, Progress, open_to_write
from perdure_rocksdb._settings import Settings
from perdure_rocksdb._tuning import ENTRIES, FEED

_ACTORS = (1, 100, 1_000, 10_000)
_BATCH = 256  # groups in a commit of perdure's, at the most
_HEADER = keys.NUMBER_BYTES + 6  # bytes before a record's MessagePack

_decode = msgspec.msgpack.Decoder(tuple[str, int, int, Deposited, None]).decode

_THROUGHPUT_NOTE = """Events a second, medians; `best` is perdure's best round. A ratio is perdure / the other.
All sync the write-ahead log at each batch. raw: rocksdict writing the same rows (an entry and its place in the feed)
with the same options, without an event loop, replies or checks; min(actors, 256) events a batch, or one."""

_RECOVERY_NOTE = """Events a second, medians, warm file cache.
raw: rocksdict's iterator and msgspec on the same rows, without checksum and fold."""

_DISK_NOTE = """Bytes an event once all is closed, of the same events; `record` is what perdure gives the store."""


async def tables(run: Run) -> AsyncIterator[Table]:
    yield await _throughputs(run)
    path = run.file("rocksdb-recovery")
    events = run.pick(100_000, 5_000)
    actors, each = run.pick(10_000, 500), 20
    many = [f"many-{number}" for number in range(actors)]
    await _write(f"rocksdb:///{path}", ["long"], events)
    await _write(f"rocksdb:///{path}", many, each)
    rows = [await _recovery(run, path, ["long"], events), await _recovery(run, path, many, each)]
    yield Table("RocksDB: recovery", ("what", "perdure", "best", "raw", "/ raw", "seconds"), rows, _RECOVERY_NOTE)
    yield await _disk(run, actors, each)


class Driver:
    """Bare rocksdict that appends to some logs in turn, `batch` events a write."""

    def __init__(self, path: Path, logs: int, batch: int) -> None:
        self._database = open_to_write(Settings(path=path))
        self._handles = [self._database.handle(ENTRIES), self._database.handle(FEED)]
        self._paths = [f"{Account.type_name}/account-{number}".encode() + b"\0" for number in range(logs)]
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
    rows = [await _throughput(run, actors) for actors in run.pick(_ACTORS, _ACTORS[:-1])]
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


async def _recovery(run: Run, path: Path, names: Sequence[str], events: int) -> tuple[str | float, ...]:
    async def own(seconds: float) -> float:
        async with ActorSystem(store=f"rocksdb:///{path}", ask_timeout=300) as system:
            await system.ref(Account, "warm-up").ask(Balance())
            refs = [system.ref(Account, name) for name in names]
            started = perf_counter()
            balances = await asyncio.gather(*(ref.ask(Balance()) for ref in refs))
            elapsed = perf_counter() - started
        assert set(balances) == {events}
        return len(names) * events / elapsed

    async def raw(seconds: float) -> float:
        return len(names) * events / _fetch(path, names, events)

    rates = await in_turns({"own": own, "raw": raw}, run.pick(5, 1), 0)
    rate, other = rates["own"], rates["raw"].median
    title = f"{len(names):,} x {events:,} events"
    return (title, rate.median, rate.best, other, rate.median / other, len(names) * events / rate.median)


def _fetch(path: Path, names: Sequence[str], events: int) -> float:
    """Return the seconds to read and decode what these actors would."""
    with closing(open_to_write(Settings(path=path))) as database:
        started = perf_counter()
        for name in names:
            it, base = database.entries.iter(), keys.log("events", _id(name))
            it.seek(base)
            decoded = []
            while (key := it.key()) is not None and key.startswith(base):
                decoded.append(_decode(memoryview(it.value())[_HEADER:]))
                it.next()
            assert len(decoded) == events
            del it
        return perf_counter() - started


async def _disk(run: Run, actors: int, each: int) -> Table:
    """Compare what the events of many actors, appended in turn, take on disk here and in SQLite."""
    sizes = []
    for scheme in ("rocksdb", "sqlite"):
        path = run.file(f"disk-{scheme}")
        await _write(f"{scheme}:///{path}", [f"{number}" for number in range(actors)], each, in_turn=True)
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        sizes.append(sum(file.stat().st_size for file in files) / (actors * each))
    row: tuple[str | float, ...] = (f"{actors:,} x {each} events", len(event_record(1)), *sizes)
    return Table("RocksDB: disk", ("what", "record", "RocksDB", "SQLite"), [row], _DISK_NOTE)


async def _write(url: str, names: Sequence[str], events: int, *, in_turn: bool = False) -> None:
    """Give each actor so many events of 1, as it would have stored them."""
    record = event_record(1)
    step = 1 if in_turn else 500
    pages = [range(first, min(first + step, events + 1)) for first in range(1, events + 1, step)]
    groups = [
        WriteGroup(tuple(Put("events", _id(name), number, record) for number in page))
        for page in pages
        for name in names
    ]
    backend = await open_backend(url)
    for first in range(0, len(groups), 256):
        assert not any(await backend.commit(groups[first : first + 256]))
    await backend.close()


def _id(name: str) -> str:
    return f"{Account.type_name}/{name}"
