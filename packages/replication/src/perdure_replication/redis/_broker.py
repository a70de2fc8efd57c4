"""The broker, and how connections to it are made."""

from __future__ import annotations

import re
from random import random
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from perdure_replication.errors import BrokerUnavailable, InvalidTransport

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Broker:
    """One Redis or Valkey server."""

    def __init__(self, url: str, timeout: float) -> None:
        """Raise `InvalidTransport` for a URL that cannot be right. Nothing is connected."""
        self.shown = shown(url)
        self.timeout = timeout
        """Seconds after which a connection or a reply is given up."""
        self._class, self._options = self._read(url)
        try:
            self.connection()
        except TypeError as error:
            raise InvalidTransport(self.shown, f"an option of it is unknown: {error}") from None

    def _read(self, url: str) -> tuple[type[AbstractConnection], dict[str, Any]]:
        try:
            options: dict[str, Any] = dict(parse_url(url))
        except ValueError:  # whose text may have a part of the password
            reason = "it is no URL of one server; write for example redis://user:password@host:6379/0"
            raise InvalidTransport(self.shown, reason) from None
        found = options.pop("connection_class", Connection)
        if found is not UnixDomainSocketConnection:
            options["socket_keepalive"] = True
        return found, options

    def connection(self) -> AbstractConnection:
        """Return a new connection that is not connected yet."""
        return self._class(
            **self._options
            | {
                "protocol": 2,
                "socket_timeout": None,
                "socket_connect_timeout": self.timeout,
                "retry": Retry(NoBackoff(), 0),
            }
        )

    def unavailable(self, reason: object) -> BrokerUnavailable:
        return BrokerUnavailable(self.shown, str(reason) or "it did not answer in time")


class Pauses:
    """How long to wait before a broker is tried again: each time twice as long, up to a second, with jitter."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pause = _FIRST_PAUSE / 2

    def next(self) -> float:
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return self._pause * (0.5 + random() / 2)


def packed(*parts: bytes) -> bytes:
    """Return a command in the Redis serialization protocol: an array of bulk strings."""
    pieces = [b"*%d\r\n" % len(parts)]
    for part in parts:
        pieces += (b"$%d\r\n" % len(part), part, b"\r\n")
    return b"".join(pieces)


def shown(url: str) -> str:
    """Return what may be shown of a URL: no password, and no options."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest.rpartition('@')[2])[0] or '…'}"
