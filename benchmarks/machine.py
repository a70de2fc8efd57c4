"""What the machine gives: syncs of the disk, and hops to a thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

import psutil

from benchmarks.report import Table
from benchmarks.rounds import percentile
from benchmarks.run import Run

_BLOCK = os.urandom(4096)
_BLOCKS = 256


async def tables(run: Run) -> AsyncIterator[Table]:
    seconds = run.pick(1.0, 0.2)
    syncs = sync_times(run.file("sync"), seconds)
    hops = await hop_times(seconds)
    kind = file_system(run.folder)
    warning = "  NOT A DISK: durable rates mean nothing here" if kind == "tmpfs" else ""
    yield Table(
        f"Machine: {os.cpu_count()} cores, {kind}{warning}",
        ("what", "a second", "p50 ms", "p99 ms"),
        [_row("fdatasync of 4 KiB", syncs), _row("hop to a thread and back", hops)],
    )


def sync_times(path: Path, seconds: float) -> list[float]:
    """Return how long syncs take, each after a write of 4 KiB in a file whose size stays."""
    sync = getattr(os, "fdatasync", os.fsync)
    times: list[float] = []
    with path.open("wb", buffering=0) as file:
        file.write(_BLOCK * _BLOCKS)
        os.fsync(file.fileno())
        deadline = perf_counter() + seconds
        while (started := perf_counter()) < deadline:
            os.pwrite(file.fileno(), _BLOCK, len(times) % _BLOCKS * len(_BLOCK))
            sync(file.fileno())
            times.append(perf_counter() - started)
    return times


async def hop_times(seconds: float, work: Callable[[], object] = lambda: None) -> list[float]:
    """Return how long it takes to have a waiting thread do some work, by default nothing, and tell the loop."""
    loop = asyncio.get_running_loop()
    jobs: SimpleQueue[asyncio.Future[None] | None] = SimpleQueue()

    def serve() -> None:
        while (job := jobs.get()) is not None:
            work()
            loop.call_soon_threadsafe(job.set_result, None)

    thread = threading.Thread(target=serve)
    thread.start()
    times: list[float] = []
    deadline = perf_counter() + seconds
    while (started := perf_counter()) < deadline:
        done: asyncio.Future[None] = loop.create_future()
        jobs.put(done)
        await done
        times.append(perf_counter() - started)
    jobs.put(None)
    thread.join()
    return times


def file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on."""
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[str(path)] for path in (folder, *folder.parents) if str(path) in mounts), "unknown file system")


def _row(name: str, times: list[float]) -> tuple[str, float, float, float]:
    return name, len(times) / sum(times), percentile(times, 50) * 1000, percentile(times, 99) * 1000
