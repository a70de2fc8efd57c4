"""The port through which a node learns who is in the cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

from perdure_replication._member import Member, MembershipEvent

Report: TypeAlias = Callable[[MembershipEvent], None]
"""Takes what has become of a member. It is called in the event loop, returns at once and raises nothing."""


class Membership(ABC):
    """Says who is in the cluster. It is the gate: what comes from a node that it never named waits, and is dropped.

    What is reported: every other node of the cluster, first as `Joined`. `Unreachable` and `Left` name the incarnation
    that is meant, so that a late word of an earlier life harms no later one. After `Unreachable` or `Left` a node that
    is there is `Joined` again, with whatever incarnation it has. What is reported of one node comes in the order in
    which it was found out; a report may come twice; the own name comes only with the incarnation of a second node that
    took it. A false `Left` is healed by the node itself: it is told, and comes back with a greater incarnation.

    A transport may be its own membership, and one class both ports.
    """

    async def claim(self, name: str, at_least: int) -> int:
        """Return an incarnation for a new life of the node: `at_least`, or greater than all that were given to it.

        Whoever keeps no numbers returns `at_least`, which is this method. Called before `join`, and again when peers
        know of a greater incarnation.
        """
        return at_least

    @abstractmethod
    async def join(self, member: Member, report: Report) -> None:
        """Announce this node to the others, and report them to it from now on. Those that are known come at once."""

    @abstractmethod
    async def announce(self, member: Member) -> None:
        """Announce that this node has another incarnation now. What does not pass incarnations on does nothing."""

    @abstractmethod
    async def leave(self) -> None:
        """Tell the others, as well as can be, that this life is over, and report nothing more."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything, whether `join` succeeded or not. May be called again. Nothing is reported any more."""
