"""An S3 server of this machine: `moto`, spoken to over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

_OPTIONS = {"access_key_id": "test", "secret_access_key": "test", "region": "us-east-1", "allow_http": "true"}


class Server:
    """The server, with one bucket."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def url(self, prefix: str, port: int | None = None, **options: object) -> str:
        """Return the URL of a prefix in the bucket; `port` is that of who stands before the server."""
        given = {"endpoint": f"http://{self.host}:{port or self.port}", **_OPTIONS, **options}
        return f"s3://bucket/{prefix}?{urlencode(given)}"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """Return a server that lives as long as the run."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    server = Server(*moto.get_host_and_port())
    with urlopen(Request(f"http://{server.host}:{server.port}/bucket", method="PUT")):
        pass
    yield server
    moto.stop()
