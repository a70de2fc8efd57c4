"""A proxy before an HTTP server, which does to requests what networks and servers do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeAlias


class Exchange(NamedTuple):
    """A request and what the server said to it."""

    method: str
    target: str
    head: bytes
    body: bytes


Fault: TypeAlias = Callable[[Exchange, asyncio.StreamWriter], "object | None"]
"""Writes what the client sees of an exchange, or nothing."""


class Unreliable:
    """Passes requests on, one a connection, and applies to those that are meant what it was told to."""

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._faults: list[tuple[re.Pattern[str], Fault]] = []
        self._server: asyncio.Server | None = None
        self.seen: list[str] = []
        self.port = 0
        self.released = asyncio.Event()

    async def __aenter__(self) -> Unreliable:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.released.set()
        self._server.close()
        await self._server.wait_closed()

    def apply(self, fault: Fault, *, to: str, times: int = 1_000) -> None:
        """Apply a fault to so many requests of which `METHOD target` matches a pattern."""
        self._faults += [(re.compile(to), fault)] * times

    def heal(self) -> None:
        """Pass everything on as it is."""
        self._faults.clear()
        self.released.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._pass_on(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.decode("latin-1").split(" ", 2)
        size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = await reader.readexactly(int(size[1])) if size else b""
        self.seen.append(f"{method} {target}")
        fault = self._take(f"{method} {target}")
        if fault is refuse or fault is hang:
            answer = b"", b""
        else:
            answer = await self._ask(head, body)
        exchange = Exchange(method, target, *answer)
        if fault is hang:
            await self.released.wait()
        elif fault is None:
            whole(exchange, writer)
        else:
            fault(exchange, writer)
        await writer.drain()

    def _take(self, request: str) -> Fault | None:
        for place, (pattern, fault) in enumerate(self._faults):
            if pattern.search(request):
                del self._faults[place]
                return fault
        return None

    async def _ask(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection(*self._place)
        first, _, rest = head.partition(b"\r\n")
        writer.write(first + b"\r\nConnection: close\r\n" + re.sub(rb"(?i)connection:[^\r]*\r\n", b"", rest) + body)
        answer, _, found = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return re.sub(rb"(?i)\r\n(?:connection|transfer-encoding):[^\r]*", b"", answer), found


def whole(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    """Show the client all of it."""
    writer.write(exchange.head + b"\r\nConnection: close\r\n\r\n" + exchange.body)


def refuse(_: Exchange, writer: asyncio.StreamWriter) -> None:
    """Say that the server is overloaded, and ask it nothing."""
    writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def hang(_: Exchange, __: asyncio.StreamWriter) -> None:
    """Ask nothing and say nothing."""


def lose(_: Exchange, writer: asyncio.StreamWriter) -> None:
    """Let the server do it, and show nothing of its answer."""
    writer.transport.abort()


def break_off(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    """End the connection in the middle of the body."""
    writer.write(exchange.head + b"\r\nConnection: close\r\n\r\n" + exchange.body[: len(exchange.body) // 2])


def halve(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    """Say that half of the body is all of it."""
    half = exchange.body[: len(exchange.body) // 2]
    head = re.sub(rb"(?i)(\r\ncontent-length: *)\d+", rb"\g<1>%d" % len(half), exchange.head)
    writer.write(head + b"\r\nConnection: close\r\n\r\n" + half)


def turn_round(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    """Show a listing in the opposite order."""
    entries = re.findall(rb"<Contents>.*?</Contents>", exchange.body, re.DOTALL)
    backwards = iter(reversed(entries))
    body = re.sub(rb"<Contents>.*?</Contents>", lambda _: next(backwards), exchange.body, flags=re.DOTALL)
    whole(exchange._replace(body=body), writer)
