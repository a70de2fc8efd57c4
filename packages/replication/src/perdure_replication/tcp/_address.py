"""Where a node is reached: `HOST:PORT`, `[HOST]:PORT`, and either after `tcp://`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from perdure_replication.errors import InvalidTransport

_EXAMPLE = "write for example tcp://10.0.0.7:7400"


class Address(NamedTuple):
    """A host, by name or number, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all addresses of a machine."""
        try:
            return ip_address(self.host).is_unspecified
        except ValueError:
            return False


def address_of(text: str) -> Address:
    """Return the address that a text means. Raises `InvalidTransport`."""
    parts = urlsplit(text if "://" in text else f"tcp://{text}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidTransport(repr(text), f"it is no address: {error}: {_EXAMPLE}") from error
    rest = (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
    if parts.scheme != "tcp" or not host or port is None or any(rest):
        raise InvalidTransport(repr(text), f"it is no address: {_EXAMPLE}")
    return Address(host, port)


def is_loopback(host: str) -> bool:
    """Tell whether a host, given by number, or as `localhost`, is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
