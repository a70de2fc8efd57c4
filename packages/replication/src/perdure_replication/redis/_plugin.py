"""The door of `redis://` and `rediss://`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from perdure import Keyring
from perdure_replication._ports import Ports
from perdure_replication.errors import InvalidTransport
from perdure_replication.redis._broker import shown
from perdure_replication.redis._membership import RedisMembership
from perdure_replication.redis._transport import RedisTransport

_BOTH = ("timeout", "window")
_TIMES = (*_BOTH, "beat_interval", "unreachable_after", "forget_after")
_OPTIONS = frozenset(["secret"])


def open_redis(url: str, cluster: str, options: Mapping[str, Any]) -> Ports:
    """Make both ports on one server.

    The URL is `redis://user:password@HOST:PORT/0?secret=FILE`, with a key file, or `insecure=true`; `timeout`,
    `window`, `beat_interval`, `unreachable_after` and `forget_after` in seconds; and what redis-py knows of TLS.
    Instead of a file `options` may have `secret`, a key or a keyring.
    """
    if unknown := {*options} - _OPTIONS:
        raise InvalidTransport(shown(url), f"there is no {', '.join(sorted(unknown))}=; there is secret=")
    server, _, query = url.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    arguments = {"cluster": cluster, **_secured(url, given, options)}
    times: dict[str, Any] = {name: _seconds(url, name, given.pop(name)) for name in _TIMES if name in given}
    both = {name: times[name] for name in _BOTH if name in times}
    place = f"{server}?{urlencode(given)}" if given else server
    transport = RedisTransport(place, **arguments, **both)
    return Ports(transport, RedisMembership(place, transport=transport, **arguments, **times))


def _secured(url: str, given: dict[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(options)
    if "secret" in given:
        arguments["secret"] = Keyring.from_file(given.pop("secret"))
    if "insecure" in given:
        if (value := given.pop("insecure")) != "true":
            raise InvalidTransport(shown(url), f"insecure is true, not {value!r}")
        arguments["insecure"] = True
    return arguments


def _seconds(url: str, name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidTransport(shown(url), f"{name} is a number of seconds, not {text!r}")
    return seconds
