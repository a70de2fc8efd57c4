"""What the tests of the examples share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from perdure_testkit.redis import RedisServer

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


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """Run a server that fsyncs always; return its port."""
    server = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always").start()
    yield server.port
    server.kill()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(f"perdure_{request.param}")
    url = STORES[request.param]
    return url.format(port=request.getfixturevalue("redis_port")) if "{port}" in url else url
