"""Serving the inspector to whoever sits at this machine."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from perdure.abc import Backend
from perdure.inspector._application import application
from perdure.inspector._guard import hosts_of
from perdure.persistence import PersistentActor
from perdure.security import Sealing
from perdure.snapshots import SnapshotStore

_SECONDS_TO_FINISH = 3


async def serve(
    backend: Backend,
    actor_types: Sequence[type[PersistentActor[Any, Any]]] = (),
    *,
    announce: Callable[[str], object],
    host: str = "127.0.0.1",
    port: int = 0,
    sealing: Sealing | None = None,
    snapshots: SnapshotStore | None = None,
    url: str = "",
) -> None:
    """Serve an `application` until a signal ends it, at a free port by default.

    `announce` is given the address to open, which has a new token and is told to nobody else: no request is logged.
    `url` is that of the store; pages show it without what is secret in it. Raises `OSError` where it cannot listen.
    """
    token, closing = secrets.token_urlsafe(32), asyncio.Event()
    app = application(
        backend,
        actor_types,
        token=token,
        hosts=hosts_of(host),
        sealing=sealing,
        snapshots=snapshots,
        store=without_secrets(url),
        closing=closing,
    )
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    with _listener(host, port) as opened:
        announce(f"http://{_address(opened)}/?token={token}")
        await _Server(config, closing).serve(sockets=[opened])
        await asyncio.sleep(0)  # where Ctrl-C cancels, rather than what is closed next


class _Server(uvicorn.Server):
    """Ends what is live before it waits for the end of all answers."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)


def without_secrets(url: str) -> str:
    """Return the URL of a store without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else ""


def _listener(host: str, port: int) -> socket.socket:
    """Return a socket on which connections may already wait. Raises `OSError`."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen()
    except BaseException:
        opened.close()
        raise
    return opened


def _address(opened: socket.socket) -> str:
    """Return where a browser of this machine reaches a socket."""
    host, port = opened.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
