"""Who is in the cluster, told to whoever wants to hear it."""

from __future__ import annotations

import logging
from itertools import count

from perdure_replication._fields import fields
from perdure_replication._member import Joined, Member, MembershipEvent
from perdure_replication._membership import Report
from perdure_replication.runtime._bridge import Bridge

_log = logging.getLogger("perdure.replication")


class ClusterEvents:
    """What the node's membership says of the other nodes: `Joined`, `Unreachable` and `Left`, in that order of things.

    Without a node there is nothing to say. Its methods may be called from any thread.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._numbers = count(1)
        self._listeners: dict[int, Report] = {}
        self._present: dict[str, Member] = {}

    def subscribe(self, listener: Report) -> int:
        """Have events told from now on, beginning with `Joined` of those that are there; return a number of its own.

        `listener` is called in the event loop and returns at once, as the `send` of an actor's ref does. What it raises
        is logged, and it is told the next.
        """
        return self._bridge.call(self._subscribe, listener)

    def unsubscribe(self, number: int) -> None:
        """Tell a listener nothing more. Silent for a number that is not, or no longer, in use."""
        self._bridge.call(self._listeners.pop, number, None)

    def tell(self, event: MembershipEvent) -> None:
        """Tell all listeners of an event. Called by the runtime."""
        if isinstance(event, Joined):
            self._present[event.member.name] = event.member
        else:
            self._present.pop(event.name, None)
        for listener in list(self._listeners.values()):
            _tell(listener, event)

    def _subscribe(self, listener: Report) -> int:
        number = next(self._numbers)
        self._listeners[number] = listener
        for member in list(self._present.values()):
            _tell(listener, Joined(member))
        return number


def _tell(listener: Report, event: MembershipEvent) -> None:
    try:
        listener(event)
    except Exception as error:
        peer = event.member.name if isinstance(event, Joined) else event.name
        _log.exception("a listener to cluster events failed on %s", event, extra=fields(peer=peer, error=error))
