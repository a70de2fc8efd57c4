"""The door of `tcp://`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from perdure import Keyring
from perdure_replication._ports import Ports
from perdure_replication.errors import InvalidTransport
from perdure_replication.tcp._membership import TcpMembership
from perdure_replication.tcp._tls import Certificates
from perdure_replication.tcp._transport import TcpTransport

_FILES = ("certificate", "key", "authority")
_IN_URL = frozenset(["seed", "advertise", "schema", "secret", "insecure", *_FILES])
_OPTIONS = frozenset(["secret", "certificates", "settings"])


def open_tcp(url: str, cluster: str, options: Mapping[str, Any]) -> Ports:
    """Make both ports over TCP.

    The URL is `tcp://HOST:PORT?seed=HOST:PORT&…`, with `advertise` and `schema`, and with one of: `secret`, a key file;
    `certificate`, `key` and `authority`, PEM files; `insecure=true`, or `insecure=anywhere`. Instead of files `options`
    may have `secret` or `certificates`, and `settings`. A file's name is of a path, without `file://`.
    """
    parts = urlsplit(url)
    given = _given(url, parts.query, options)
    seeds = given.pop("seed", [])
    settings = options.get("settings")
    transport = TcpTransport(
        f"tcp://{parts.netloc}", cluster=cluster, settings=settings, **_secured(url, given, options)
    )
    return Ports(transport, TcpMembership(transport, seeds, settings=settings))


def _given(url: str, query: str, options: Mapping[str, Any]) -> dict[str, Any]:
    given = parse_qs(query, keep_blank_values=True)
    if unknown := {*given} - _IN_URL:
        raise InvalidTransport(
            url, f"it has no option {', '.join(sorted(unknown))}; there are {', '.join(sorted(_IN_URL))}"
        )
    if unknown := {*options} - _OPTIONS:
        raise InvalidTransport(
            url, f"there is no {', '.join(sorted(unknown))}=; there are {', '.join(sorted(_OPTIONS))}"
        )
    return {name: values if name == "seed" else values[-1] for name, values in given.items()}


def _secured(url: str, given: dict[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a transport is given, of what stands in the URL and of the options."""
    files = [given.pop(name) for name in _FILES if name in given]
    if files and len(files) < len(_FILES):
        raise InvalidTransport(url, f"{', '.join(_FILES)} go together")
    arguments: dict[str, Any] = {name: options[name] for name in ("secret", "certificates") if name in options}
    if files:
        arguments["certificates"] = Certificates(*files)
    if "secret" in given:
        arguments["secret"] = Keyring.from_file(given.pop("secret"))
    if "insecure" in given:
        arguments["insecure"] = _insecure(url, given.pop("insecure"))
    return {**given, **arguments}


def _insecure(url: str, value: str) -> bool | Literal["anywhere"]:
    if value not in ("true", "anywhere"):
        raise InvalidTransport(url, f"insecure is true or anywhere, not {value!r}")
    return "anywhere" if value == "anywhere" else True
