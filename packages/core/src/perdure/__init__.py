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
from perdure.journal import Event
from perdure.persistence import ActorSystem, Full, Light, Numbered, PersistentActor
from perdure.snapshots import every_n_events, never

__all__ = [
    "Actor",
    "ActorRef",
    "ActorSystem",
    "Backoff",
    "Clock",
    "Context",
    "Escalate",
    "Event",
    "Fixed",
    "Full",
    "Light",
    "MachineProfile",
    "MachineSpec",
    "Message",
    "Numbered",
    "PerdureError",
    "PersistentActor",
    "Rejected",
    "Restart",
    "Resume",
    "Stop",
    "SystemClock",
    "Terminated",
    "abc",
    "errors",
    "every_n_events",
    "never",
    "open_backend",
    "run",
]
