"""What an actor is spoken to by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

M = TypeVar("M", contravariant=True)


class Ref(ABC, Generic[M]):
    """The address of an actor of this node or another. Two are equal when node and name are."""

    def __init__(self, node: str, name: str) -> None:
        self.node = node
        """The node at which the actor is; empty where the runtime has none."""
        self.name = name

    @abstractmethod
    def send(self, message: M) -> None:
        """Hand over a message at once, and forget it. May be called from any thread.

        Messages of one sender, a task or a thread, are handled in the order of their sends. Raises `ActorStopped` when
        the actor is known to be over, `MailboxFull` when as many messages wait as may; then it was not sent.
        """

    @abstractmethod
    async def ask(self, message: M, *, timeout: float = 30.0) -> Any:
        """Send a message and return what its handler returns. A full mailbox does not refuse it: it waits its turn.

        Raises what the handler raises; `ActorStopped` when the actor is over before it has answered; `AskTimeout` after
        `timeout` seconds, and then the message may still be handled. Other threads use `ActorRuntime.wait`.
        """

    def __repr__(self) -> str:
        at = f" at {self.node}" if self.node else ""
        return f"<{type(self).__name__} {self.name}{at}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and (self.node, self.name) == (other.node, other.name)

    def __hash__(self) -> int:
        return hash((self.node, self.name))


class LocalRef(Ref[M]):
    """The address of an actor of this runtime."""

    @abstractmethod
    async def stop(self) -> None:
        """Have the actor finish the message in hand and no other; return when it is over.

        Asks that wait fail with `ActorStopped`. The name is free again. May be called again.
        """

    @property
    @abstractmethod
    def is_live(self) -> bool:
        """True until the actor is over, by whatever has ended it."""
