"""What can go wrong in replicated state, and what to do about it.

PerdureError
└── ReplicationError
    ├── BadFrame              bytes from a peer are no frame of ours: it is counted and dropped
    ├── InvalidState          a definition of a replicated state cannot be right: mend it
    ├── InvalidNode           a node's settings cannot be right: mend them
    ├── NodeClosed            the node is not open: use it inside `async with`
    ├── Fenced                a later life of this node has begun elsewhere: stop this one
    ├── MutationFailed        a mutation was not made; nothing has changed
    │   ├── MutationRefused   what it returned cannot be replicated: mend it
    │   ├── MutationUnstored  it could not be stored: retry later
    │   └── TooManyMutations  too many wait for the store: slow down
    ├── NodeTaken             another open node has this name: choose another, or close that one
    ├── PeerUnreachable       a frame cannot be sent now; the node sends again what matters
    ├── StalePeers            a strict query could not be answered from fresh views: retry, or ask for less
    ├── UnknownState          the node has no replicated state of this name: pass it to the node
    └── UnknownVersion        bytes are of a version that is not read here: the policy says what happens

Each error has typed fields, from which the class builds its message.
"""

from __future__ import annotations

from perdure.errors import PerdureError


class ReplicationError(PerdureError):
    """The root of what goes wrong in replicated state."""


class BadFrame(ReplicationError):
    """Bytes are no frame: cut, damaged, too large, of another format or with a content that breaks a limit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"no frame: {self.reason}"


class NodeTaken(ReplicationError):
    """A node of this name is open already where names are known."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"a node named {self.name!r} is open already: give this one another name, or close that one"


class PeerUnreachable(ReplicationError):
    """There is no link to a peer. A frame that was to be sent may be lost."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(peer, reason)
        self.peer = peer
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.peer} cannot be reached: {self.reason}"
