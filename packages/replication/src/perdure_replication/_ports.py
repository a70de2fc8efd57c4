"""Finding the two ports of a node by URL, through entry points of the group `perdure.transports`.

An entry point's name is a URL scheme, its value a module that implements `perdure_open_ports`, marked with
`pluggy.HookimplMarker("perdure")`. What is built in enters by the same door.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import NamedTuple

from perdure._plugins import Door  # perdure's own door; this package is of the family
from perdure.errors import UnknownBackend
from perdure_replication._membership import Membership
from perdure_replication._transport import Transport
from perdure_replication.errors import InvalidTransport


class Ports(NamedTuple):
    """What a node stands on."""

    transport: Transport
    membership: Membership


class PortHooks:
    """What a plug-in module implements."""

    def perdure_open_ports(self, url: str, cluster: str, options: Mapping[str, object]) -> Awaitable[Ports]:
        """Make the ports that `url` names, which are not started.

        Raises `InvalidTransport` for a URL or options that cannot be right.
        """
        raise NotImplementedError


TRANSPORTS = Door("transport", "perdure.transports", PortHooks, PortHooks.perdure_open_ports)


async def open_ports(url: str, *, cluster: str = "perdure", **options: object) -> Ports:
    """Make the ports of one node, `tcp://0.0.0.0:7400?advertise=10.0.0.7:7400&seed=10.0.0.1:7400` for example.

    `options` are what cannot be in a URL: objects that the plug-in knows. Pass the ports to a `Node` of this cluster,
    which starts and closes them. Raises `UnknownBackend` naming the schemes that are installed, `BrokenPlugin` naming
    the distribution that fails, `InvalidTransport` for a URL or options that cannot be right.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise InvalidTransport(repr(url), "it is no URL: write for example tcp://127.0.0.1:7400")
    entry = TRANSPORTS.find(scheme)
    if entry is None:
        hint = "Is the scheme spelled right, and its plug-in installed?"
        raise UnknownBackend(scheme, tuple(sorted(TRANSPORTS.installed())), hint, TRANSPORTS.what)
    ports: Ports = await TRANSPORTS.open(entry, url=url, cluster=cluster, options=options)
    return ports
