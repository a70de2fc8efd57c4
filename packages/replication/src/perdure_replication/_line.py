"""Letters between nodes: for what is no replicated state and yet goes between the members of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from perdure_replication._events import Post
from perdure_replication._membership import Report
from perdure_replication.errors import BadFrame, NodeClosed, PeerUnreachable

if TYPE_CHECKING:
    from perdure_replication._node import Node

TOPICS = "topics"
"""The line that each node opens by itself, when another speaks on it."""

Listen: TypeAlias = Callable[[str, int, bytes], None]
"""Takes the peer that sent a letter, its incarnation, and the letter."""


class Line:
    """Letters of one name. Get it by `Node.line`.

    *Identity.* A letter is from the peer that is named, in its present life. *At most once*: it may be lost without a
    word; letters to one peer arrive in the order of their sends as long as the link lasts. *Back-pressure*: as many
    wait for one peer as `Limits.letters` says, beside its replicated state, which they do not hold up.
    """

    def __init__(self, node: Node, name: str, receive: Listen, report: Report) -> None:
        self.name = name
        self.receive = receive
        self.report = report
        self._node = node

    def listens(self, peer: str) -> bool:
        """Tell whether a node is a member that can be reached. Whether it has opened the line is not known."""
        return not self._node.engine.left and self._node.engine.listens(peer)

    def post(self, peer: str, letter: bytes) -> bool:
        """Hand a letter to the link at once. Returns False where the peer does not listen, or too many wait.

        Raises `BadFrame` for one that is greater than `Limits.letter_bytes`.
        """
        self._check(letter)
        if not self.listens(peer) or self._is_full(peer):
            return False
        self._node._tell(Post((peer,), self.name, letter))
        return True

    async def send(self, peer: str, letter: bytes) -> None:
        """Hand a letter to the link when there is room.

        Raises `PeerUnreachable` where the peer does not listen, or ceases to, `BadFrame` as `post` does, `NodeClosed`.
        """
        while not self.post(peer, letter):
            if self._node.engine.left:
                raise NodeClosed(self._node.name)
            if not self.listens(peer):
                raise PeerUnreachable(peer, "it is no member, or cannot be reached now")
            if (link := self._node._links.find(peer)) is not None:
                await link.taken()

    def close(self) -> None:
        """Receive nothing more."""
        self._node._lines.pop(self.name, None)

    def _is_full(self, peer: str) -> bool:
        link = self._node._links.find(peer)
        return link is not None and link.letters(self.name) >= self._node._settings.limits.letters

    def _check(self, letter: bytes) -> None:
        most = self._node._settings.limits.letter_bytes
        if len(letter) > most:
            raise BadFrame(f"a letter of {len(letter):,} bytes, over Limits.letter_bytes, which is {most:,}")
