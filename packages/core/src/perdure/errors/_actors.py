"""What goes wrong between actors."""

from __future__ import annotations

from perdure.errors._root import PerdureError


class ActorError(PerdureError):
    """The root of what goes wrong between actors."""


class ActorStopped(ActorError):
    """The message was not handled, for its actor is over."""

    def __init__(self, path: str, reason: str = "the actor is stopped") -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class AskTimeout(ActorError, TimeoutError):
    """No reply came within `seconds`. The message is not withdrawn: it may still be handled."""

    def __init__(self, seconds: float, path: str = "") -> None:
        super().__init__(seconds, path)
        self.seconds = seconds
        self.path = path

    def __str__(self) -> str:
        return f"{self.path or 'the actor'} did not reply within {self.seconds:g} s; the message may still be handled"


class AskedItself(ActorError):
    """An actor would have waited for itself for ever: at first hand, or through the actors in `via`, in turn."""

    def __init__(self, path: str, via: tuple[str, ...] = ()) -> None:
        super().__init__(path, via)
        self.path = path
        self.via = via

    def __str__(self) -> str:
        if self.via:
            through = " -> ".join(self.via)
            return f"{self.path} waits for {through}, which would wait for {self.path} for ever: tell, do not ask"
        return f"{self.path} asks itself inside a handler and would wait for ever: call the method, or tell"


class MailboxFull(ActorError, TimeoutError):
    """A told message found no room in the mailbox for `seconds`, 0 where it did not wait. It was not sent."""

    def __init__(self, path: str, capacity: int, seconds: float) -> None:
        super().__init__(path, capacity, seconds)
        self.path = path
        self.capacity = capacity
        self.seconds = seconds

    def __str__(self) -> str:
        so_long = f" for {self.seconds:g} s" if self.seconds else ""
        return (
            f"{self.path} had {self.capacity} messages waiting{so_long}, and no room for another: "
            f"send less, or set mailbox_capacity"
        )


class NameTaken(ActorError):
    """A live actor has this path already."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is the path of a live actor: choose another name, or stop that one first"


class NoRoutee(ActorError):
    """A router has no live actor to pass a message to."""

    def __init__(self, message_type: str) -> None:
        super().__init__(message_type)
        self.message_type = message_type

    def __str__(self) -> str:
        return f"no live actor is left behind the router for {self.message_type}: add one"


class Overflowed(ActorError):
    """A subscription with the policy `fail` found its buffer full, and ended."""

    def __init__(self, capacity: int, missed: int) -> None:
        super().__init__(capacity, missed)
        self.capacity = capacity
        self.missed = missed

    def __str__(self) -> str:
        return f"the subscriber is too slow: {self.capacity} events were waiting for it when another came"


class Rejected(ActorError):
    """Raise it in a handler to refuse a message: the asker alone gets it, and the actor goes on."""


class StartTimeout(ActorError, TimeoutError):
    """An actor did not start within its `start_timeout`."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__(path, seconds)
        self.path = path
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.path} did not start within {self.seconds:g} s"


class StashFull(ActorError):
    """An actor has put as many messages aside as its mailbox may hold."""

    def __init__(self, path: str, capacity: int) -> None:
        super().__init__(path, capacity)
        self.path = path
        self.capacity = capacity

    def __str__(self) -> str:
        return f"{self.path} has put {self.capacity} messages aside, and may not put aside more: unstash some"


class Superseded(ActorError):
    """Another owner has claimed an actor since this system did by `epoch`. Nothing was stored.

    The actor, which has this `path`, is stopped here, whatever its supervision says. `owner` is the present one's name,
    "" if it is not known, and `owner_epoch` its epoch.
    """

    def __init__(self, persistence_id: str, epoch: int, owner: str = "", owner_epoch: int = 0, path: str = "") -> None:
        super().__init__(persistence_id, epoch, owner, owner_epoch, path)
        self.persistence_id = persistence_id
        self.epoch = epoch
        self.owner = owner
        self.owner_epoch = owner_epoch
        self.path = path

    def __str__(self) -> str:
        by = f"{self.owner!r}, by epoch {self.owner_epoch}" if self.owner else "another system"
        return (
            f"{self.persistence_id}: epoch {self.epoch} of this system holds no more, for it was claimed since "
            f"by {by}: send to that one, or take it back with system.reclaim(ref)"
        )


class SystemCrashed(ActorError):
    """The system ended because of an error that nobody below could handle; the cause is that error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the system crashed: {self.reason}"


class Unhandled(ActorError):
    """A handler returned None for a message whose reply type has no None."""

    def __init__(self, path: str, message_type: str, reply_type: str) -> None:
        super().__init__(path, message_type, reply_type)
        self.path = path
        self.message_type = message_type
        self.reply_type = reply_type

    def __str__(self) -> str:
        return (
            f"{self.path} gave no reply to {self.message_type}, which promises {self.reply_type}: "
            f"does its handler have a case for {self.message_type}?"
        )
