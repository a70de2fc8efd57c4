"""Both ports within one process."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakValueDictionary

from perdure_replication._member import Joined, Left, Member, Unreachable
from perdure_replication._membership import Membership, Report
from perdure_replication._ports import Ports
from perdure_replication._transport import Receive, Transport
from perdure_replication.errors import BadFrame, InvalidTransport, NodeTaken, PeerUnreachable


class MemoryHub:
    """A cluster in one event loop: give each node `hub.transport()` and `hub.membership()`."""

    def __init__(self) -> None:
        self._receivers: dict[str, Receive] = {}
        self._members: dict[str, tuple[Member, Report]] = {}
        self._incarnations: dict[str, int] = {}

    def transport(self) -> Transport:
        """Return the transport of one node."""
        return _HubTransport(self)

    def membership(self) -> Membership:
        """Return the membership of one node."""
        return _HubMembership(self)

    def lose(self, name: str) -> None:
        """Report a member as unreachable to all others, until it joins or announces itself again."""
        member, _ = self._members[name]
        self._tell(name, Unreachable(name, member.incarnation))

    def _plug(self, name: str, receive: Receive) -> None:
        if name in self._receivers:
            raise NodeTaken(name)
        self._receivers[name] = receive

    def _unplug(self, name: str) -> None:
        self._receivers.pop(name, None)

    def _carry(self, source: str, peer: str, frame: bytes) -> None:
        receive = self._receivers.get(peer)
        if receive is None or source not in self._receivers:
            raise PeerUnreachable(peer, "no such node is open in this hub")
        receive(source, frame)

    def _claim(self, name: str, at_least: int) -> int:
        self._incarnations[name] = max(at_least, self._incarnations.get(name, 0) + 1)
        return self._incarnations[name]

    def _join(self, member: Member, report: Report) -> None:
        self._incarnations[member.name] = max(member.incarnation, self._incarnations.get(member.name, 0))
        others = [other for other, _ in self._members.values() if other.name != member.name]
        self._members[member.name] = (member, report)
        for other in others:
            report(Joined(other))
        self._tell(member.name, Joined(member))

    def _leave(self, name: str) -> None:
        if name in self._members:
            member, _ = self._members.pop(name)
            self._tell(name, Left(name, member.incarnation))

    def _tell(self, about: str, event: Joined | Left | Unreachable) -> None:
        for name, (_, report) in list(self._members.items()):
            if name != about:
                report(event)


class _HubTransport(Transport):
    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._name = ""

    async def start(self, local: Member, receive: Receive) -> str:
        self._hub._plug(local.name, receive)
        self._name = local.name
        return ""

    async def send(self, peer: str, frame: bytes) -> None:
        if len(frame) > self.max_frame_bytes:
            raise BadFrame(f"it has {len(frame):,} bytes, over {self.max_frame_bytes:,}")
        self._hub._carry(self._name, peer, frame)

    async def close(self) -> None:
        if self._name:
            self._hub._unplug(self._name)
        self._name = ""


class _HubMembership(Membership):
    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._report: Report | None = None
        self._name = ""

    async def claim(self, name: str, at_least: int) -> int:
        return self._hub._claim(name, at_least)

    async def join(self, member: Member, report: Report) -> None:
        self._name, self._report = member.name, report
        self._hub._join(member, report)

    async def announce(self, member: Member) -> None:
        if self._report is not None:
            self._hub._join(member, self._report)

    async def leave(self) -> None:
        self._hub._leave(self._name)
        self._report = None

    async def close(self) -> None:
        if self._report is not None:
            await self.leave()


_hubs: WeakValueDictionary[tuple[str, str], MemoryHub] = WeakValueDictionary()


def open_memory(url: str, cluster: str, options: Mapping[str, object]) -> Ports:
    """Make the ports of a node in the hub that `memory://NAME` names, which lives as long as any of its ports."""
    if options:
        raise InvalidTransport(url, f"there are no options, and {', '.join(sorted(options))} was given")
    hub = _hubs.setdefault((url, cluster), MemoryHub())
    return Ports(hub.transport(), hub.membership())
