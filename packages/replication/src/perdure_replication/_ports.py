"""Finding the two ports of a node by URL, through entry points of the group `perdure.transports`.

An entry point's name is a URL scheme, its value a function, an `OpenPorts`. What is built in enters by the same door. A
module is imported when its scheme is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, cast

from perdure_replication._membership import Membership
from perdure_replication._plugins import load_plugin
from perdure_replication._transport import Transport
from perdure_replication.errors import InvalidTransport

GROUP = "perdure.transports"


class Ports(NamedTuple):
    """What a node stands on."""

    transport: Transport
    membership: Membership


class OpenPorts(Protocol):
    """What a plug-in is."""

    def __call__(self, url: str, cluster: str, options: Mapping[str, object]) -> Ports:
        """Make the ports that `url` names; a `Node` starts them.

        Raises `InvalidTransport` for a URL or options that cannot be right.
        """


def open_ports(url: str, *, cluster: str = "perdure", **options: object) -> Ports:
    """Make the ports of one node, of `tcp://10.0.0.7:7400?seed=10.0.0.1:7400` for example.

    `options` are what cannot be in a URL: objects that the plug-in knows. Pass the ports to a `Node` of this cluster,
    which starts and closes them. Raises `UnknownBackend` naming the schemes that are installed, `BrokenPlugin` naming
    the distribution that fails, `InvalidTransport` for a URL or options that cannot be right.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise InvalidTransport(repr(url), "it is no URL: write for example tcp://127.0.0.1:7400")
    opener = cast("OpenPorts", load_plugin(GROUP, scheme, "transport", "scheme"))
    return opener(url, cluster, options)
