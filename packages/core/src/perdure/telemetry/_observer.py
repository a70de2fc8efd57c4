"""What an observer may write, and what it is told.

It is told types, sizes, times and errors, and never what a message or a state holds: so an observer that passes on all
that it gets, save what `happened` carries and what errors say, shows nothing that is sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from perdure.abc import Conflict, WriteGroup
    from perdure.actors import SystemEvent

Ended: TypeAlias = Callable[[BaseException | None], object]
"""Called at the end of what was observed, with the error that ended it, if any."""

Committed: TypeAlias = "Callable[[Sequence[Conflict | BaseException | None]], object]"
"""Called when a commit is over, with what became of each group: None, if it is durable."""


class Following(NamedTuple):
    """What `Observer.handling` returns to be told of the writes as well, until the end of the handling."""

    ended: Ended


class Observed(Protocol):
    """An actor, as observers see it."""

    @property
    def type_name(self) -> str:
        """The name of its type."""

    @property
    def shown(self) -> str:
        """Its path; where names are hidden, its type and its stored name instead. Costs some time there."""


class Observer:
    """Watches systems. Subclasses write the methods of what they want to know; what is not written costs nothing.

    All methods are called in the loop of the system, often once a message: they are to be quick, and must not wait.
    What one raises is logged once, and harms nobody. Where one returns a function, that is called at the end of what
    has begun; None means that the end is not wanted, and costs nothing more.
    """

    def opened(self, system: Any) -> None:
        """Note that an `ActorSystem` is open."""

    def closed(self, system: Any) -> None:
        """Note that it is closed."""

    def asking(self, actor: Observed, message: str, context: Context) -> Ended | None:
        """Note that an actor is asked, by a message of this type; the end is that of the wait for the reply.

        Called in the asker's context. The message has a copy of it, `context`: what is set in that, by
        `context.run(…)`, the handler sees, and whoever it asks in turn, and the asker does not.
        """

    def handling(self, actor: Observed, message: str, asked: bool) -> Ended | Following | None:
        """Note that an actor begins to handle a message, in its context. If nobody `asked`, it was told."""

    def recovering(self, actor: Observed) -> Ended | None:
        """Note that an actor's state is about to be read, or waits for its turn to be."""

    def writing(self, group: WriteGroup) -> None:
        """Note that a group waits to be committed; in the context of whoever writes it.

        Called only while an observer is `Following` some handling, which may be another.
        """

    def committing(self, groups: Sequence[WriteGroup], size: int) -> Committed | None:
        """Note that a commit of `size` bytes begins, with groups of which `writing` may have told."""

    def happened(self, event: SystemEvent) -> None:
        """Take what `ActorSystem.events` gives as well, at once. It holds refs, and messages that were not handled."""
