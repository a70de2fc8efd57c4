"""What a URL says: which servers, as whom, over what, and how sure a commit has to be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from perdure.errors import CreateStoreError

Kind: TypeAlias = Literal["standalone", "sentinel", "cluster"]
Address: TypeAlias = tuple[str, int]

_PORTS: dict[Kind, int] = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}
_NAMESPACE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_EXAMPLES: dict[Kind, str] = {
    "standalone": "redis://user:password@host:6379/0",
    "sentinel": "redis+sentinel://host:26379,host:26379/service",
    "cluster": "redis+cluster://host:6379,host:6379",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an opener may choose.

    `namespace` begins all keys. `slices` is asked for when a store is made; None takes 1, or 16 in a cluster.
    `timeout`: seconds after which a call without an answer fails. `replicas` acknowledge each commit; None asks
    none, and warns where a failover could lose one. `sync`: whether the server's `appendfsync` makes a commit durable,
    or WAITAOF after each. `check`: whether the server's settings are looked at when the store is opened.
    """

    kind: Kind
    addresses: tuple[Address, ...]
    shown: str = ""
    tls: bool = False
    username: str | None = None
    password: str | None = None
    service: str = ""
    database: int = 0
    namespace: str = "perdure"
    slices: int | None = None
    timeout: float = 10.0
    replicas: int | None = None
    sync: Literal["server", "aof"] = "server"
    check: bool = True
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_check_hostname: bool = True
    ssl_cert_reqs: Literal["required", "none"] = "required"

    @classmethod
    def of_url(cls, url: str) -> Settings:
        """Read a URL. Raises `CreateStoreError` saying what is wrong, without showing a password."""
        scheme, _, rest = url.partition("://")
        protocol, _, way = scheme.partition("+")
        kind: Kind = "cluster" if way == "cluster" else "sentinel" if way == "sentinel" else "standalone"
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        credentials, _, hosts = authority.rpartition("@")
        shown = f"{scheme}://{'***@' if credentials else ''}{hosts}"

        def wrong(reason: str) -> CreateStoreError:
            return CreateStoreError("open", f"{shown}: {reason}; write for example {_EXAMPLES[kind]}")

        parts = urlsplit(f"//{rest[len(authority) - len(hosts) :] if credentials else rest}")
        if parts.fragment:
            raise wrong("a URL of a store has no '#'")
        options: dict[str, Any] = {}
        for name, text in parse_qsl(parts.query, keep_blank_values=True):
            if name not in _OPTIONS:
                raise wrong(f"unknown option {name!r}; there are {', '.join(_OPTIONS)}")
            try:
                options[name] = _OPTIONS[name](text)
            except ValueError as error:
                raise wrong(f"option {name}: {error}") from None
        addresses = tuple(_address(host, _PORTS[kind], wrong) for host in hosts.split(","))
        if kind == "standalone" and len(addresses) > 1:
            raise wrong("several hosts are for redis+sentinel:// and redis+cluster://")
        username, colon, password = credentials.partition(":")
        return cls(
            kind=kind,
            addresses=addresses,
            shown=shown,
            tls=protocol == "rediss",
            username=unquote(username) or None,
            password=unquote(password) if colon else None,
            **_path(kind, unquote(parts.path.strip("/")), wrong),
            **options,
        )

    def connection(self) -> dict[str, Any]:
        """Return what each connection to a server of the store is made with."""
        return {"username": self.username, "password": self.password, "db": self.database}

    def sentinel_connection(self) -> dict[str, Any]:
        """Return what each connection to a Sentinel is made with."""
        return {"username": self.sentinel_username, "password": self.sentinel_password}

    def transport(self) -> dict[str, Any]:
        """Return how each connection is encrypted, if it is."""
        if not self.tls:
            return {}
        return {
            "ssl_ca_certs": self.ssl_ca_certs,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
            "ssl_cert_reqs": self.ssl_cert_reqs,
            "ssl_check_hostname": self.ssl_check_hostname and self.ssl_cert_reqs == "required",
        }


def _address(text: str, port: int, wrong: Callable[[str], CreateStoreError]) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, given = parts.hostname, parts.port
    except ValueError as error:
        raise wrong(f"{text!r}: {error}") from None
    if not host:
        raise wrong("it names no host")
    return host, given or port


def _path(kind: Kind, path: str, wrong: Callable[[str], CreateStoreError]) -> dict[str, Any]:
    if kind == "cluster":
        if path not in ("", "0"):
            raise wrong("a cluster has database 0 alone")
        return {}
    service, _, number = path.rpartition("/") if kind == "sentinel" and "/" in path else (path, "", "")
    if kind == "sentinel":
        if not service:
            raise wrong("it names no service of the Sentinels")
        return {"service": service, "database": _number(number, wrong)}
    return {"database": _number(path, wrong)}


def _number(text: str, wrong: Callable[[str], CreateStoreError]) -> int:
    if text and not (text.isascii() and text.isdecimal()):
        raise wrong(f"{text!r} is no number of a database")
    return int(text or 0)


def _between(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError(f"{number} is not from {least} to {most}")
        return number

    return read


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"{text!r} is none of {', '.join(names)}")
        return text

    return read


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.01 <= seconds <= 3600:
        raise ValueError(f"{text} is not from 0.01 to 3600 seconds")
    return seconds


def _namespace(text: str) -> str:
    if _NAMESPACE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not 1 to 64 of A to Z, a to z, 0 to 9 and _ . : -")
    return text


def _yes(text: str) -> bool:
    return _one_of("yes", "no")(text) == "yes"


_OPTIONS: dict[str, Callable[[str], object]] = {
    "namespace": _namespace,
    "slices": _between(1, 1024),
    "timeout": _seconds,
    "replicas": _between(0, 16),
    "sync": _one_of("server", "aof"),
    "check": _yes,
    "sentinel_username": str,
    "sentinel_password": str,
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_check_hostname": _yes,
    "ssl_cert_reqs": _one_of("required", "none"),
}
