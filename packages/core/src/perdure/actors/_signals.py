"""What a system says of its actors: its events, and the notices that actors get of each other."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from perdure.actors._message import Message
from perdure.actors._ref import ActorRef


class StopReason(Enum):
    """Why an actor is over."""

    STOPPED = "stopped"
    """Somebody asked for it: `ref.stop()`, its parent's end, or the system's."""

    FAILED = "failed"
    """It failed, and its supervision did not let it go on; or it did not start."""

    CANCELLED = "cancelled"
    """It did not end in time, or the process was ending."""

    ABSENT = "absent"
    """It was not live when the watch began."""


class Terminated(Message[None]):
    """Tells an actor that one that it watches is over, and why. `error` is what made it fail."""

    ref: ActorRef
    reason: StopReason
    error: BaseException | None = None


class SystemEvent(msgspec.Struct, frozen=True):
    """Something that a system says of its actors: one of those below, or of those that the floor above adds."""


class Started(SystemEvent, frozen=True):
    """An actor has its first instance."""

    ref: ActorRef


class Restarted(SystemEvent, frozen=True):
    """An actor has a new instance, after this error."""

    ref: ActorRef
    error: BaseException


class Failed(SystemEvent, frozen=True):
    """A handler, a start or a recovery raised this, or a handler reported it and went on."""

    ref: ActorRef
    error: BaseException


class Passivated(SystemEvent, frozen=True):
    """An idle actor was put away; its next message brings it back."""

    ref: ActorRef


class Stopped(SystemEvent, frozen=True):
    """An actor is over."""

    ref: ActorRef
    reason: StopReason
    error: BaseException | None = None


class DeadLetter(SystemEvent, frozen=True):
    """A message that was not handled, and why. Its sender has the reason as well, if it waits for anything."""

    message: Message[Any]
    path: str
    sender: ActorRef | None
    reason: str
