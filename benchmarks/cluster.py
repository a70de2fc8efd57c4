"""Processes that tell each other things, and note how long it takes."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from multiprocessing.connection import Connection
from time import monotonic_ns
from typing import Any, NamedTuple

from benchmarks.wires import Hurried, Place, Published, Replicated, Stamp, Streams, Wire

_PATIENCE = 60.0
_WIRES: Mapping[str, type[Wire]] = {
    "replicated": Replicated,
    "hurried": Hurried,
    "streams": Streams,
    "published": Published,
}


class Told(NamedTuple):
    """What one process has told, and when it began and ended, in nanoseconds of the common clock."""

    last: int
    words: int
    began: int
    ended: int


class Heard(NamedTuple):
    """What one process heard of all others."""

    latencies: list[int]
    at: int
    """When it had all."""


class Flood(NamedTuple):
    """Figures of one process that tells as fast as it can, a second."""

    told: float
    heard: float
    """By one of the others."""
    late: float
    """Seconds from its last word until all others had that."""


class Cluster:
    """Some processes, each connected to all others by each of some wires."""

    def __init__(self, pipes: Sequence[Connection], names: Sequence[str]) -> None:
        self._pipes = pipes
        self._names = names

    def paced(self, wire: str, seconds: float, a_second: float) -> list[int]:
        """Have all tell so often; return the nanoseconds that each word took to each other process."""
        self._ask_all("begin", wire)
        told = self._ask_all("tell", wire, seconds, a_second)
        return [latency for heard in self._heard(wire, told) for latency in heard.latencies]

    def flood(self, wire: str, seconds: float) -> Flood:
        """Have one tell as fast as it can."""
        self._ask_all("begin", wire)
        first, *others = self._pipes
        told: Told = _answers([first], "tell", wire, seconds, 0.0)[0]
        heard = self._heard(wire, [told], others)
        at = max(each.at for each in heard)
        count = sum(len(each.latencies) for each in heard) / len(heard)
        nanoseconds = at - told.began
        return Flood(told.words / (told.ended - told.began) * 1e9, count / nanoseconds * 1e9, (at - told.ended) / 1e9)

    def _heard(self, wire: str, told: Sequence[Told], pipes: Sequence[Connection] = ()) -> list[Heard]:
        last = {name: each.last for name, each in zip(self._names, told, strict=False)}
        return _answers(pipes or self._pipes, "heard", wire, last)

    def _ask_all(self, *order: Any) -> list[Any]:
        return _answers(self._pipes, *order)


def _answers(pipes: Sequence[Connection], *order: Any) -> list[Any]:
    for pipe in pipes:
        pipe.send(order)
    return [_answer(pipe) for pipe in pipes]


def _answer(pipe: Connection) -> Any:
    if not pipe.poll(_PATIENCE):
        raise TimeoutError(f"a process of the cluster says nothing for {_PATIENCE:g} s")
    answer = pipe.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextmanager
def cluster(processes: int, wires: Sequence[str], url: str = "") -> Iterator[Cluster]:
    """Run so many processes; return when all are connected with all."""
    names = [f"node-{number:02}" for number in range(processes)]
    secret, context = secrets.token_bytes(32), multiprocessing.get_context("spawn")
    addresses = [dict(zip(names, _free_addresses(processes), strict=True)) for _ in wires]
    pipes, children = [], []
    try:
        for name in names:
            pipe, other = context.Pipe()
            places = {wire: Place(name, of_wire, url, secret) for wire, of_wire in zip(wires, addresses, strict=True)}
            child = context.Process(target=_run, args=(other, places), daemon=True)
            child.start()
            pipes.append(pipe)
            children.append(child)
            other.close()
        for pipe in pipes:
            _answer(pipe)
        yield Cluster(pipes, names)
        _answers(pipes, "end")
    finally:
        for child in children:
            child.join(1.0)
            child.kill()
            child.join()
        for pipe in pipes:
            pipe.close()


def _free_addresses(number: int) -> list[str]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


# One of the processes.


def _run(pipe: Connection, places: Mapping[str, Place]) -> None:
    logging.getLogger("perdure.replication").setLevel(logging.ERROR)  # a broker carries what comes before its sender
    asyncio.run(_serve(pipe, places))


async def _serve(pipe: Connection, places: Mapping[str, Place]) -> None:
    try:
        async with AsyncExitStack() as stack:
            members = {
                name: Member(await stack.enter_async_context(_WIRES[name](place))) for name, place in places.items()
            }
            pipe.send("ready")
            while (order := await asyncio.to_thread(pipe.recv)) != ("end",):
                what, wire, *arguments = order
                pipe.send(await getattr(members[wire], what)(*arguments))
            pipe.send("ended")
    except Exception as error:
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))
        raise


class Member:
    """What a process does with one wire when it is asked to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._number = 0

    async def begin(self) -> None:
        """Forget what was heard."""
        self._wire.latencies.clear()

    async def tell(self, seconds: float, a_second: float) -> Told:
        """Tell so often, evenly and not in step with the others; 0 is as often as can be."""
        before, began = self._number, monotonic_ns()
        end = began + int(seconds * 1e9)
        due = began / 1e9 + self._phase(a_second)
        while monotonic_ns() < end:
            if a_second:
                await asyncio.sleep(due - monotonic_ns() / 1e9)
                due += 1 / a_second
            self._number += 1
            await self._wire.tell(Stamp(self._number, monotonic_ns()))
        return Told(self._number, self._number - before, began, monotonic_ns())

    def _phase(self, a_second: float) -> float:
        names = sorted(self._wire.place.addresses)
        return names.index(self._wire.place.name) / len(names) / a_second if a_second else 0.0

    async def heard(self, last: Mapping[str, int]) -> Heard:
        """Wait until the last words of all others were heard."""
        await self._wire.until(last)
        return Heard(list(self._wire.latencies), self._wire.at)
