"""What can go wrong in replicated state, and what to do about it.

PerdureError
└── ReplicationError
    ├── BadFrame              bytes from a peer are no frame of ours: it is counted and dropped
    ├── BrokerUnavailable     a broker does not answer, or refuses to: start it, or retry later
    ├── CannotCross           a type cannot cross between processes: mend it, or move it to a module
    ├── CannotListen          a transport cannot have its address: free it, or choose another
    ├── ClockDrift            a merged value has a stamp from too far ahead: set the clocks; it is tried again
    ├── HostLost              a host died while it had a message: it may have been handled; read before deciding
    ├── HostUnavailable       a host did not answer in time; the message was not sent: retry later
    ├── InvalidHosts          what hosts were given cannot be right: mend it
    ├── InvalidMessage        a message cannot go to another node: make it plain data, or name its type
    ├── InvalidRuntime        what an actor runtime was given cannot be right: mend it
    ├── InvalidState          a definition of a replicated state cannot be right: mend it
    ├── InvalidNode           a node's settings cannot be right: mend them
    ├── InvalidTransport      what a transport or a membership was given cannot be right: mend it
    ├── KeyedClosed           a keyed state was closed: open it again
    ├── NodeClosed            the node is not open: use it inside `async with`
    ├── Fenced                a later life of this node has begun elsewhere: stop this one
    ├── MergedClosed          a merged value is not open: use it inside `async with`
    ├── MutationFailed        a mutation was not made; nothing has changed
    │   ├── MutationRefused   what it returned cannot be replicated: mend it
    │   ├── MutationUnstored  it could not be stored: retry later
    │   └── TooManyMutations  too many wait for the store: slow down
    ├── NodeTaken             another open node has this name: choose another, or close that one
    ├── PeerUnreachable       a frame cannot be sent now; the node sends again what matters
    ├── RayMissing            Ray is not installed, or does not load: install the extra
    ├── ReadOnlyValue         a merged value was changed outside an update: change it inside one
    ├── RemoteFailure         an actor failed elsewhere with an error that cannot be made again here
    ├── ReplyLost             a message was handled, but its reply cannot cross: mend the reply
    ├── RuntimeClosed         an actor runtime is not open: use it inside `async with`
    ├── StalePeers            a strict query could not be answered from fresh views: retry, or ask for less
    ├── UnknownState          the node has no replicated state of this name: pass it to the node
    ├── UnknownVersion        bytes are of a version that is not read here: the policy says what happens
    └── WaitsForItself        the event loop's own thread would wait for the event loop: await it there

Each error has typed fields, from which the class builds its message.
"""

from __future__ import annotations

from dataclasses import dataclass

from perdure.errors import OutcomeUnknown, PerdureError


class ReplicationError(PerdureError):
    """The root of what goes wrong in replicated state."""


@dataclass(eq=False, repr=False)
class BadFrame(ReplicationError):
    """Bytes are no frame: cut, damaged, too large, of another format or with a content that breaks a limit."""

    reason: str

    def __str__(self) -> str:
        return f"no frame: {self.reason}"


@dataclass(eq=False, repr=False)
class BrokerUnavailable(ReplicationError):
    """A broker does not answer, or refuses what it was asked."""

    broker: str
    reason: str

    def __str__(self) -> str:
        return f"the broker {self.broker} is not available: {self.reason}"


@dataclass(eq=False, repr=False)
class ClockDrift(ReplicationError):
    """A stamp is further ahead of the wall clock than is allowed. What carries it is not taken over yet."""

    ahead: float
    """By how many seconds."""
    allowed: float

    def __str__(self) -> str:
        return f"a stamp is {self.ahead:.1f} s ahead of this clock, over {self.allowed:g} s: set the wrong clock right"


@dataclass(eq=False, repr=False)
class InvalidState(ReplicationError, TypeError):
    """The class of a replicated state says something that cannot be right."""

    state: str
    reason: str

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}"


@dataclass(eq=False, repr=False)
class InvalidMessage(ReplicationError, TypeError):
    """A message that was to go between nodes is neither plain data nor of a type that the runtime was given."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"a message of the type {self.kind}: {self.reason}: pass its type as one of `messages` to both runtimes"


@dataclass(eq=False, repr=False)
class InvalidRuntime(ReplicationError, ValueError):
    """An actor runtime was given something that cannot be right."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"the runtime {self.kind!r}: {self.reason}"


@dataclass(eq=False, repr=False)
class InvalidNode(ReplicationError, ValueError):
    """A node was given something that cannot be right."""

    node: str
    reason: str

    def __str__(self) -> str:
        return f"node {self.node!r}: {self.reason}"


@dataclass(eq=False, repr=False)
class InvalidTransport(ReplicationError, ValueError):
    """A transport or a membership was given an address, or other arguments, that cannot be right."""

    address: str
    reason: str

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


@dataclass(eq=False, repr=False)
class CannotListen(ReplicationError):
    """A transport cannot listen at its address."""

    address: str
    reason: str

    def __str__(self) -> str:
        return f"nothing can listen at {self.address}: {self.reason}: free it, or choose another"


@dataclass(eq=False, repr=False)
class CannotCross(ReplicationError, TypeError):
    """A message, a reply, an error or a function cannot be sent to another process. Nothing was sent."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what} cannot cross to another process: {self.reason}"


class HostLost(ReplicationError, OutcomeUnknown):
    """A host died, or was cut off, while it had a message. It may have been handled, once, or not at all.

    The actor at `path` comes back at another host, or at the same one when it is restarted, as its log says.
    """

    def __init__(self, path: str, host: str, reason: str) -> None:
        Exception.__init__(self, path, host, reason)
        self.operation = "ask"
        self.path = path
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.path}: the host {self.host} was lost while it had a message, which may have been handled: "
            f"read before deciding anything: {self.reason}"
        )


@dataclass(eq=False, repr=False)
class HostUnavailable(ReplicationError, TimeoutError):
    """A host did not answer for `seconds`, or was stopped. The message was not sent."""

    host: str
    seconds: float
    reason: str

    def __str__(self) -> str:
        return f"the host {self.host} is not available after {self.seconds:g} s, and nothing was sent: {self.reason}"


@dataclass(eq=False, repr=False)
class InvalidHosts(ReplicationError, ValueError):
    """Hosts were given something that cannot be right."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"hosts {self.name!r}: {self.reason}"


@dataclass(eq=False, repr=False)
class KeyedClosed(ReplicationError):
    """The keys of a keyed state were changed after it was closed, when nobody is told of them any more."""

    state: str

    def __str__(self) -> str:
        return f"the keyed state {self.state} is closed: open it again by `node.keyed(...)`"


@dataclass(eq=False, repr=False)
class NodeClosed(ReplicationError):
    """A node was used before it was opened, or after it was closed."""

    node: str

    def __str__(self) -> str:
        return f"node {self.node!r} is not open: use it inside `async with`"


@dataclass(eq=False, repr=False)
class Fenced(ReplicationError):
    """Another process has begun a later life of this node. This one publishes and stores nothing any more."""

    node: str
    reason: str

    def __str__(self) -> str:
        return f"node {self.node!r} is fenced: {self.reason}: stop it; the other one is the node now"


@dataclass(eq=False, repr=False)
class MergedClosed(ReplicationError):
    """A merged value was used before it was opened, when it does not learn what others know, or after it was closed."""

    state: str

    def __str__(self) -> str:
        return f"the merged value of {self.state} is not open: use it inside `async with merged(...)`"


@dataclass(eq=False, repr=False)
class MutationFailed(ReplicationError):
    """A mutation was not made: state, age and view are as before, and nothing was sent."""

    state: str
    reason: str

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}"


class MutationRefused(MutationFailed, ValueError):
    """What a mutation returned cannot be encoded, could not be read back, or is too large."""


class MutationUnstored(MutationFailed):
    """The new state could not be stored; the cause says why. It is surely not stored."""


class TooManyMutations(MutationFailed):
    """As many mutations wait for the store as may."""


@dataclass(eq=False, repr=False)
class NodeTaken(ReplicationError):
    """A node of this name is open already where names are known."""

    name: str

    def __str__(self) -> str:
        return f"a node named {self.name!r} is open already: give this one another name, or close that one"


@dataclass(eq=False, repr=False)
class PeerUnreachable(ReplicationError):
    """There is no link to a peer. A frame that was to be sent may be lost."""

    peer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.peer} cannot be reached: {self.reason}"


@dataclass(eq=False, repr=False)
class RayMissing(ReplicationError, ImportError):
    """Ray cannot be imported."""

    reason: str

    def __str__(self) -> str:
        return f"ray cannot be imported: pip install 'perdure-replication[ray]': {self.reason}"


@dataclass(eq=False, repr=False)
class RemoteFailure(ReplicationError):
    """An actor elsewhere raised an error of the type `error`, which cannot be made again here; `text` is its text."""

    path: str
    error: str
    text: str

    def __str__(self) -> str:
        return f"{self.path} raised {self.error}: {self.text}"


@dataclass(eq=False, repr=False)
class ReplyLost(ReplicationError):
    """A message was handled, and what was stored for it stays, but its reply cannot cross, or is not of its type."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} has handled a message, but its reply is lost: {self.reason}"


class ReadOnlyValue(ReplicationError, TypeError):
    """A merged value was to be changed outside the function of an update, or after that had returned."""

    def __str__(self) -> str:
        return "this value is only read: change it inside `await merged.update(lambda value: ...)`"


@dataclass(eq=False, repr=False)
class RuntimeClosed(ReplicationError):
    """An actor runtime was used before it was opened, or after it was closed."""

    what: str

    def __str__(self) -> str:
        return f"{self.what} is not open: use it inside `async with`"


@dataclass(eq=False, repr=False)
class StalePeers(ReplicationError):
    """A strict query found views that are not as fresh as asked for, and could not make them so in time."""

    state: str
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    incompatible: tuple[str, ...]

    def __str__(self) -> str:
        kinds = {"stale": self.stale, "missing": self.missing, "incompatible": self.incompatible}
        found = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)
        return f"{self.state}: not all views are fresh: {found}: retry later, or allow more staleness"


@dataclass(eq=False, repr=False)
class UnknownState(ReplicationError, LookupError):
    """The node was not given this replicated state."""

    node: str
    state: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"node {self.node!r} has no state {self.state!r}; it has: {', '.join(self.known) or 'none'}"


@dataclass(eq=False, repr=False)
class UnknownVersion(ReplicationError):
    """A view, a delta or a stored state is of a version for which there is no reader here."""

    state: str
    what: str
    version: int
    readable: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.state}: a {self.what} of version {self.version}; read here: {', '.join(map(str, self.readable))}"


class WaitsForItself(ReplicationError, RuntimeError):
    """The thread of an event loop was to wait for something that this loop has to do."""

    def __str__(self) -> str:
        return "this is the event loop's own thread, which would wait for itself: write `await` instead of `wait`"
