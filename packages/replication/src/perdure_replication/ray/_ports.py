"""Both ports of a node in a Ray cluster, and the door of `ray://`: nodes that need no address, and no secret, of yours.

Links are those of TCP, and so is what is found out about peers; Ray says where a node is, and who else has come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from perdure.security import EncryptedKey
from perdure_replication._fields import fields
from perdure_replication._frames import MAX_FRAME_BYTES
from perdure_replication._member import Member
from perdure_replication._membership import Membership, Report
from perdure_replication._ports import Ports
from perdure_replication._transport import Receive, Transport
from perdure_replication.errors import InvalidTransport, PeerUnreachable
from perdure_replication.ray._library import library
from perdure_replication.ray._meeting import LONGEST_BEAT, Meeting
from perdure_replication.tcp import TcpMembership, TcpMetrics, TcpSettings, TcpTransport
from perdure_replication.tcp._address import Address

CLUSTER = "perdure"
_log = logging.getLogger("perdure.ray")


class RayPorts(Transport, Membership):
    """Both ports of one node, in a process of a Ray cluster: a driver, a task or an actor.

    It listens at the address by which Ray knows its machine, and is found by all nodes of one `cluster` and `namespace`
    of the same Ray cluster. Connections are secured by a secret that Ray keeps for these.
    """

    def __init__(
        self,
        cluster: str = CLUSTER,
        *,
        namespace: str = "perdure",
        port: int = 0,
        beat: float = 5.0,
        patience: float = 60.0,
        settings: TcpSettings | None = None,
    ) -> None:
        """Take the port to listen at, 0 for any that is free.

        Every `beat` seconds it is looked who has come. For `patience` seconds Ray may take to answer.
        Raises `InvalidTransport`.
        """
        if not 0 <= port < 65_536:
            raise InvalidTransport("ray://", f"port is 0 to 65535, not {port}")
        if not 0 < beat <= LONGEST_BEAT:
            raise InvalidTransport("ray://", f"beat is more than 0 seconds and at most {LONGEST_BEAT:g}, not {beat:g}")
        if not patience > 0:
            raise InvalidTransport("ray://", f"patience is more than 0 seconds, not {patience:g}")
        self.max_frame_bytes = MAX_FRAME_BYTES
        self.cluster = cluster
        self._port = port
        self._beat = beat
        self._settings = settings
        self._meeting = Meeting(cluster, namespace, patience)
        self._transport: TcpTransport | None = None
        self._membership: TcpMembership | None = None
        self._member: Member | None = None
        self._beating: asyncio.Task[None] | None = None

    # The transport

    async def start(self, local: Member, receive: Receive) -> str:
        """Carry frames from now on. Returns the address as `HOST:PORT`.

        Raises `BrokerUnavailable` when Ray does not answer, `InvalidTransport` without Ray, `CannotListen`.
        """
        secret = EncryptedKey(await self._meeting.secret())
        place = str(Address(library().util.get_node_ip_address(), self._port))
        self._transport = TcpTransport(place, secret=secret, cluster=self.cluster, settings=self._settings)
        self._membership = TcpMembership(self._transport, settings=self._settings)
        return await self._transport.start(local, receive)

    async def send(self, peer: str, frame: bytes) -> None:
        if self._transport is None:
            raise PeerUnreachable(peer, "this transport is not started")
        await self._transport.send(peer, frame)

    def peer_up(self, member: Member) -> None:
        if self._transport is not None:
            self._transport.peer_up(member)

    def peer_down(self, name: str) -> None:
        if self._transport is not None:
            self._transport.peer_down(name)

    def metrics(self) -> TcpMetrics:
        """Return what was counted since the transport began."""
        return TcpMetrics() if self._transport is None else self._transport.metrics()

    # The membership

    async def claim(self, name: str, at_least: int) -> int:
        return await self._meeting.claim(name, at_least)

    async def join(self, member: Member, report: Report) -> None:
        assert self._membership is not None  # a node starts its transport first
        await self._membership.join(member, report)
        self._member = member
        self._membership.hear_of(await self._meeting.enter(member))
        self._beating = asyncio.get_running_loop().create_task(self._look())

    async def announce(self, member: Member) -> None:
        assert self._membership is not None
        self._member = member
        await self._membership.announce(member)

    async def leave(self) -> None:
        member, self._member = self._member, None
        await self._rest()
        if self._membership is not None:
            await self._membership.leave()
        if member is not None:
            await self._meeting.leave(member)

    async def close(self) -> None:
        await self._rest()
        if self._membership is not None:
            await self._membership.close()
        if self._transport is not None:
            await self._transport.close()

    async def _look(self) -> None:
        """Say again and again that this node is there, and hear who else is."""
        random = Random()
        while True:
            await asyncio.sleep(self._beat * (0.5 + random.random()))
            try:
                await self._enter()
            except Exception as error:  # of Ray, too, whose errors are of many kinds
                text = "it is not known which nodes have come; those that are known stay: %s"
                _log.warning(text, error, extra=fields(node=self._member.name if self._member else None, error=error))

    async def _enter(self) -> None:
        if self._member is not None and self._membership is not None:
            self._membership.hear_of(await self._meeting.enter(self._member))

    async def _rest(self) -> None:
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.wait([beating])


_NUMBERS = frozenset(["port", "beat", "patience"])
_OPTIONS = frozenset(["settings"])


def open_ray(url: str, cluster: str, options: Mapping[str, Any]) -> Ports:
    """Make both ports in the Ray cluster with which this process is connected.

    The URL is `ray://NAMESPACE?port=…&beat=…&patience=…`; without a namespace it is perdure's. `options` may have
    `settings`, those of TCP.
    """
    parts = urlsplit(url)
    given = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    for found, known in ((given, _NUMBERS), (options, _OPTIONS)):
        if unknown := {*found} - known:
            raise InvalidTransport(
                url, f"there is no {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
            )
    numbers: dict[str, Any] = {name: _number(url, name, text) for name, text in given.items()}
    ports = RayPorts(cluster, namespace=parts.netloc or "perdure", **numbers, **options)
    return Ports(ports, ports)


def _number(url: str, name: str, text: str) -> float:
    try:
        return int(text) if name == "port" else float(text)
    except ValueError as error:
        raise InvalidTransport(url, f"{name} is a number, not {text!r}") from error
