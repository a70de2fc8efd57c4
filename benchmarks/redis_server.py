"""A Redis or Valkey server of the run's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perdure_testkit.redis import RedisServer

_DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@contextmanager
def server(folder: Path, *, durable: bool = True) -> Iterator[int]:
    """Run a server that syncs always, or keeps nothing on disk; give its port."""
    server = RedisServer(folder, *(_DURABLE if durable else ())).start()
    try:
        yield server.port
    finally:
        server.kill()
