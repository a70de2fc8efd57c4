"""Durable actors for asyncio: an actor's state is the fold of its events, and the events are in a log."""

from perdure import abc, errors
from perdure._plugins import open_backend
from perdure.abc import MachineProfile, MachineSpec
from perdure.actors import (
    Actor,
    ActorRef,
    Backoff,
    Clock,
    Context,
    Escalate,
    Fixed,
    Message,
    Restart,
    Resume,
    Stop,
    SystemClock,
    Terminated,
    run,
)
from perdure.errors import PerdureError, Rejected
from perdure.evolution import Evolution
from perdure.journal import Compression, Event, event
from perdure.persistence import (
    ActorSystem,
    Changed,
    DurableStateActor,
    Full,
    Light,
    Numbered,
    PersistentActor,
    Recovery,
    RecoveryFellBack,
    Replayed,
    SnapshotFailed,
    SnapshotSaved,
    replay,
)
from perdure.security import Keyring, Sealing
from perdure.snapshots import every, every_n_bytes, every_n_events, never, on_stop

__all__ = [
    "Actor",
    "ActorRef",
    "ActorSystem",
    "Backoff",
    "Changed",
    "Clock",
    "Compression",
    "Context",
    "DurableStateActor",
    "Escalate",
    "Event",
    "Evolution",
    "Fixed",
    "Full",
    "Keyring",
    "Light",
    "MachineProfile",
    "MachineSpec",
    "Message",
    "Numbered",
    "PerdureError",
    "PersistentActor",
    "Recovery",
    "RecoveryFellBack",
    "Rejected",
    "Replayed",
    "Restart",
    "Resume",
    "Sealing",
    "SnapshotFailed",
    "SnapshotSaved",
    "Stop",
    "SystemClock",
    "Terminated",
    "abc",
    "errors",
    "event",
    "every",
    "every_n_bytes",
    "every_n_events",
    "never",
    "on_stop",
    "open_backend",
    "replay",
    "run",
]
