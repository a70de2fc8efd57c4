"""The port through which a node speaks to others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from perdure_replication._frames import MAX_FRAME_BYTES
from perdure_replication._member import Member

Receive: TypeAlias = Callable[[str, bytes], None]
"""Takes the name of the peer that sent a frame, and the frame. It is called in the event loop, returns at once and
raises nothing."""


class Transport(ABC):
    """Carries frames between the nodes of a cluster.

    *Identity.* The peer that `receive` is given is the one of which the transport has proof that it sent the frame: by
    a certificate, a key, or the process itself. It never takes the name from the frame, and refuses a peer that claims
    this node's own name or another cluster.

    *At most once.* A frame is received whole or not at all, and never twice; it may be lost without a word. Frames of
    one peer come in the order of their sends as long as a link lasts. The node needs no more, and bears less.

    *Back-pressure.* A slow peer holds up what is sent to it, and nothing else: `send` returns when the link has taken
    the frame and has room. The node keeps at most one message for each state and peer behind it, the latest.

    Every method is called in the event loop in which the node was opened, and may be cancelled.
    """

    max_frame_bytes: int = MAX_FRAME_BYTES
    """The greatest frame that it takes. One that is received is no greater."""
    broadcasts: ClassVar[bool] = False
    """Whether `broadcast` reaches all members at the price of one: then the node uses it for what all are to have."""
    retains: ClassVar[bool] = False
    """Whether it keeps the last snapshot of each state of each node, for those who come later."""

    @abstractmethod
    async def start(self, local: Member, receive: Receive) -> str:
        """Carry frames from now on, as this member. Returns the address under which others reach it, or nothing.

        `local.address` is empty. Nothing is received before.
        """

    @abstractmethod
    async def send(self, peer: str, frame: bytes) -> None:
        """Hand a frame to the link to a peer, waiting while that has no room.

        Raises `PeerUnreachable` when there is no link and none can be made now; the frame may then be lost. Raises
        `BadFrame` for one that is greater than `max_frame_bytes`.
        """

    async def broadcast(self, frame: bytes) -> None:
        """Hand a frame to all members, where `broadcasts` is true. They receive it like any other of this node.

        It never comes back to this node. Raises `PeerUnreachable`, naming what is not reached.
        """
        raise NotImplementedError

    async def retain(self, state: str, frame: bytes) -> None:
        """Keep a frame, where `retains` is true, as the last snapshot of this node's part of `state`.

        It replaces the one before it. It is kept when this node is down, until the cluster is told to forget the node.
        """
        raise NotImplementedError

    async def retained(self) -> Sequence[tuple[str, bytes]]:
        """Return what other nodes had kept, where `retains` is true, each with the node that has proved to keep it."""
        raise NotImplementedError

    def peer_up(self, member: Member) -> None:  # noqa: B027 - few need it
        """Learn that a member is there, and its address: `send` to its name is to come. May be called again."""

    def peer_down(self, name: str) -> None:  # noqa: B027 - few need it
        """Learn that a member has left: links to it may be dropped. May be called again."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all links, and receive nothing more. May be called again."""
