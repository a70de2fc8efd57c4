"""The actor model. It knows nothing of storage."""

from perdure.actors._actor import Actor
from perdure.actors._clock import Clock, SystemClock, Timer
from perdure.actors._context import Context
from perdure.actors._message import Message
from perdure.actors._ref import ActorRef
from perdure.actors._supervision import Backoff, Restart, Stop, Supervision
from perdure.actors._system import ActorSystem

__all__ = [
    "Actor",
    "ActorRef",
    "ActorSystem",
    "Backoff",
    "Clock",
    "Context",
    "Message",
    "Restart",
    "Stop",
    "Supervision",
    "SystemClock",
    "Timer",
]
