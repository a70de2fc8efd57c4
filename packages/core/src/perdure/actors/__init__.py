"""The actor model. It knows nothing of storage."""

from perdure.actors._actor import Actor
from perdure.actors._clock import Clock, SystemClock, Timer
from perdure.actors._context import Context
from perdure.actors._message import Message
from perdure.actors._path import ActorPath
from perdure.actors._redelivery import Redelivered, Redelivery
from perdure.actors._ref import ActorRef
from perdure.actors._reply import Reply
from perdure.actors._routers import ConsistentHash, RandomChoice, RoundRobin, Router
from perdure.actors._run import run
from perdure.actors._signals import (
    DeadLetter,
    Failed,
    Passivated,
    Restarted,
    Started,
    Stopped,
    StopReason,
    SystemEvent,
    Terminated,
)
from perdure.actors._sinks import Sink
from perdure.actors._streams import Overflow, Subscription
from perdure.actors._supervision import (
    AllForOne,
    Backoff,
    ByError,
    Delays,
    Escalate,
    Fixed,
    Restart,
    Resume,
    Schedule,
    Stop,
    Supervision,
)
from perdure.actors._system import ActorSystem
from perdure.actors._timers import ActorTimer, ReceiveTimeout
from perdure.actors._views import ActorView, Census, SystemView

__all__ = [
    "Actor",
    "ActorPath",
    "ActorRef",
    "ActorSystem",
    "ActorTimer",
    "ActorView",
    "AllForOne",
    "Backoff",
    "ByError",
    "Census",
    "Clock",
    "ConsistentHash",
    "Context",
    "DeadLetter",
    "Delays",
    "Escalate",
    "Failed",
    "Fixed",
    "Message",
    "Overflow",
    "Passivated",
    "RandomChoice",
    "ReceiveTimeout",
    "Redelivered",
    "Redelivery",
    "Reply",
    "Restart",
    "Restarted",
    "Resume",
    "RoundRobin",
    "Router",
    "Schedule",
    "Sink",
    "Started",
    "Stop",
    "StopReason",
    "Stopped",
    "Subscription",
    "Supervision",
    "SystemClock",
    "SystemEvent",
    "SystemView",
    "Terminated",
    "Timer",
    "run",
]
