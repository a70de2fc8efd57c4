"""What an actor owns besides its state: children, timers, tasks, messages put aside, replies to give. Few own any."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from perdure.actors._mailbox import Envelope
from perdure.actors._reply import Reply
from perdure.actors._timers import ActorTimer, ReceiveTimeout
from perdure.errors import ActorStopped

if TYPE_CHECKING:
    from perdure.actors._cell import Cell


class Belongings:
    """Goes with the actor; the timers and tasks go with each of its instances."""

    __slots__ = ("children", "receive_timeout", "replies", "stash", "tasks", "timers")

    def __init__(self) -> None:
        self.children: dict[str, Cell] = {}
        self.receive_timeout: float | None = None
        self.replies: set[Reply] = set()
        self.stash: deque[Envelope] = deque()
        self.tasks: set[asyncio.Future[Any]] = set()
        self.timers: dict[object, ActorTimer] = {}

    def __bool__(self) -> bool:
        """Tell whether something of the actor is yet to happen, so that it may not be put away."""
        return bool(self.children or self.replies or self.stash or self.tasks or self.timers)

    def heard(self) -> None:
        """Note that a message has come."""
        if (timer := self.timers.get(ReceiveTimeout)) is not None:
            timer.cancel()

    def drop(self, path: str) -> None:
        """Cancel what belongs to one instance of the actor at this path."""
        for reply in list(self.replies):
            reply.fail(ActorStopped(path, "it ended before it replied"))
        for timer in list(self.timers.values()):
            timer.cancel()
        tasks, self.tasks = self.tasks, set()
        while tasks:  # what still comes of them is for nobody
            tasks.pop().cancel()
        self.receive_timeout = None
