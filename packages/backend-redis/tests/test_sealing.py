"""What is seen of sealed actors in a server, in its files and on the way there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest

from perdure_testkit import Raw, SealingContract


class Monitor:
    """Whoever may say MONITOR, or reads along in the network."""

    def __init__(self, port: int) -> None:
        self.heard: list[bytes] = []
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(b"MONITOR\r\n")
        self.heard.append(self._socket.recv(5))
        self._thread = Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while heard := self._socket.recv(1 << 16):
                self.heard.append(heard)

    def end(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


class TestSealedInAServer(SealingContract):
    """Names and dumps of all keys, the append-only file, a snapshot of the server, and all commands."""

    @pytest.fixture
    def url(self, fresh_server: Any) -> str:
        return f"{fresh_server.url}?timeout=30"

    @pytest.fixture
    def raw(self, fresh_server: Any) -> Iterator[Raw]:
        monitor = Monitor(fresh_server.port)

        def read() -> Iterator[bytes]:
            keys = fresh_server.call("KEYS", "*")
            yield from keys
            yield from filter(None, (fresh_server.call("DUMP", key) for key in keys))
            fresh_server.call("SAVE")
            yield from (file.read_bytes() for file in fresh_server.folder.rglob("*") if file.is_file())
            yield b"".join(monitor.heard)

        yield read
        monitor.end()
